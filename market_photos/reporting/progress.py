"""The progress of a run in one store: shown live, printed as lines, and kept in a file for `status`."""

import json
from dataclasses import dataclass
from pathlib import Path

from market_photos.clock import Clock
from market_photos.text import counted, human_bytes, human_time

#: The progress file, beside the catalogue.
NAME = "run.json"
#: Stores in trouble that are named.
SHOWN_TROUBLED = 3
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
    """A forecast; None if nothing is known."""
    waiting: str
    """Why no request is sent now; empty when requests are sent."""

    def lines(self) -> list[str]:
        """Return the text that `status` and a run print."""
        listed = f"{counted(self.pages, 'page')}, {counted(self.returns, 'return')}"
        phase = f"listing {self.listing}: {listed}" if self.listing else f"listed: {listed}"
        left = f"{self.pending:,} to go"
        if self.seconds_left is not None and self.pending:
            left += f", about {human_time(self.seconds_left)} left"
        fetched = f"{counted(self.photos, 'photo')}, {human_bytes(self.size)}, {self.per_hour:,.0f}/h"
        lines = [f"{self.title}: {phase}", f"  fetching: {fetched}, quota {self.quota_share:.0%} used; {left}"]
        return lines + [f"  waiting: {self.waiting}"] * bool(self.waiting)


@dataclass(frozen=True)
class RunProgress:
    """How far a run is, over all its stores."""

    seconds: float
    """Since its start."""
    planned: int
    """Stores that it visits; 0 while it asks for the list of stores."""
    ended: int
    troubled: list[str]
    """The titles of the ended stores that are not complete."""
    stores: list[StoreProgress]
    """The stores at work."""
    photos: int
    """Photos downloaded by this run."""
    size: int
    """Their bytes."""

    @property
    def pending(self) -> int:
        """Photos of the stores at work that are not downloaded yet."""
        return sum(store.pending for store in self.stores)

    @property
    def is_open(self) -> bool:
        """Whether more photos may be found: stores wait for their turn, or returns are being listed."""
        return self.planned > self.ended + len(self.stores) or any(store.listing for store in self.stores)

    @property
    def seconds_left(self) -> float | None:
        """A forecast for the photos that are known: stores are at work side by side, so the slowest decides."""
        known = [store.seconds_left for store in self.stores if store.seconds_left is not None and store.pending]
        return max(known, default=None)

    @property
    def waiting(self) -> str:
        """Why no request is sent now; empty while any store sends some."""
        waits = [store.waiting for store in self.stores]
        return min(waits) if waits and all(waits) else ""

    def parts(self) -> list[str]:
        """Return count, per cent, rate and time left in words."""
        total, left = self.photos + self.pending, self.seconds_left
        parts = [f"{self.photos:,} of {counted(total, 'photo')}{' so far' if self.is_open else ''}"]
        if total:
            parts.append(f"{self.photos / total:.0%}")
        if self.photos and self.seconds:
            parts.append(f"{self.photos / self.seconds * 3600:,.0f}/h")
        if left is not None:
            parts.append(f"about {human_time(left)} left")
        return parts

    def stores_line(self) -> str:
        """Return how many stores are done, at work and waiting for their turn."""
        done = f"{self.ended:,} done" + (f" ({len(self.troubled):,} not complete)" if self.troubled else "")
        waiting = self.planned - self.ended - len(self.stores)
        parts = [done, f"{len(self.stores):,} at work", *[f"{waiting:,} waiting"] * bool(waiting)]
        return f"{counted(self.planned, 'store')}: {', '.join(parts)}; {human_bytes(self.size)}"

    def trouble_line(self) -> str:
        """Return the stores in trouble by name; empty if there are none."""
        more = f" and {len(self.troubled) - SHOWN_TROUBLED:,} more" * (len(self.troubled) > SHOWN_TROUBLED)
        return f"not complete: {', '.join(self.troubled[:SHOWN_TROUBLED])}{more}" if self.troubled else ""

    def line(self) -> str:
        """Return all of it in one line, for logs."""
        if not self.planned:
            return "asking for the list of stores"
        parts = [", ".join(self.parts()), self.stores_line(), self.waiting, self.trouble_line()]
        return "; ".join(filter(None, parts))


def read_progress(folder: Path, clock: Clock) -> StoreProgress | None:
    """Return the content of a store's progress file; None if it is missing, unreadable or too old."""
    try:
        content = json.loads((folder / NAME).read_text(encoding="ascii"))
        age = clock.now().wall - content.pop("at")
        progress = StoreProgress(**content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return progress if age < MAX_AGE else None
