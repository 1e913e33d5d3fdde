"""Returns that await the seller's decision, most urgent first: for `awaiting`, `status`, reports and browse."""

import heapq
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownReturn, Reader
from market_photos.clock import iso

#: Hours in which a seller decides on a return (the official guide on returns). From which moment they count is
#: documented nowhere: counted from the creation of the return, they are an estimate.
HOURS = 48


class AwaitingReturn(NamedTuple):
    """A return that awaits the seller's decision."""

    return_: KnownReturn
    hours_left: float | None
    """An estimate, negative when the time is over; None if the date of creation is unknown."""

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
            "pending": sum(photo.state is State.PENDING for photo in back.photos),
        }


class AwaitingSummary(NamedTuple):
    """How many returns of a store await a decision, and which is the most urgent."""

    total: int = 0
    most_urgent: AwaitingReturn | None = None

    def as_json(self) -> dict[str, Any]:
        """Return `awaiting` of a store in `status --json` and in a report."""
        return {"count": self.total, "most_urgent": self.most_urgent and self.most_urgent.as_json()}


def hours_left(created_at: float, now: float) -> float | None:
    """Return the hours until a decision is due, an estimate. Both are in seconds since 1970."""
    return (created_at - now) / 3600 + HOURS if created_at > 0 else None


def awaiting_of(reader: Reader, now: float, most: int = -1) -> Iterator[AwaitingReturn]:
    """Yield a store's returns that await a decision, most urgent first; at most so many. Blocks.

    `now` is in seconds since 1970. What is awaited is known as of `reader.watermark()`. Raises CatalogUnusable.
    """
    for back in reader.awaiting(most):
        yield AwaitingReturn(back, hours_left(back.created_at, now))


def summary_of(reader: Reader, now: float) -> AwaitingSummary:
    """Return the summary of a store. Blocks. Raises CatalogUnusable."""
    return AwaitingSummary(reader.awaiting_count(), next(awaiting_of(reader, now, most=1), None))


def merged(stores: Iterable[Iterable[AwaitingReturn]]) -> Iterator[AwaitingReturn]:
    """Yield the returns of several stores, most urgent first."""
    return heapq.merge(*stores, key=lambda found: found.return_.created_at)
