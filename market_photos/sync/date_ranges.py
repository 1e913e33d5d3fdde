"""Which dates to list. Pure.

The API filters by date of update, and documents neither the time zone nor whether the last day is included (method
`getReturns`). So every range is requested a day wider at both ends, and what comes twice is recorded once.
"""

import datetime as dt
from typing import NamedTuple

from market_photos.clock import SLACK, ServerTime

DAY = dt.timedelta(days=1)


class DateRange(NamedTuple):
    """Dates of update, both included; None: open."""

    first: dt.date | None
    last: dt.date | None

    def padded(self) -> tuple[str | None, str | None]:
        """Return the values of fromDate and toDate, a day wider at both ends."""
        return (
            (self.first - DAY).isoformat() if self.first else None,
            (self.last + DAY).isoformat() if self.last else None,
        )

    def __str__(self) -> str:
        return f"{self.first or 'the beginning'} to {self.last or 'now'}"


def day_of(wall: float) -> dt.date:
    """Return the date of a moment (seconds since 1970) in UTC."""
    return dt.datetime.fromtimestamp(wall, dt.UTC).date()


def is_ahead(watermark: float, server: ServerTime | None) -> bool:
    """Return whether a watermark lies in the server's future, so that a wrong clock must have set it."""
    return server is not None and watermark > server.latest + SLACK


def fresh(watermark: float | None, overlap_days: int, first_sync_from: dt.date | None) -> DateRange:
    """Return what a nightly sync lists: from `overlap_days` before the watermark, or the first time everything.

    `first_sync_from` limits the first time.
    """
    if watermark is None:
        return DateRange(first_sync_from, None)
    return DateRange(_days_before(day_of(watermark), overlap_days), None)


def _days_before(day: dt.date, days: int) -> dt.date:
    try:
        return day - dt.timedelta(days=days)
    except OverflowError:
        return dt.date.min + DAY


def months(first: dt.date, last: dt.date) -> list[DateRange]:
    """Return the calendar months of a range, cut off at both ends, newest first."""
    windows = []
    while first <= last:
        next_month = (first.replace(day=1) + 32 * DAY).replace(day=1)
        windows.append(DateRange(first, min(last, next_month - DAY)))
        first = next_month
    return windows[::-1]
