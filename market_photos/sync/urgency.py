"""Which stores a run opens first, if they are too many to open all at once."""

import math
from collections.abc import Iterable
from pathlib import Path

from market_photos.archive import layout
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.clock import Clock
from market_photos.errors import MarketPhotosError
from market_photos.sync.discovery import Candidate


def most_urgent_first(archive: Path, candidates: Iterable[Candidate], clock: Clock) -> list[Candidate]:
    """Sort stores: first those with photos that are pending or failed, then by the newest return on record.

    A store without a readable catalogue comes first: all of it is pending, or its owner should hear of it soon.
    Blocks for some milliseconds a store.
    """
    return sorted(candidates, key=lambda candidate: _rank(archive, candidate.campaign, clock))


def _rank(archive: Path, campaign: int, clock: Clock) -> tuple[bool, float]:
    try:
        with Catalog(layout.store_folder(archive, campaign), campaign, clock, read_only=True) as catalog:
            tally = catalog.photos.tally()
            is_done = not (tally[State.PENDING].photos or tally[State.FAILED].photos)
            return is_done, -catalog.returns.newest()
    except MarketPhotosError:
        return False, -math.inf
