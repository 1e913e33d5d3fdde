"""Serve the embedded Market, the seller's API, on 127.0.0.1.

async with Sandbox(market) as sandbox:
    ...  sandbox.url, sandbox.log, sandbox.faults; sandbox.market may be changed

with running(market) as sandbox:      # in a thread, for programs that run as subprocesses
"""

import asyncio
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from typing import Any, Self

from market_photos.sandbox.api import Call, answer, check_request, parse_call
from market_photos.sandbox.faults import Faults
from market_photos.sandbox.limits import Arrival, ServerLimits, Usage
from market_photos.sandbox.log import Entry, Log
from market_photos.sandbox.replies import error
from market_photos.sandbox.wire import Connection, Reply, Request, read_request
from market_photos.sandbox.world import Market

HOST = "127.0.0.1"
#: The reply to a connection that a fault breaks off before a request.
_NO_REPLY = Reply(head=False)
#: Connections that may wait to be accepted.
_BACKLOG = 1024
#: Seconds until another connection is accepted where the system refused one: too many open files.
_ACCEPT_PAUSE = 0.1


class Sandbox:
    """A server for one market, with its own limits, faults and log.

    `latency` is the duration of each answer in seconds; `wall` is the server's clock for quota windows, `Date` and
    the log. At the end of the block, requests in flight are cut off.
    """

    def __init__(
        self,
        market: Market,
        *,
        port: int = 0,
        limits: ServerLimits | None = None,
        latency: float = 0.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.market = market
        self.port = port
        self.latency = latency
        self.limits = limits or ServerLimits()
        self.log = Log()
        self.faults = Faults()
        self.usage = Usage(self.limits)
        self._wall = wall
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Sandbox {self.url} {self.market!r}>"

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        self._listening = socket.create_server((HOST, self.port), backlog=_BACKLOG)
        self._listening.setblocking(False)
        self.port = self._listening.getsockname()[1]
        self._listen()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        asyncio.get_running_loop().remove_reader(self._listening)
        self._listening.close()
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _listen(self) -> None:
        if self._listening.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        # asyncio's own server and sock_accept leave connections open that come while they are closed or cancelled.
        try:
            accepted, _ = self._listening.accept()
        except BlockingIOError:
            return
        except OSError:
            asyncio.get_running_loop().remove_reader(self._listening)
            asyncio.get_running_loop().call_later(_ACCEPT_PAUSE, self._listen)
            return
        task = asyncio.create_task(self._serve(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: accepted.close())  # also where it is cancelled before its first step

    async def _serve(self, accepted: socket.socket) -> None:
        """Answer the one request of a connection."""
        connection = await Connection.on(accepted)
        try:
            if await self._broken_at_connect(connection):
                return
            request = await read_request(connection.reader)
            if request is not None:
                await self._exchange(parse_call(request), connection)
        except ConnectionError:
            pass  # the client hung up
        except asyncio.CancelledError:
            connection.abort()
            raise
        finally:
            await connection.close()

    async def _broken_at_connect(self, connection: Connection) -> bool:
        call = Call(Request("CONNECT", ""), "connect")
        reply = self.faults.applied(call, _NO_REPLY)
        if reply is _NO_REPLY:
            return False
        entry = self.log.arrive(call, self._wall())
        try:
            await asyncio.sleep(reply.delay)
            await connection.end(reply.ending)
        finally:
            self.log.leave(entry, 0)
        # after a fault that only delays, the request is read and answered
        return reply.stop_after is not None

    async def _exchange(self, call: Call, connection: Connection) -> None:
        entry = self.log.arrive(call, self._wall())
        arrival = Arrival(call.kind, call.campaign, entry.wall)
        try:
            if refusal := check_request(self.market, call):
                await self._respond(call, refusal, entry, connection)
            elif text := self.usage.enter(arrival):
                refusal = self._with_quota(error(420, "LIMIT_EXCEEDED", text), arrival)
                await self._respond(call, refusal, entry, connection)
            else:
                try:
                    reply = self._with_quota(answer(self.market, call), arrival)
                    await self._respond(call, reply, entry, connection, arrival)
                finally:
                    self.usage.leave(arrival)
        finally:
            self.log.leave(entry, connection.sent)

    def _with_quota(self, reply: Reply, arrival: Arrival) -> Reply:
        return replace(reply, headers=reply.headers | self.usage.headers(arrival))

    async def _respond(
        self, call: Call, reply: Reply, entry: Entry, connection: Connection, arrival: Arrival | None = None
    ) -> None:
        """Add the headers of every answer, apply the faults, and send it."""
        common = {"Date": formatdate(entry.wall, usegmt=True), "traceparent": _traceparent()}
        reply = self.faults.applied(call, replace(reply, headers=common | reply.headers, delay=self.latency))
        if arrival:
            self.usage.settle(arrival, reply.status)
        if reply.delay:
            await asyncio.sleep(reply.delay)
        entry.status = reply.status if reply.head else 0
        await connection.send(reply)
        await connection.end(reply.ending)


def _traceparent() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


async def serve(market: Market, *, ready: Callable[[Sandbox], Any] = print, **options: Any) -> None:
    """Serve until cancelled; call `ready` when the port is open. Options are those of Sandbox."""
    async with Sandbox(market, **options) as sandbox:
        ready(sandbox)
        await asyncio.Event().wait()


@contextmanager
def running(market: Market, **options: Any) -> Iterator[Sandbox]:
    """Run a sandbox in a thread with its own event loop until the end of the block."""
    opened: Future[tuple[Sandbox, Callable[[], object]]] = Future()

    async def run() -> None:
        ended = asyncio.Event()
        async with Sandbox(market, **options) as sandbox:
            opened.set_result((sandbox, partial(asyncio.get_running_loop().call_soon_threadsafe, ended.set)))
            await ended.wait()

    with ThreadPoolExecutor(1, "sandbox") as executor:
        serving: Future[Any] = executor.submit(lambda: asyncio.run(run()))
        outcomes: list[Future[Any]] = [opened, serving]
        wait(outcomes, return_when=FIRST_COMPLETED)
        if not opened.done():
            raise RuntimeError("the sandbox did not start") from serving.exception()
        sandbox, end = opened.result()
        try:
            yield sandbox
        finally:
            end()
