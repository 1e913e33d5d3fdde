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
from market_photos.config import Settings, load
from market_photos.errors import AlreadyRunning, ArchiveUnwritable, ExitCode, MarketPhotosError
from market_photos.market.client import Client
from market_photos.reporting.progress import StoreProgress
from market_photos.reporting.report import Report, StoreReport
from market_photos.sync.descriptors import stores_that_fit
from market_photos.sync.discovery import Candidate, Discovered, ask_time
from market_photos.sync.plan import Plan
from market_photos.sync.progress_file import write_progress
from market_photos.sync.run import Options, Run
from market_photos.sync.shard import WHOLE
from market_photos.sync.stop import Stop
from market_photos.sync.store_locks import CLAIMED, StoreLocks


class Patience(NamedTuple):
    """How long a batch tries to get the stores that a process of the same run had, which may have died."""

    seconds: float
    pause: float


#: The system may close a dead process's connections before it frees its locks.
LOCAL_PATIENCE = Patience(3.0, 0.2)
#: Longer than the lease of a machine that died.
REMOTE_PATIENCE = Patience(180.0, 5.0)


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
        """Return a job with an id, which the locks of its stores show."""
        id_ = uuid4().hex[:8]
        options = replace(options, command=f"{options.command} (run {id_})")
        return cls(id_, config and config.absolute(), plan, options, log)


class Result(NamedTuple):
    """What became of a batch."""

    reports: list[StoreReport]
    requests: int
    """Requests that concern no single store."""


class StopRequest(NamedTuple):
    """Why a run ends early."""

    code: ExitCode
    reason: str


@dataclass
class Home:
    """A worker process that the user has started. It has a configuration of its own, and may leave the cluster."""

    settings: Settings
    leaving: Stop = field(default_factory=Stop)
    error: ArchiveUnwritable | None = None
    """Why this process cannot work, if that is the reason."""


@dataclass
class _Process:
    """What this process works on."""

    home: Home | None = None
    runs: dict[str, list[Run]] = field(default_factory=dict)
    """The unfinished batches by job."""
    stops: dict[str, StopRequest] = field(default_factory=dict)
    tasks: set["asyncio.Task[Result]"] = field(default_factory=set)
    room: asyncio.Semaphore | None = None
    """The stores that may still be opened, by all batches together."""


_process = _Process()


class _BatchRun(Run):
    """A run over stores that another process has found."""

    def __init__(self, job: Job, candidates: list[Candidate], settings: Settings) -> None:
        campaigns = tuple(candidate.campaign for candidate in candidates)
        options = replace(job.options, campaigns=campaigns, shard=WHOLE, max_seconds=None)
        super().__init__(settings, job.plan, options, SystemClock(), SystemRandom())
        self._candidates = candidates
        if job.budget:
            self.budget = SharedBudget(job.budget)

    async def find_stores(self, client: Client, named: list[int]) -> Discovered:
        """Return the stores, after a request that tells the server's time."""
        return Discovered(self._candidates, [], await ask_time(client, self.clock, self.rng))

    async def visit_stores(self, candidates: list[Candidate], client: Client, locks: StoreLocks) -> list[StoreReport]:
        """Visit the stores, as the other batches of this process leave room."""
        if _process.room is None:
            _process.room = asyncio.Semaphore(stores_that_fit(self.settings.limits))
        return await self.visit_side_by_side(candidates, client, locks, _process.room)


def work_at(home: Home) -> None:
    """Let the batches of this process run with the configuration of `home`."""
    _process.home = home


async def run_batch(job: Job, candidates: list[Candidate]) -> Result:
    """Run the stores side by side and return their reports.

    Raises Reschedule where this process leaves the cluster: another one does the stores then.
    """
    home = _process.home
    if home is None:
        _set_up_process(job.log)
    working = asyncio.create_task(_work(job, candidates, home))
    _process.tasks.add(working)
    working.add_done_callback(_process.tasks.discard)
    try:
        # The engine cancels its tasks when the scheduler is lost. The stores end in order all the same.
        result = await asyncio.shield(working)
    except asyncio.CancelledError:
        _stop_all(StopRequest(ExitCode.TERMINATED, "the scheduler is lost"))
        raise
    if home and home.leaving.requested:
        from distributed import Reschedule  # noqa: PLC0415 - an extra, and slow to load

        raise Reschedule
    return result


async def leave(request: StopRequest) -> None:
    """Stop all batches of this process, and wait for their ends."""
    _stop_all(request)
    while _process.tasks:
        await asyncio.wait(_process.tasks)


async def progress_of(job_id: str) -> list[StoreProgress]:
    """Return the progress of the stores that are at work in this process."""
    return [progress for run in _runs(job_id) for progress in await run.progress()]


def ended_of(job_id: str) -> list[StoreReport]:
    """Return the reports of the stores in this process that have ended while their batch has not."""
    return [report for run in _runs(job_id) for report in run.ended]


def stop_job(job_id: str, request: StopRequest) -> None:
    """Stop the batches of a job in this process, also those that begin later."""
    _process.stops[job_id] = request
    for run in _runs(job_id):
        run.stop.request(*request)


def reports_of(candidates: list[Candidate], error: MarketPhotosError) -> list[StoreReport]:
    """Return the reports of stores that ended with this error."""
    return [StoreReport(store.campaign, store.name, exit_code=error.exit_code, error=error) for store in candidates]


def _runs(job_id: str) -> list[Run]:
    return list(_process.runs.get(job_id, ()))


def _stop_all(request: StopRequest) -> None:
    for job_id in list(_process.runs):
        stop_job(job_id, request)


def _set_up_process(log: LogOptions) -> None:
    """Log as the command line says, and leave signals to the process that the user has started.

    Ctrl-C and systemd send them to every process, and stores must end in order.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    console.set_up_logging(log.verbose, log.quiet, as_json=log.as_json)


async def _work(job: Job, candidates: list[Candidate], home: Home | None) -> Result:
    """Run the stores; try those again that an earlier attempt of the same run still holds."""
    reports: dict[int, StoreReport] = {}
    patience = REMOTE_PATIENCE if home else LOCAL_PATIENCE
    requests, left, until = 0, candidates, asyncio.get_running_loop().time() + patience.seconds
    while left:
        result = await _attempt(job, left, home)
        requests += result.requests
        reports |= {report.campaign: report for report in result.reports}
        left = [store for store in left if _is_held_by(job, reports[store.campaign].error)]
        if job.id in _process.stops or asyncio.get_running_loop().time() > until:
            break
        if left:
            await asyncio.sleep(patience.pause)
    return Result(list(reports.values()), requests)


def _is_held_by(job: Job, error: MarketPhotosError | None) -> bool:
    """Return whether a process of the same run has the store; a claim does not say whose it is."""
    return isinstance(error, AlreadyRunning) and (f"(run {job.id})" in error.message or CLAIMED in error.message)


async def _attempt(job: Job, candidates: list[Candidate], home: Home | None) -> Result:
    try:
        settings = home.settings if home else load(job.config)
        console.redact.hide(settings.api_key())
        report = await _run(job, _BatchRun(job, candidates, settings))
        result = Result(report.stores, report.other_requests)
    except MarketPhotosError as error:
        result = Result(reports_of(candidates, error), 0)
    unwritable = [report.error for report in result.reports if isinstance(report.error, ArchiveUnwritable)]
    if home and unwritable:  # it would fail the next batch, too
        home.error = unwritable[0]
        home.leaving.request(home.error.exit_code, home.error.message)
    return result


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
    runs = _process.runs.setdefault(job_id, [])
    runs.append(run)
    if job_id in _process.stops:
        run.stop.request(*_process.stops[job_id])
    try:
        yield
    finally:
        runs.remove(run)
