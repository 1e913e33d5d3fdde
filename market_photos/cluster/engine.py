"""Start the engine: a scheduler in this process, and worker processes on this machine."""

import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from multiprocessing import resource_tracker
from typing import Any

from market_photos.errors import UsageError

#: Deaths of its process after which a batch is given up.
MAX_DEATHS = 20
_SETTINGS = {
    # A process that is paused keeps its stores' locks: nobody could take its stores over.
    "distributed.scheduler.worker-ttl": None,
    "distributed.worker.multiprocessing-method": "spawn",
    "distributed.admin.low-level-log-length": 0,
}
_SIGNALS = {signal.SIGINT, signal.SIGTERM}


def require_engine() -> None:
    """Raise UsageError where the extra is not installed."""
    if missing := [name for name in ("distributed", "cryptography") if find_spec(name) is None]:
        raise UsageError(
            f"Several processes need {' and '.join(missing)}, which is not installed.",
            "Install it: pip install 'market-photos[cluster]'",
        )


@asynccontextmanager
async def local_engine(processes: int, batches_at_once: int, scratch: str) -> AsyncIterator[Any]:
    """Yield a client of an engine with this many processes, each of which runs `batches_at_once`.

    Its connections are encrypted and need a certificate that is made for them: the engine would run any code that
    another user of this machine sends it.
    """
    import dask.config  # noqa: PLC0415 - an extra, and slow to load
    from distributed import Client, LocalCluster  # noqa: PLC0415

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(_SETTINGS):
        with _signals_blocked():
            cluster = await LocalCluster(
                n_workers=processes,
                threads_per_worker=batches_at_once,
                memory_limit=0,
                security=True,
                dashboard_address=None,
                local_directory=scratch,
                silence_logs=logging.CRITICAL,
                scheduler_kwargs={"allowed_failures": MAX_DEATHS},
                asynchronous=True,
            )
        async with cluster, Client(cluster, asynchronous=True) as client:
            yield client


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block signals for the processes that the block starts, until they can ignore them."""
    resource_tracker.ensure_running()  # it would unblock them when it starts
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
