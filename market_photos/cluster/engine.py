"""Dask's engine: on this machine with processes of its own, or one that the user has started."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from importlib.util import find_spec
from typing import Any

from market_photos.errors import MarketPhotosError, ServerUnavailable, UsageError, how_to_install
from market_photos.threads import to_the_end

log = logging.getLogger(__name__)

#: Batches that a process works on at once: Dask's number of threads. Many small ones, as a batch whose stores wait
#: for quota or for another process's leases keeps its place. Their stores share one limit, see `process.room`.
BATCHES_AT_ONCE = 16
#: Deaths of its process after which a batch is given up.
MAX_DEATHS = 20
#: Seconds that a process has to answer a question: it may be paused, or dying.
ANSWER_SECONDS = 5.0
#: Seconds that a scheduler has to answer at the start.
CONNECT_SECONDS = 10
#: What Dask raises for an address or certificates that do not work.
NOT_CONNECTED = (OSError, ValueError, TypeError, RuntimeError)
_SIGNALS = {signal.SIGINT, signal.SIGTERM}
_LOCAL_SETTINGS: dict[str, object] = {
    # A process that is paused keeps its stores' locks: no other one could take them over.
    "distributed.scheduler.worker-ttl": None,
    "distributed.scheduler.allowed-failures": MAX_DEATHS,
    "distributed.worker.multiprocessing-method": "spawn",
    # Pages for a browser, which ask for no certificate.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


def require_engine() -> None:
    """Raise UsageError where the extra is not installed."""
    if missing := [name for name in ("distributed", "cryptography") if find_spec(name) is None]:
        raise UsageError(
            f"Several processes need {' and '.join(missing)}, which is not installed.",
            how_to_install("cluster"),
        )


class Engine:
    """A connection to a scheduler and its processes."""

    def __init__(self, client: Any, *, is_local: bool) -> None:
        self._client = client
        self._answers: dict[Callable[..., Any], dict[str, Any]] = {}
        self.is_local = is_local
        """Whether all processes share this machine's disk."""

    async def processes(self) -> list[str] | None:
        """Return the addresses of the processes; there may be none yet. None: the scheduler does not answer."""
        try:
            identity = await asyncio.wait_for(self._client.scheduler.identity(n_workers=-1), ANSWER_SECONDS)
        except Exception as error:  # paused, lost, or the client has forgotten it
            log.debug("the scheduler does not answer: %s", error)
            return None
        return list(identity["workers"])

    async def do(self, task: Callable[..., Any], *arguments: Any, avoid: Collection[str] = ()) -> Any:
        """Run a function in a process, or in another one if that dies; in one of `avoid` if there is no other."""
        from distributed import KilledWorker  # noqa: PLC0415 - an extra, and slow to load
        from distributed.client import FutureCancelledError  # noqa: PLC0415

        others = [address for address in await self.processes() or [] if address not in avoid] if avoid else []
        future = self._client.submit(
            task, *arguments, pure=False, workers=others or None, allow_other_workers=bool(others)
        )
        try:
            return await future
        except KilledWorker:
            raise MarketPhotosError(
                "Each process that worked on it died, one after the other.",
                "The machine may lack memory: try fewer stores_at_once in [limits].",
            ) from None
        except FutureCancelledError:
            raise _lost(self._client) from None
        finally:
            future.release()  # a result that stays in its process would be lost with it, and made again

    async def ask(self, processes: list[str], question: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Return the answers of the processes that answer in time, by address."""

        async def answer(address: str) -> dict[str, Any]:
            try:
                asked = self._client.run(question, *arguments, workers=[address])
                return dict(await asyncio.wait_for(asked, ANSWER_SECONDS))
            except Exception as error:  # it is busy, paused, dying, or no process of this program
                log.debug("%s does not answer: %s", address, error)
            return {}

        answers = await asyncio.gather(*map(answer, processes))
        return {address: answer for found in answers for address, answer in found.items()}

    async def ask_all(self, question: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return the answers of all processes; of one that does not answer in time, the last one that it gave."""
        known = self._answers.setdefault(question, {})
        processes = await self.processes()
        known |= await self.ask(processes or [], question, *arguments)
        return [known[address] for address in (known if processes is None else processes) if address in known]


#: Starts or reaches an engine; takes a folder for temporary files.
MakeEngine = Callable[[str], AbstractAsyncContextManager[Engine]]


@asynccontextmanager
async def local_engine(processes: int, scratch: str) -> AsyncIterator[Engine]:
    """Start an engine with so many processes.

    Its connections are encrypted and need a certificate that is made for them: the engine runs any code that it gets,
    and other users of this machine could send it some.
    """
    import dask.config  # noqa: PLC0415 - an extra, and slow to load
    from distributed import Client, LocalCluster  # noqa: PLC0415

    silence()
    with dask.config.set(_LOCAL_SETTINGS):
        cluster = LocalCluster(
            n_workers=processes,
            threads_per_worker=BATCHES_AT_ONCE,
            memory_limit=0,
            security=True,
            dashboard_address="127.0.0.1:0",
            local_directory=scratch,
            silence_logs=logging.CRITICAL,
            asynchronous=True,
        )
        try:
            with _signals_blocked():
                await to_the_end(cluster)  # a process that is half started would never end
            async with Client(cluster, asynchronous=True) as client:
                yield Engine(client, is_local=True)
        finally:
            await to_the_end(cluster.close())


@asynccontextmanager
async def remote_engine(address: str, _scratch: str) -> AsyncIterator[Engine]:
    """Connect to a scheduler that the user has started. Raises ServerUnavailable, UsageError."""
    from distributed import Client  # noqa: PLC0415 - an extra, and slow to load

    warn_if_open(address)
    silence()
    try:
        client = await Client(address, asynchronous=True, timeout=CONNECT_SECONDS)
    except NOT_CONNECTED as error:
        raise unreachable(address, error) from error
    async with client:
        yield Engine(client, is_local=False)


def silence() -> None:
    """Silence the engine's own messages, which come with tracebacks. What matters to a user is told by ours."""
    for name in list(logging.Logger.manager.loggerDict):
        if name.startswith("distributed"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def unreachable(address: str, error: Exception) -> ServerUnavailable:
    """Return the error for a scheduler that cannot be reached."""
    return ServerUnavailable(
        f"The scheduler at {address} cannot be reached: {str(error).rstrip('.')}.",
        "Check that `dask scheduler` runs there, and the certificates where the address begins with tls://.",
    )


def warn_if_open(address: str) -> None:
    """Warn if connections are not encrypted."""
    if not address.startswith("tls://") and not any(host in address for host in ("127.0.0.1", "localhost", "[::1]")):
        log.warning(
            "%s: connections are not encrypted, and whoever reaches the scheduler can run any code on the machines. "
            "Use tls://, see https://distributed.dask.org/en/stable/tls.html",
            address,
        )


def _lost(client: Any) -> ServerUnavailable:
    return ServerUnavailable(
        f"The scheduler at {client.scheduler.address if client.scheduler else 'its address'} is lost.",
        "Its workers end their stores in order. Start it again, then run this command again.",
    )


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block signals for the processes that the block starts, until they can ignore them."""
    from multiprocessing import resource_tracker  # noqa: PLC0415 - only these runs need it

    resource_tracker.ensure_running()  # it would unblock them when it starts
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
