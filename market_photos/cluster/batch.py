"""Run a batch of stores in a worker process. The engine calls `run_batch`."""

import asyncio
import signal
from contextlib import suppress
from dataclasses import replace
from random import SystemRandom

from market_photos import console
from market_photos.archive.places import open_archive
from market_photos.clock import SystemClock
from market_photos.cluster import process
from market_photos.cluster.budget import SharedBudget
from market_photos.cluster.job import Job, LogOptions, Result, StopRequest, reports_of, sendable
from market_photos.cluster.process import Batch, Home
from market_photos.config import Settings, load
from market_photos.errors import AlreadyRunning, ArchiveUnwritable, ExitCode, MarketPhotosError, ends_every_store
from market_photos.market.client import Client
from market_photos.reporting.report import StoreReport
from market_photos.sync.discovery import Candidate, Discovered, ask_time
from market_photos.sync.progress_file import write_progress
from market_photos.sync.run import Run
from market_photos.sync.shard import WHOLE
from market_photos.sync.stop import Stop
from market_photos.sync.store_locks import CLAIMED, StoreLocks

#: Attempts to get the stores of a process that has died, until they are free.
TAKEOVER_TRIES = 40


class _BatchRun(Run):
    """A run over stores that another process has found."""

    def __init__(self, job: Job, candidates: list[Candidate], settings: Settings, stop: Stop) -> None:
        campaigns = tuple(candidate.campaign for candidate in candidates)
        options = replace(job.options, campaigns=campaigns, shard=WHOLE, max_seconds=None)
        budget = SharedBudget(job.budget) if job.budget else None
        super().__init__(settings, job.plan, options, SystemClock(), SystemRandom(), stop=stop, budget=budget)
        self._candidates = candidates
        self._claimed: set[int] = set()

    def claim_stores(self, locks: StoreLocks, campaigns: list[int]) -> set[int]:
        """Claim stores; return those that no other run has. It may be none: each has its own reason."""
        self._claimed = locks.claim(campaigns)
        return self._claimed

    async def find_stores(self, client: Client, named: list[int]) -> Discovered:
        """Return the stores, after a request that tells the server's time."""
        requests = await ask_time(client, self.clock, self.rng) if self._claimed else 0
        return Discovered(self._candidates, [], requests)

    async def visit_stores(self, candidates: list[Candidate], client: Client, locks: StoreLocks) -> list[StoreReport]:
        """Visit the stores, as the other batches of this process leave room."""
        return await self.visit_side_by_side(candidates, client, locks, process.room(self.settings.limits))


async def run_batch(job: Job, candidates: list[Candidate]) -> Result:
    """Run the stores side by side and return their reports, and which of them are left for another process."""
    home = process.home()
    if home is None:
        _set_up_process(job.log)
    working = asyncio.create_task(_work(job, candidates, home))
    try:
        # The engine cancels its tasks when the scheduler is lost. The stores end in order all the same.
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        process.stop_all(StopRequest(ExitCode.TERMINATED, "the scheduler is lost"))
        raise


def _set_up_process(log: LogOptions) -> None:
    """Log as the command line says, and leave signals to the process that the user has started.

    Ctrl-C and systemd send them to every process, and stores must end in order.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    console.set_up_logging(log.verbose, log.quiet, as_json=log.as_json)


async def _work(job: Job, candidates: list[Candidate], home: Home | None) -> Result:
    with process.at_work(job.id, candidates) as batch:
        try:
            settings = home.settings if home else load(job.config)
            console.redact.hide(settings.api_key())
        except MarketPhotosError as error:
            return Result(sendable(reports_of(candidates, error)), 0)
        reports, requests = await _run_all(job, candidates, settings, batch)
    errors = [report.error for report in reports.values() if ends_every_store(report.error)]
    unwritable = [error for error in errors if isinstance(error, ArchiveUnwritable)]
    if home and unwritable:
        home.leave_because_of(unwritable[0])
        batch.stop.request(home.leaving.code, home.leaving.reason)
    ended = {report.campaign for report in reports.values() if report.exit_code is not batch.stop.code}
    left = set(batch.campaigns) - ended if batch.stop.requested else ()
    return Result(sendable(reports.values()), requests, frozenset(left), home.address if home else "")


async def _run_all(
    job: Job, candidates: list[Candidate], settings: Settings, batch: Batch
) -> tuple[dict[int, StoreReport], int]:
    """Run the stores; try those again that an earlier attempt of the same run still holds, which may have died."""
    reports: dict[int, StoreReport] = {}
    patience = open_archive(settings.archive).takeover_seconds
    requests, left, until = 0, candidates, asyncio.get_running_loop().time() + patience
    while left and not batch.stop.requested:
        result = await _attempt(_BatchRun(job, left, settings, batch.stop), batch, left)
        requests += result.requests
        reports |= {report.campaign: report for report in result.reports}
        left = [store for store in left if _is_held_by(job, reports[store.campaign].error)]
        if asyncio.get_running_loop().time() > until:
            break
        if left:
            with suppress(TimeoutError):
                await asyncio.wait_for(batch.stop.wait(), patience / TAKEOVER_TRIES)
    if batch.stop.requested:
        for store in left:  # another process waits for them instead
            reports.pop(store.campaign, None)
    return reports, requests


def _is_held_by(job: Job, error: MarketPhotosError | None) -> bool:
    """Return whether a process of the same run has the store; a claim does not say whose it is."""
    return isinstance(error, AlreadyRunning) and (f"(run {job.id})" in error.message or CLAIMED in error.message)


async def _attempt(run: Run, batch: Batch, candidates: list[Candidate]) -> Result:
    batch.run = run
    writing = asyncio.create_task(write_progress(run))
    try:
        report = await run()
        return Result(report.stores, report.other_requests)
    except MarketPhotosError as error:
        return Result(reports_of(candidates, error), 0)
    finally:
        batch.run = None
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
