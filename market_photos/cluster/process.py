"""What this process works on: its batches, several at once in one event loop, and answers about them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from market_photos.cluster.job import StopRequest, sendable
from market_photos.config import Settings
from market_photos.errors import ArchiveUnwritable
from market_photos.reporting.progress import StoreProgress
from market_photos.reporting.report import StoreReport
from market_photos.settings import Limits
from market_photos.sync.descriptors import stores_that_fit
from market_photos.sync.discovery import Candidate
from market_photos.sync.run import Run
from market_photos.sync.stop import Stop


@dataclass
class Home:
    """A worker process that the user has started. It has a configuration of its own, and may leave the cluster."""

    settings: Settings
    leaving: Stop = field(default_factory=Stop)
    address: str = ""
    """How the engine names this process."""
    error: ArchiveUnwritable | None = None
    """Why this process cannot work, if that is the reason."""

    def leave_because_of(self, error: ArchiveUnwritable) -> None:
        """Let the process leave the cluster: it would fail the next batch, too."""
        self.error = error
        self.leaving.request(error.exit_code, error.message)


@dataclass(eq=False)
class Batch:
    """A batch that this process works on."""

    job: str
    campaigns: list[int]
    task: "asyncio.Task[object] | None"
    stop: Stop = field(default_factory=Stop)
    run: Run | None = None
    """The present attempt."""


@dataclass
class _Process:
    home: Home | None = None
    batches: list[Batch] = field(default_factory=list)
    room: asyncio.Semaphore | None = None


_process = _Process()


def work_at(home: Home) -> None:
    """Let the batches of this process run with the configuration of `home`."""
    _process.home = home


def home() -> Home | None:
    """Return what the user has started; None in a process of `--processes`."""
    return _process.home


def room(limits: Limits) -> asyncio.Semaphore:
    """Return the stores that may still be opened, by all batches together."""
    if _process.room is None:
        _process.room = asyncio.Semaphore(stores_that_fit(limits))
    return _process.room


@contextmanager
def at_work(job_id: str, candidates: list[Candidate]) -> Iterator[Batch]:
    """Take the current task for the work on these stores. It is stopped already where the process is leaving."""
    batch = Batch(job_id, [store.campaign for store in candidates], asyncio.current_task())
    if _process.home and (leaving := _process.home.leaving).requested:
        batch.stop.request(leaving.code, leaving.reason)
    _process.batches.append(batch)
    try:
        yield batch
    finally:
        _process.batches.remove(batch)


def stop_all(request: StopRequest) -> None:
    """Stop all batches of this process."""
    for batch in _process.batches:
        batch.stop.request(*request)


async def leave(request: StopRequest) -> None:
    """Stop all batches of this process, and wait for their ends."""
    while tasks := [batch.task for batch in _process.batches if batch.task]:
        stop_all(request)
        await asyncio.wait(tasks)


async def progress_of(job_id: str) -> list[StoreProgress]:
    """Return the progress of the stores that are at work in this process."""
    return [progress for run in _runs(job_id) for progress in await run.progress()]


def ended_of(job_id: str) -> list[StoreReport]:
    """Return the reports of the stores in this process that have ended while their batch has not."""
    return sendable(report for run in _runs(job_id) for report in run.ended)


def stop_job(job_id: str, request: StopRequest) -> list[int]:
    """Stop the batches of a job in this process; return the stores of those that have not ended yet."""
    batches = [batch for batch in _process.batches if batch.job == job_id]
    for batch in batches:
        batch.stop.request(*request)
    return [campaign for batch in batches for campaign in batch.campaigns]


def _runs(job_id: str) -> list[Run]:
    return [batch.run for batch in _process.batches if batch.job == job_id and batch.run]
