"""Keep the indexes of all stores up to date while pages are served, in a separate thread."""

import asyncio
import logging
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from market_photos.browse import indexer
from market_photos.browse.stores import Stores
from market_photos.errors import MarketPhotosError

log = logging.getLogger(__name__)
#: Seconds between two updates; after a long one 20 times its duration.
PAUSE = 3.0
PAUSE_SHARE = 20
#: Seconds between two comparisons of every return; after a long one 60 times its duration.
COMPARE_PAUSE = 300.0
COMPARE_SHARE = 60
#: Seconds between two looks for newer catalogues, if the archive is in a bucket.
FETCH_PAUSE = 30.0


class IndexRefresher:
    """Updates the indexes in one thread of its own."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._stopped = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="browse-index")
        self.troubles: dict[int, str] = {}
        """Why the last update of an index, or of the catalogue before it, failed, by store."""
        self._unfetched: set[int] = set()
        self._progress: dict[int, float] = {}
        self._compare_at: dict[int, float] = {}
        self._next: dict[int, float] = {}
        self._fetch_at = 0.0

    def progress(self) -> float | None:
        """Return the share of the current update that is done, 0 to 1; None if there is no long update."""
        shares = list(self._progress.values())
        return min(shares) if shares else None

    def refresh(self, *, force: bool = False) -> int:
        """Update all indexes and return the number of returns written. Blocks.

        Raises ArchiveUnwritable where the stores cannot be listed; an error of one store is logged.
        """
        self._fetch()
        return sum(self._update(campaign, force) for campaign in self._stores.campaigns())

    def _fetch(self) -> None:
        """Bring the catalogues up to date, now and then."""
        if self._stopped.is_set() or time.monotonic() < self._fetch_at:
            return
        try:
            errors = self._stores.source.fetch_each()
        except MarketPhotosError as error:
            log.warning("%s %s", error.message, error.hint)
        else:
            for campaign in self._unfetched - errors.keys():
                self.troubles.pop(campaign, None)
            self._unfetched = set(errors)
            for campaign, unusable in errors.items():
                self._fail(campaign, f"{unusable.message} {unusable.hint}")
        self._fetch_at = time.monotonic() + FETCH_PAUSE

    def _update(self, campaign: int, force: bool) -> int:
        began = time.monotonic()
        if self._stopped.is_set() or campaign in self._unfetched:
            return 0
        if not force and began < self._next.get(campaign, 0):
            return 0
        everything = began >= self._compare_at.get(campaign, 0)
        try:
            written = indexer.update(
                self._stores.folder(campaign),
                self._stores.views(campaign),
                everything=everything,
                progress=lambda share: self._progress.__setitem__(campaign, share),
                stopped=self._stopped.is_set,
            )
        except MarketPhotosError as error:
            return self._fail(campaign, f"{error.message} {error.hint}")
        except (sqlite3.Error, OSError) as error:
            return self._fail(campaign, f"{self._stores.folder(campaign)}: {error}")
        else:
            self.troubles.pop(campaign, None)
            return written
        finally:
            self._progress.pop(campaign, None)
            took = time.monotonic() - began
            self._next[campaign] = time.monotonic() + took * PAUSE_SHARE
            if everything:
                self._compare_at[campaign] = time.monotonic() + max(COMPARE_PAUSE, took * COMPARE_SHARE)

    def _fail(self, campaign: int, trouble: str) -> int:
        if not self._stopped.is_set() and self.troubles.get(campaign) != trouble:
            log.warning("store %s: the search cannot be brought up to date: %s", campaign, trouble)
            self.troubles[campaign] = trouble
        return 0

    async def run(self) -> None:
        """Update until cancelled. A failed update is repeated, and its error logged once."""
        logged = ""
        while True:
            trouble, unforeseen = "", None
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self.refresh)
            except MarketPhotosError as error:
                trouble = f"{error.message} {error.hint}"
            except Exception as error:
                trouble, unforeseen = repr(error), error
            if trouble not in {"", logged}:
                log.warning("the search cannot be brought up to date: %s", trouble, exc_info=unforeseen)
            logged = trouble
            await asyncio.sleep(PAUSE)

    def close(self) -> None:
        """End the current update after its transaction."""
        self._stopped.set()
        self._thread.shutdown(cancel_futures=True)
