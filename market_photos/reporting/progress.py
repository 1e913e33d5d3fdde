"""One store of a run at one moment: what progress shows, and what a run leaves on disk for `status` (pulse.py)."""

import json
from dataclasses import dataclass
from pathlib import Path

from market_photos.clock import Clock
from market_photos.text import human_bytes, human_time

#: Beside the catalogue.
NAME = "run.json"
#: Seconds after which the file is of no use: the run hangs, sleeps, or is done with this store.
FRESH = 60.0


@dataclass(frozen=True)
class View:
    """One store at one moment."""

    title: str
    listing: str
    pages: int
    returns: int
    photos: int
    size: int
    pending: int
    per_hour: float
    quota_share: float
    seconds_left: float | None
    waiting: str

    def lines(self) -> list[str]:
        listed = f"{self.pages:,} pages, {self.returns:,} returns"
        phase = f"listing {self.listing}: {listed}" if self.listing else f"listed: {listed}"
        left = f"{self.pending:,} to go"
        if self.seconds_left is not None and self.pending:
            left += f", {human_time(self.seconds_left)} left at the quota"
        fetched = f"{self.photos:,} photos, {human_bytes(self.size)}, {self.per_hour:,.0f}/h"
        lines = [f"{self.title}: {phase}", f"  fetching: {fetched}, quota {self.quota_share:.0%} used; {left}"]
        return lines + [f"  waiting: {self.waiting}"] * bool(self.waiting)


def read_view(folder: Path, clock: Clock) -> View | None:
    """How far the run is that holds this store's lock; None where nobody says, or not lately."""
    try:
        found = json.loads((folder / NAME).read_text(encoding="ascii"))
        age = clock.now().wall - found.pop("at")
        view = View(**found)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return view if age < FRESH else None
