"""A run whose stores are at work in several processes of this machine."""

import asyncio
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from market_photos.cluster.batch import Job, StopRequest, progress_of, reports_of, run_batch, stop_job, sums_of
from market_photos.cluster.budget import SharedBudget
from market_photos.cluster.engine import local_engine
from market_photos.errors import ArchiveUnwritable, KeyRefused, MarketPhotosError
from market_photos.market.client import Client
from market_photos.reporting.progress import StoreProgress
from market_photos.reporting.report import Report, StoreReport
from market_photos.sync.descriptors import stores_that_fit
from market_photos.sync.discovery import Candidate
from market_photos.sync.progress import SHOWN_STORES, overview
from market_photos.sync.run import Run
from market_photos.sync.store_locks import StoreLocks
from market_photos.sync.urgency import most_urgent_first

log = logging.getLogger(__name__)

#: Batches for each process where there are enough stores: a process that is done early takes another one.
BATCHES_EACH = 4
#: Seconds between two messages to the processes that the run ends. One that has just started has missed the first.
STOP_SECONDS = 1.0
#: Seconds that a process has to say how far it is.
ANSWER_SECONDS = 5.0


def in_batches(candidates: list[Candidate], processes: int, size: int) -> Iterator[list[Candidate]]:
    """Yield the stores in batches of at most `size`; neighbours, which are equally urgent, go to different ones."""
    for start in range(0, len(candidates), processes * size):
        window = candidates[start : start + processes * size]
        yield from (window[first::processes] for first in range(min(processes, len(window))))


class ProcessesRun(Run):
    """A run that hands its stores to processes in batches. Each batch claims and locks its stores itself."""

    def __init__(self, job: Job, processes: int, *run: Any) -> None:
        super().__init__(*run)
        self._job = job
        self._processes = processes
        self._engine: Any = None
        self._requests = 0

    async def __call__(self) -> Report:
        """Return the report. Raises MarketPhotosError for the run as a whole; a store's error is in its report."""
        report = await super().__call__()
        report.other_requests += self._requests
        return report

    def claim_stores(self, locks: StoreLocks, campaigns: list[int]) -> set[int]:
        """Return all of them: the batches claim their stores."""
        return set(campaigns)

    async def visit_stores(self, candidates: list[Candidate], client: Client, locks: StoreLocks) -> list[StoreReport]:
        """Run the stores in the processes; return a report for each."""
        if not candidates:
            return []
        self.planned, self.has_stores = len(candidates), True
        limits, share = self.settings.limits, -(-len(candidates) // self._processes)
        # The processes inherit the limit of open files.
        at_once = stores_that_fit(min(limits.stores_at_once, share), limits.parallel_requests)
        size = min(at_once, -(-share // BATCHES_EACH))
        if at_once < share:
            candidates = await asyncio.to_thread(most_urgent_first, self._archive.catalogs, candidates, self.clock)
        with tempfile.TemporaryDirectory(prefix="market-photos-") as scratch:
            if self.options.max_photos is not None:
                self._job = replace(self._job, budget=Path(scratch, "photos-left"))
                SharedBudget.make(Path(scratch, "photos-left"), self.options.max_photos)
            async with local_engine(self._processes, at_once // size, scratch) as engine:
                self._engine = engine
                try:
                    return await self._hand_out(list(in_batches(candidates, self._processes, size)))
                finally:
                    self._engine = None

    async def progress(self, most: int | None = None) -> list[StoreProgress]:
        """Return the progress of the stores at work in all processes, or of the first `most` of them."""
        found = [store for stores in await self._ask(progress_of, most) for store in stores]
        return sorted(found, key=lambda store: store.title)[:most]

    async def overview(self) -> str:
        """Return the sums over all stores as a line; empty where they are few, and `progress` shows each."""
        if self.planned <= SHOWN_STORES:
            return ""
        sums = await self._ask(sums_of)
        ended = [*self.ended, *(report for found in sums for report in found.ended)]
        return overview(self.planned, ended, [counters for found in sums for counters in found.at_work])

    async def _ask(self, question: Any, *arguments: Any) -> list[Any]:
        """Return the answers of all processes; none where one of them does not answer."""
        if self._engine is None:
            return []
        asked = self._engine.run(question, self._job.id, *arguments, on_error="ignore")
        try:
            return list((await asyncio.wait_for(asked, ANSWER_SECONDS)).values())
        except (OSError, TimeoutError):  # one is dying, or paused
            return []

    async def _hand_out(self, batches: list[list[Candidate]]) -> list[StoreReport]:
        stopping = asyncio.create_task(self._pass_on_stop())
        try:
            await asyncio.gather(*map(self._run_batch, batches))
        finally:
            stopping.cancel()
        return self.ended

    async def _run_batch(self, batch: list[Candidate]) -> None:
        """Let a process run a batch, and keep its reports. A refused key or a full disk stops the whole run."""
        task = self._engine.submit(run_batch, self._job, batch, pure=False)
        try:
            reports, requests = await task
        except Exception as error:
            log.exception("the batch that begins with %s failed", batch[0].title)
            failure = MarketPhotosError(f"Its process failed: {error}.", "Run it again. If it stays, report it.")
            reports, requests = reports_of(batch, failure), 0
        finally:
            task.release()  # a result that stays in its process would be lost with it, and made again
        self.ended += reports
        self._requests += requests
        for failed in (report.error for report in reports):
            if isinstance(failed, KeyRefused | ArchiveUnwritable):
                self.stop.request(failed.exit_code, failed.message)

    async def _pass_on_stop(self) -> None:
        await self.stop.wait()
        while True:
            await self._ask(stop_job, StopRequest(self.stop.code, self.stop.reason))
            await asyncio.sleep(STOP_SECONDS)
