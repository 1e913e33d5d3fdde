"""Which stores a run opens first, if they are too many to open all at once."""

import math

from market_photos.archive import layout
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.hashing import in_threads
from market_photos.archive.place import Archive
from market_photos.archive.urgency import Urgency
from market_photos.clock import Clock
from market_photos.errors import MarketPhotosError
from market_photos.sync.discovery import Candidate

#: Stores that are looked at side by side: with object storage each waits for a request.
LOOKING_THREADS = 16
#: Of a store without a readable record: all of it may be pending, or its owner should hear of it soon.
UNKNOWN = Urgency(True, math.inf)


def most_urgent_first(archive: Archive, candidates: list[Candidate], clock: Clock) -> list[Candidate]:
    """Sort stores: first those with photos that are pending or failed, then by the newest return on record.

    Blocks: for some milliseconds a store, or for a request to object storage.
    """
    found = list(in_threads(lambda store: _urgency(archive, store.campaign, clock), candidates, LOOKING_THREADS))
    return [store for _, store in sorted(zip(found, candidates, strict=True), key=lambda pair: pair[0].rank)]


def _urgency(archive: Archive, campaign: int, clock: Clock) -> Urgency:
    try:
        if left := archive.urgency(campaign):
            return left
        with Catalog(layout.store_folder(archive.catalogs, campaign), campaign, clock, read_only=True) as catalog:
            return catalog.urgency()
    except MarketPhotosError:
        return UNKNOWN
