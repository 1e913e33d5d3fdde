"""Run a batch of stores in a worker process. The engine calls these functions, several at once in one event loop."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import SystemRandom
from typing import NamedTuple
from uuid import uuid4

from market_photos import console
from market_photos.clock import SystemClock
from market_photos.cluster.budget import SharedBudget
from market_photos.config import load
from market_photos.errors import ExitCode, MarketPhotosError
from market_photos.market.client import Client
from market_photos.reporting.progress import StoreProgress
from market_photos.reporting.report import Counters, Report, StoreReport
from market_photos.sync.discovery import Candidate, Discovered, ask_time
from market_photos.sync.plan import Plan
from market_photos.sync.progress_file import write_progress
from market_photos.sync.run import Options, Run
from market_photos.sync.shard import WHOLE


class LogOptions(NamedTuple):
    """What a process writes on standard error, as for `console.set_up_logging`."""

    verbose: int = 0
    quiet: bool = False
    as_json: bool = False


@dataclass(frozen=True)
class Job:
    """What the batches of one run have in common. Each process reads the configuration and the key itself."""

    id: str
    config: Path | None
    plan: Plan
    options: Options
    log: LogOptions
    budget: Path | None = None
    """The file of a SharedBudget; None if there is no limit."""

    @classmethod
    def new(cls, config: Path | None, plan: Plan, options: Options, log: LogOptions) -> "Job":
        """Return a job with an id of its own."""
        return cls(uuid4().hex, config and config.absolute(), plan, options, log)


class Result(NamedTuple):
    """What became of a batch."""

    reports: list[StoreReport]
    requests: int
    """Requests that concern no single store."""


class StopRequest(NamedTuple):
    """Why a run ends early."""

    code: ExitCode
    reason: str


class Sums(NamedTuple):
    """How far the unfinished batches of one process are."""

    ended: list[StoreReport]
    at_work: list[Counters]


@dataclass
class _Batches:
    """The unfinished batches of a job in this process."""

    runs: list[Run] = field(default_factory=list)
    stop: StopRequest | None = None


_jobs: dict[str, _Batches] = {}


class _BatchRun(Run):
    """A run over stores that another process has found."""

    def __init__(self, job: Job, candidates: list[Candidate]) -> None:
        campaigns = tuple(candidate.campaign for candidate in candidates)
        options = replace(job.options, campaigns=campaigns, shard=WHOLE, max_seconds=None)
        super().__init__(load(job.config), job.plan, options, SystemClock(), SystemRandom())
        console.redact.hide(self.settings.api_key())
        self._candidates = candidates
        if job.budget:
            self.budget = SharedBudget(job.budget)

    async def find_stores(self, client: Client, named: list[int]) -> Discovered:
        """Return the stores, after a request that tells the server's time."""
        return Discovered(self._candidates, [], await ask_time(client, self.clock, self.rng))


async def run_batch(job: Job, candidates: list[Candidate]) -> Result:
    """Run the stores side by side and return their reports."""
    _set_up_process(job.log)
    try:
        report = await _run(job, _BatchRun(job, candidates))
    except MarketPhotosError as error:
        return Result(reports_of(candidates, error), 0)
    return Result(report.stores, report.other_requests)


async def progress_of(job_id: str, most: int | None) -> list[StoreProgress]:
    """Return the progress of the stores that are at work in this process, or of the first `most` of each batch."""
    return [progress for run in _runs(job_id) for progress in await run.progress(most)]


def sums_of(job_id: str) -> Sums:
    """Return what the stores of the unfinished batches in this process have done."""
    ended = [report for run in _runs(job_id) for report in run.ended]
    return Sums(ended, [store.counters for run in _runs(job_id) for store in run.stores])


def stop_job(job_id: str, request: StopRequest) -> None:
    """Stop the batches of a job in this process, also those that begin later."""
    _jobs.setdefault(job_id, _Batches()).stop = request
    for run in _runs(job_id):
        run.stop.request(*request)


def reports_of(candidates: list[Candidate], error: MarketPhotosError) -> list[StoreReport]:
    """Return the reports of stores that ended with this error."""
    return [StoreReport(store.campaign, store.name, exit_code=error.exit_code, error=error) for store in candidates]


def _runs(job_id: str) -> list[Run]:
    return list(_jobs[job_id].runs) if job_id in _jobs else []


def _set_up_process(log: LogOptions) -> None:
    """Log as the command line says, and leave signals to the process that the user has started.

    Ctrl-C and systemd send them to every process, and stores must end in order.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    console.set_up_logging(log.verbose, log.quiet, as_json=log.as_json)


async def _run(job: Job, run: Run) -> Report:
    with _at_work(job.id, run):
        writing = asyncio.create_task(write_progress(run))
        try:
            return await run()
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)


@contextmanager
def _at_work(job_id: str, run: Run) -> Iterator[None]:
    batches = _jobs.setdefault(job_id, _Batches())
    batches.runs.append(run)
    if batches.stop:
        run.stop.request(*batches.stop)
    try:
        yield
    finally:
        batches.runs.remove(run)
