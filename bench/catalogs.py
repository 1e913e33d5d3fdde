"""Catalogues of any size whose returns are those that `corpus` serves, so that a sync can continue from them.

They have rows only: archived photos have no files.
"""

import sqlite3
from pathlib import Path

from market_photos.archive.catalog.catalog import Catalog
from market_photos.clock import SystemClock
from market_photos.market.records import read_returns
from tests.records import record

CAMPAIGN = 100
PER_RETURN = 2
#: Returns written in one transaction.
STEP = 5000

_ARCHIVE = (
    "UPDATE photos SET state = 'archived', suffix = '.jpg', size = 1000000 + id % 1000, sha256 = randomblob(32), "
    "content_type = 'image/jpeg', note = ''"
)


def make(folder: Path, photos: int, *, archived: bool = True) -> Path:
    """Make the catalogue in a store's folder and return its path; the photos are archived, or all pending."""
    folder.mkdir(parents=True, exist_ok=True)
    campaign, returns, clock = int(folder.name), photos // PER_RETURN, SystemClock()
    with Catalog(folder, campaign, clock) as catalog:
        for start in range(0, returns, STEP):
            numbers = range(start, min(start + STEP, returns))
            rows, _ = read_returns(campaign, [record(number, PER_RETURN) for number in numbers])
            catalog.returns.record_page(rows, 1)
        catalog.returns.move_watermark(clock.now().wall)
    if archived:
        connection = sqlite3.connect(catalog.path)
        with connection:
            connection.execute(_ARCHIVE)
            connection.execute("UPDATE returns SET saved = 1")
        connection.close()
    return catalog.path
