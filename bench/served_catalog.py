"""A catalogue of any size whose returns are those that `corpus` serves, so that a sync can go on from it.

Rows only: there are no files behind the archived photos. `make_catalog.py` makes mixed states to look at.
"""

import sqlite3
from pathlib import Path

from market_photos.archive.catalog.catalog import Catalog
from market_photos.clock import SystemClock
from market_photos.market.records import read_returns
from tests.records import record

CAMPAIGN = 100
PER_RETURN = 2
#: Returns in a transaction.
STEP = 5000

_ARCHIVE = (
    "UPDATE photos SET state = 'archived', suffix = '.jpg', size = 1000000 + id % 1000, sha256 = randomblob(32), "
    "content_type = 'image/jpeg', note = '' WHERE return_row <= ?"
)


def make(folder: Path, photos: int, *, archived: float = 1.0) -> Path:
    """The path of the catalogue in the store's folder; `archived`: the share of returns whose photos have come."""
    folder.mkdir(parents=True, exist_ok=True)
    returns = photos // PER_RETURN
    clock = SystemClock()
    with Catalog(folder, CAMPAIGN, clock) as catalog:
        for start in range(0, returns, STEP):
            numbers = range(start, min(start + STEP, returns))
            rows, _ = read_returns(CAMPAIGN, [record(number, PER_RETURN) for number in numbers])
            catalog.returns.record_page(rows, 1)
        catalog.returns.move_watermark(clock.now().wall)
    _mark(catalog.path, round(returns * archived))
    return catalog.path


def _mark(path: Path, returns: int) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(_ARCHIVE, (returns,))
        connection.execute("UPDATE returns SET saved = 1 WHERE id <= ?", (returns,))
    connection.close()
