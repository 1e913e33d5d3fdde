"""Read the last runs and the state of every store from catalogues and indexes. Everything here blocks."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from market_photos.archive import lock
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.requests import PastRun
from market_photos.browse import index
from market_photos.browse.query import TAGS, Query
from market_photos.browse.stores import Stores, collect_troubles
from market_photos.clock import Clock, moscow_day
from market_photos.model import PhotoKey
from market_photos.reporting.run_log import last_runs
from market_photos.reporting.status import StoreStatus, read_status, with_holder
from market_photos.settings import Limits

SHOWN_RUNS = 8
SHOWN_FAILURES = 5
#: The chart of reasons covers returns created in this many days.
REASON_DAYS = 30


@dataclass
class StoreRuns:
    """The state and the last runs of a store; `status` is None where its catalogue cannot be read."""

    campaign: int
    at_work: lock.Holder | None = None
    trouble: str = ""
    status: StoreStatus | None = None
    runs: Sequence[PastRun] = ()
    failures: Sequence[tuple[PhotoKey, str, int, int]] = ()


@dataclass
class Overview:
    """The state of every store, and the numbers of the charts."""

    stores: list[StoreRuns]
    runs: list[PastRun]
    """The last runs of the archive, also those that reached no store."""
    downloaded: dict[int, int]
    """Photos archived, by days since 1970 in Moscow."""
    reasons: dict[str, int]
    today: int

    @property
    def is_at_work(self) -> bool:
        """Whether a run is at work on any store."""
        return any(store.at_work for store in self.stores)


def overview(stores: Stores, limits: Limits, clock: Clock) -> Overview:
    """Return the state of every store. A store that cannot be read has its `trouble` set."""
    found = [_of_store(stores, campaign, limits, clock) for campaign in stores.campaigns()]
    today = moscow_day(clock.now().wall)
    first = dt.date(1970, 1, 1) + dt.timedelta(days=today - REASON_DAYS + 1)
    downloaded: Counter[int] = Counter()
    reasons: Counter[str] = Counter()
    for campaign in stores.campaigns():
        with collect_troubles({}, campaign), stores.index(campaign) as connection:
            if connection is not None:
                downloaded.update(dict(index.get_meta(connection, "downloaded", [])))
                for tags, n in index.count(connection, campaign, Query(first=first)):
                    reasons.update({value: n for kind, value in tags if kind == TAGS["reason"]})
    return Overview(found, last_runs(stores.archive, SHOWN_RUNS), dict(downloaded), dict(reasons), today)


def _of_store(stores: Stores, campaign: int, limits: Limits, clock: Clock) -> StoreRuns:
    troubles: dict[int, str] = {}
    folder = stores.folder(campaign)
    found = StoreRuns(campaign, lock.holder_of(folder))
    with collect_troubles(troubles, campaign), Catalog(folder, campaign, clock, read_only=True) as catalog:
        found.runs = [with_holder(run, found.at_work) for run in catalog.runs.last(SHOWN_RUNS)]
        found.failures = catalog.photos.failures(SHOWN_FAILURES)
        found.status = read_status(catalog, folder, limits, clock)
    found.trouble = troubles.get(campaign, "")
    return found
