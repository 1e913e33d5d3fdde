"""A run whose stores are at work in other processes."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from market_photos.archive import layout
from market_photos.cluster.budget import SharedBudget
from market_photos.cluster.engine import BATCHES_AT_ONCE, Engine, MakeEngine
from market_photos.cluster.hand_out import HandOut
from market_photos.cluster.job import Job
from market_photos.cluster.process import ended_of, progress_of
from market_photos.market.client import Client
from market_photos.reporting.progress import RunProgress, StoreProgress
from market_photos.reporting.report import Report, StoreReport
from market_photos.sync.discovery import Candidate
from market_photos.sync.progress import run_progress
from market_photos.sync.run import Run
from market_photos.sync.stock import stock_of
from market_photos.sync.store_locks import StoreLocks
from market_photos.sync.urgency import most_urgent_first
from market_photos.threads import abandonable


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
        self.planned = len(candidates)
        candidates = await abandonable(partial(most_urgent_first, self._archive, candidates, self.clock))
        with tempfile.TemporaryDirectory(prefix="market-photos-") as scratch:
            if self.options.max_photos is not None:
                self._job = replace(self._job, budget=Path(scratch, "photos-left"))
                SharedBudget.make(Path(scratch, "photos-left"), self.options.max_photos)
            async with self._make_engine(scratch) as engine:
                self._engine, self.visitor.has_begun = engine, True
                try:
                    await self._hand_out(engine, candidates)
                finally:
                    self._engine = None
        return self.ended

    async def _hand_out(self, engine: Engine, candidates: list[Candidate]) -> None:
        processes = max(1, len(await engine.processes() or []))
        size = batch_size(len(candidates), processes, self.settings.limits.stores_at_once)
        hand_out = HandOut(engine, self._job, self.stop, self.ended, self._stock_of)
        await hand_out(list(in_batches(candidates, processes, size)))
        self._requests = hand_out.requests

    def _stock_of(self, candidate: Candidate) -> StoreReport:
        folder = layout.store_folder(self._archive.catalogs, candidate.campaign)
        return stock_of(folder, candidate, self.clock, self.plan.only)

    async def progress(self) -> list[StoreProgress]:
        """Return the progress of the stores at work in all processes."""
        found = [store for stores in await self._ask(progress_of) for store in stores]
        return sorted(found, key=lambda store: store.title)

    async def overview(self) -> RunProgress:
        """Return how far the run is, over all its stores."""
        ended = [*self.ended, *(report for found in await self._ask(ended_of) for report in found)]
        return run_progress(self.seconds, self.planned, ended, await self.progress())

    async def _ask(self, question: Callable[..., Any]) -> list[Any]:
        return await self._engine.ask_all(question, self._job.id) if self._engine else []
