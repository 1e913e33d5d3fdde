"""A worker process that the user starts: it works on stores for a scheduler, and ends them in order when it stops.

Dask's own worker cuts its tasks off at a signal. Here it is embedded: no new batches, the stores end, their batches
go to other workers.
"""

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

from market_photos import console
from market_photos.archive import atomic
from market_photos.archive.lock import Lock
from market_photos.archive.places import open_archive
from market_photos.clock import Clock
from market_photos.cluster.engine import (
    BATCHES_AT_ONCE,
    CONNECT_SECONDS,
    NOT_CONNECTED,
    silence,
    unreachable,
    warn_if_open,
)
from market_photos.cluster.job import StopRequest
from market_photos.cluster.process import Home, leave, work_at
from market_photos.config import Settings
from market_photos.errors import AlreadyRunning, ExitCode, ServerUnavailable, UsageError
from market_photos.sync.stop import Stop
from market_photos.threads import abandonable

#: Seconds in which the results of a worker that leaves may still be fetched.
DELIVERY_SECONDS = 10.0


def require_bucket(settings: Settings) -> None:
    """Raise UsageError unless the archive is in object storage."""
    if settings.archive.url is None:
        raise UsageError(
            "A cluster needs an archive in object storage: [archive] url. This one is in a folder, which other "
            "machines do not see, or on a network share, where catalogues are not safe.",
            "On one machine: `sync --processes`. To move an archive: `copy --to s3://…`.",
        )


async def serve(address: str, settings: Settings, command: str, clock: Clock) -> None:
    """Work for the scheduler at an address until a signal.

    Raises ServerUnavailable where the scheduler cannot be reached or is lost, and ArchiveUnwritable.
    """
    leaving = Stop()
    _stop_at_signals(leaving)
    warn_if_open(address)
    with (
        _own_scratch(settings, command, clock) as own,
        tempfile.TemporaryDirectory(prefix="market-photos-") as scratch,
    ):
        preparing = asyncio.create_task(abandonable(open_archive(own.archive).prepare))
        if not await _first(preparing, leaving):
            return
        preparing.result()
        home = Home(own, leaving)
        work_at(home)
        connecting = asyncio.create_task(_connect(address, scratch))
        if await _first(connecting, leaving):
            worker = connecting.result()
            home.address = worker.address
            await _work(worker, home, address)


async def _connect(address: str, scratch: str) -> Any:
    import dask.config  # noqa: PLC0415 - an extra, and slow to load
    from distributed import Worker  # noqa: PLC0415

    silence()
    dask.config.set({"distributed.worker.http.routes": []})
    try:
        worker = await Worker(
            address,
            name=f"{socket.gethostname()}-{os.getpid()}",
            nthreads=BATCHES_AT_ONCE,
            memory_limit=0,
            local_directory=scratch,
            death_timeout=CONNECT_SECONDS,
        )
    except NOT_CONNECTED as error:
        raise unreachable(address, error) from error
    console.say(f"at work for {address}")
    return worker


async def _first(task: "asyncio.Task[Any]", stop: Stop) -> bool:
    """Wait for the end of a task; cancel it at a stop and return False."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if task.done():
        return True
    task.cancel()
    return False


async def _work(worker: Any, home: Home, address: str) -> None:
    from distributed import Status  # noqa: PLC0415 - an extra, and slow to load

    if await _first(asyncio.create_task(worker.finished()), home.leaving):
        await leave(StopRequest(ExitCode.SERVER, "the scheduler is lost"))
        raise ServerUnavailable(
            f"The scheduler at {address} is lost. All stores have ended in order.", "Start both again."
        )
    worker.status = Status.paused  # it gets no more batches
    await leave(StopRequest(home.leaving.code, home.leaving.reason))
    for _ in range(int(DELIVERY_SECONDS * 10)):
        if not (worker.state.executing or worker.data):
            break
        await asyncio.sleep(0.1)
    await worker.close()
    if home.error:
        raise home.error


def _stop_at_signals(leaving: Stop) -> None:
    def stop(number: int, code: ExitCode) -> None:
        if leaving.requested:
            os._exit(code)
        console.say("stopping: photos in flight have a few seconds to finish (once more to end at once)")
        leaving.request(code, f"its worker got signal {number}")

    for number, code in ((signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)):
        asyncio.get_running_loop().add_signal_handler(number, stop, number, code)


@contextmanager
def _own_scratch(settings: Settings, command: str, clock: Clock) -> Iterator[Settings]:
    """Yield settings with a scratch folder that no other worker of this machine uses.

    A worker that is paused keeps the locks in its folder; another one may take its stores over by their leases.
    """
    with ExitStack() as held:
        for number in count(1):
            folder = settings.archive.scratch / f"worker-{number}"
            atomic.make_folder(folder)
            try:
                held.enter_context(Lock(folder / "worker.lock", command, clock))
            except AlreadyRunning:
                continue
            archive = settings.archive.model_copy(update={"scratch": folder})
            yield settings.model_copy(update={"archive": archive})
            return
