"""A run whose stores are at work in other processes."""

import asyncio
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from market_photos import console
from market_photos.cluster.batch import (
    Job,
    Result,
    StopRequest,
    ended_of,
    progress_of,
    reports_of,
    run_batch,
    stop_job,
)
from market_photos.cluster.budget import SharedBudget
from market_photos.cluster.engine import BATCHES_AT_ONCE, Engine, MakeEngine
from market_photos.errors import ArchiveUnwritable, KeyRefused, MarketPhotosError
from market_photos.market.client import Client
from market_photos.reporting.progress import RunProgress, StoreProgress
from market_photos.reporting.report import Report, StoreReport
from market_photos.sync.discovery import Candidate
from market_photos.sync.progress import run_progress
from market_photos.sync.run import Run
from market_photos.sync.store_locks import StoreLocks
from market_photos.sync.urgency import most_urgent_first

log = logging.getLogger(__name__)

#: Seconds between two looks at the processes of this machine. A run without any is stopped at the third.
WATCH_SECONDS = 10.0
#: Seconds between two messages to the processes that the run ends. One that has just started has missed the first.
STOP_SECONDS = 1.0


def in_batches(candidates: list[Candidate], processes: int, size: int) -> Iterator[list[Candidate]]:
    """Yield the stores in batches of at most `size`; neighbours, which are equally urgent, go to different ones."""
    for start in range(0, len(candidates), processes * size):
        window = candidates[start : start + processes * size]
        yield from (window[first::processes] for first in range(min(processes, len(window))))


def batch_size(stores: int, processes: int, stores_at_once: int) -> int:
    """Return how many stores a batch has, so that each process gets BATCHES_AT_ONCE batches or more."""
    return max(1, min(stores_at_once // BATCHES_AT_ONCE, -(-stores // (processes * BATCHES_AT_ONCE))))


class ClusterRun(Run):
    """A run that hands its stores to processes in batches. Each batch claims and locks its stores itself."""

    def __init__(self, job: Job, engine: MakeEngine, *run: Any) -> None:
        super().__init__(*run)
        self._job = job
        self._make_engine = engine
        self._engine: Engine | None = None
        self._is_local = False
        self._requests = 0
        self._failure: MarketPhotosError | None = None
        """Why the run ends early, if its processes are the reason."""

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
        at_once = self.settings.limits.stores_at_once
        candidates = await asyncio.to_thread(most_urgent_first, self._archive.catalogs, candidates, self.clock)
        with tempfile.TemporaryDirectory(prefix="market-photos-") as scratch:
            if self.options.max_photos is not None:
                self._job = replace(self._job, budget=Path(scratch, "photos-left"))
                SharedBudget.make(Path(scratch, "photos-left"), self.options.max_photos)
            async with self._make_engine(scratch) as engine:
                self._engine, self._is_local = engine, engine.is_local
                try:
                    processes = len(await engine.processes())
                    if not processes:
                        console.say("no worker is connected; waiting for one (Ctrl-C ends this)")
                    size = batch_size(len(candidates), max(1, processes), at_once)
                    return await self._hand_out(engine, list(in_batches(candidates, max(1, processes), size)))
                finally:
                    self._engine = None

    async def progress(self) -> list[StoreProgress]:
        """Return the progress of the stores at work in all processes."""
        found = [store for stores in await self._ask(progress_of) for store in stores]
        return sorted(found, key=lambda store: store.title)

    async def overview(self) -> RunProgress:
        """Return how far the run is, over all its stores."""
        ended = [*self.ended, *(report for found in await self._ask(ended_of) for report in found)]
        return run_progress(self.seconds, self.planned, ended, await self.progress())

    async def _ask(self, question: Callable[..., Any], *arguments: Any) -> list[Any]:
        return await self._engine.ask_all(question, self._job.id, *arguments) if self._engine else []

    async def _hand_out(self, engine: Engine, batches: list[list[Candidate]]) -> list[StoreReport]:
        tasks = [asyncio.create_task(engine.do(run_batch, self._job, batch)) for batch in batches]
        helpers = [asyncio.create_task(self._pass_on_stop(engine, tasks)), asyncio.create_task(self._watch(engine))]
        try:
            await asyncio.gather(*map(self._keep_result, tasks, batches))
        finally:
            for helper in helpers:
                helper.cancel()
        return self.ended

    async def _keep_result(self, task: "asyncio.Task[Result]", batch: list[Candidate]) -> None:
        """Wait for a batch, and keep its reports. A refused key or a full disk stops the whole run."""
        try:
            reports, requests = await task
        except asyncio.CancelledError:
            if not self.stop.requested:
                raise
            reports, requests = self._unfinished(batch), 0
        except MarketPhotosError as error:
            reports, requests = reports_of(batch, error), 0
        except Exception as error:
            log.exception("the batch that begins with %s failed", batch[0].title)
            failure = MarketPhotosError(
                f"Its process failed: {error}.", "Run the same command again. If it stays, keep the log."
            )
            reports, requests = reports_of(batch, failure), 0
        self.ended += reports
        self._requests += requests
        ends_all = (KeyRefused, ArchiveUnwritable) if self._is_local else KeyRefused
        for failed in (report.error for report in reports):
            if isinstance(failed, ends_all):
                self.stop.request(failed.exit_code, failed.message)

    def _unfinished(self, batch: list[Candidate]) -> list[StoreReport]:
        """Return the reports of stores that a stop has left without a process."""
        if self._failure:
            return reports_of(batch, self._failure)
        return [StoreReport(store.campaign, store.name, exit_code=self.stop.code) for store in batch]

    async def _pass_on_stop(self, engine: Engine, tasks: "list[asyncio.Task[Result]]") -> None:
        await self.stop.wait()
        while True:
            await self._ask(stop_job, StopRequest(self.stop.code, self.stop.reason))
            if not await engine.processes():  # nobody is there to end them
                for task in tasks:
                    task.cancel()
            await asyncio.sleep(STOP_SECONDS)

    async def _watch(self, engine: Engine) -> None:
        """Stop a run whose processes on this machine have all died. The engine starts most of them again, not all."""
        missing = 0
        while engine.is_local:
            await asyncio.sleep(WATCH_SECONDS)
            missing = 0 if await engine.processes() else missing + 1
            if missing == 3:
                self._failure = MarketPhotosError(
                    "All processes of this run have died, one after the other.",
                    "The machine may lack memory: try fewer --processes, or fewer stores_at_once in [limits]. The "
                    "next run goes on where this one stopped.",
                )
                self.stop.request(self._failure.exit_code, self._failure.message)
