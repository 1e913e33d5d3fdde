"""What a run does in each store."""

import datetime as dt
from dataclasses import dataclass

from market_photos.model import OrderRef, ReturnRef, Wanted


class Plan:
    """One of the plans below."""

    full: bool = False
    """Whether photos that were given up, or have been gone for long, are requested once more."""
    only: Wanted | None = None
    """The return or the order whose photos alone are wanted."""


@dataclass(frozen=True)
class Nightly(Plan):
    """List what was updated since the last complete listing, or everything; download all that is pending."""

    full: bool = False


@dataclass(frozen=True)
class Backfill(Plan):
    """List the returns updated from `first` to `last`, month by month, and fresh returns now and then."""

    first: dt.date
    last: dt.date


@dataclass(frozen=True)
class OneReturn(Plan):
    """Download the photos of one return."""

    only: ReturnRef


@dataclass(frozen=True)
class OneOrder(Plan):
    """Download the photos of all returns of one order."""

    only: OrderRef
