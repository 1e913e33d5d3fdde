"""Returns that await the seller's decision, most urgent first: for `awaiting`, `status`, reports and browse."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownReturn, Reader
from market_photos.clock import iso
from market_photos.text import counted, human_time

#: Hours in which a seller decides on a return (the official guide on returns). From which moment they count is
#: documented nowhere: counted from the creation of the return, they are an estimate.
HOURS = 48


class AwaitingReturn(NamedTuple):
    """A return that awaits the seller's decision."""

    return_: KnownReturn
    hours_left: float | None
    """An estimate, negative when the time is over; None if the date of creation is unknown."""

    @property
    def pending(self) -> int:
        """How many of its photos are not downloaded yet."""
        return sum(photo.state is State.PENDING for photo in self.return_.photos)

    def as_json(self) -> dict[str, Any]:
        """Return an entry of `awaiting --json` and of a report."""
        back = self.return_
        return {
            "campaign": back.campaign,
            "store": back.store,
            "order": back.order,
            "return": back.return_id,
            "status": back.status,
            "created_at": iso(back.created_at) if back.created_at > 0 else None,
            "hours_left": None if self.hours_left is None else round(self.hours_left, 1),
            "photos": len(back.photos),
            "pending": self.pending,
        }

    def __str__(self) -> str:
        """Return `order 500000028, return 40000028: about 5 h left`."""
        return f"order {self.return_.order}, return {self.return_.return_id}: {time_left(self.hours_left)}"


class AwaitingSummary(NamedTuple):
    """How many returns await a decision, and which is the most urgent."""

    total: int = 0
    most_urgent: AwaitingReturn | None = None

    def as_json(self) -> dict[str, Any]:
        """Return `awaiting` of `status --json` and of a report."""
        return {"count": self.total, "most_urgent": self.most_urgent and self.most_urgent.as_json()}

    def __str__(self) -> str:
        """Return the text that `status` and a run print."""
        urgent = f"; most urgent: {self.most_urgent} (an estimate)" if self.most_urgent else ""
        return f"{counted(self.total, 'return')} {'awaits' if self.total == 1 else 'await'} your decision{urgent}"


def hours_left(created_at: float, now: float) -> float | None:
    """Return the hours until a decision is due, an estimate. Both are in seconds since 1970."""
    return (created_at - now) / 3600 + HOURS if created_at > 0 else None


def time_left(hours: float | None) -> str:
    """Return the time left in words."""
    if hours is None:
        return "created at an unknown time"
    if hours < 0:
        return f"the {HOURS} h were over about {human_time(-hours * 3600)} ago"
    return f"about {human_time(hours * 3600)} left"


def awaiting_of(reader: Reader, now: float, most: int = -1) -> Iterator[AwaitingReturn]:
    """Yield a store's returns that await a decision, most urgent first; at most so many. Blocks.

    `now` is in seconds since 1970. They are known as of `reader.watermark()`. Raises CatalogUnusable.
    """
    for back in reader.awaiting(most):
        yield AwaitingReturn(back, hours_left(back.created_at, now))


def summary_of(reader: Reader, now: float) -> AwaitingSummary:
    """Return the summary of a store. Blocks. Raises CatalogUnusable."""
    return AwaitingSummary(reader.awaiting_count(), next(awaiting_of(reader, now, most=1), None))


def merged(summaries: Iterable[AwaitingSummary]) -> AwaitingSummary:
    """Return the summary of several stores."""
    known = list(summaries)
    urgent = most_urgent_first(summary.most_urgent for summary in known if summary.most_urgent)
    return AwaitingSummary(sum(summary.total for summary in known), next(iter(urgent), None))


def most_urgent_first(found: Iterable[AwaitingReturn]) -> list[AwaitingReturn]:
    """Return the returns of several stores in the order of their creation."""
    return sorted(found, key=lambda awaiting: awaiting.return_.created_at)
