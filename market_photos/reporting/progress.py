"""The progress of a run in one store: shown live, printed as lines, and kept in a file for `status`."""

import json
from dataclasses import dataclass
from pathlib import Path

from market_photos.clock import Clock
from market_photos.text import human_bytes, human_time

#: The progress file, beside the catalogue.
NAME = "run.json"
#: Seconds after which the file is ignored: the run hangs, sleeps, or has finished this store.
MAX_AGE = 60.0


@dataclass(frozen=True)
class StoreProgress:
    """The counters of one store at one moment. Its fields are the keys of the progress file."""

    title: str
    listing: str
    """The dates that are being listed; empty when the listing is finished."""
    pages: int
    returns: int
    photos: int
    """Photos downloaded by this run."""
    size: int
    """Their bytes."""
    pending: int
    per_hour: float
    quota_share: float
    """The part of the quota that is used, 0 to 1."""
    seconds_left: float | None
    waiting: str
    """Why no request is sent now; empty when requests are sent."""

    def lines(self) -> list[str]:
        """Return the text that `status` and a run print."""
        listed = f"{self.pages:,} pages, {self.returns:,} returns"
        phase = f"listing {self.listing}: {listed}" if self.listing else f"listed: {listed}"
        left = f"{self.pending:,} to go"
        if self.seconds_left is not None and self.pending:
            left += f", {human_time(self.seconds_left)} left at the quota"
        fetched = f"{self.photos:,} photos, {human_bytes(self.size)}, {self.per_hour:,.0f}/h"
        lines = [f"{self.title}: {phase}", f"  fetching: {fetched}, quota {self.quota_share:.0%} used; {left}"]
        return lines + [f"  waiting: {self.waiting}"] * bool(self.waiting)


def read_progress(folder: Path, clock: Clock) -> StoreProgress | None:
    """Return the content of a store's progress file; None if it is missing, unreadable or too old."""
    try:
        content = json.loads((folder / NAME).read_text(encoding="ascii"))
        age = clock.now().wall - content.pop("at")
        progress = StoreProgress(**content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return progress if age < MAX_AGE else None
