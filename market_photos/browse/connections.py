"""Accept connections, and close those that would keep others out.

A connection is idle while no request of it is answered. aiohttp closes it after `IDLE_SECONDS`, also where the bytes
of a request's head come slowly. Before that, one connection too many closes the one that has been idle longest or,
where none is idle, the one whose answer was begun first. So a browser on this machine is answered, whatever another
program on this machine does.
"""

import asyncio
import logging
import resource
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web

from market_photos.browse.security import Handler

log = logging.getLogger(__name__)
#: Connections of one address; a browser opens 6 for a host.
MOST_PER_ADDRESS = 32
#: Of all addresses; fewer where this process may open few files, for an answer may take 3.
MOST = 256
FILES_PER_CONNECTION = 3
IDLE_SECONDS = 15
#: For sending an answer: a photo of 50 MB over 1 Mbit/s takes 400 s.
SENDING_SECONDS = 600
#: Seconds from a connection that could not be accepted to the next try, and between two lines of the log about it.
RETRY_SECONDS = 0.1
QUIET_SECONDS = 60


@dataclass(eq=False)
class Connection:
    address: str
    transport: asyncio.Transport
    answering: "asyncio.Task[None] | None" = None
    """None where it is idle."""
    since: float = field(default_factory=time.monotonic)
    """When it became idle, or its answer was begun."""

    def mark(self, answering: "asyncio.Task[None] | None") -> None:
        self.answering, self.since = answering, time.monotonic()

    def close(self) -> None:
        """Close at once. Sending ends first: asyncio closes no socket in the middle of sendfile without harm."""
        if self.answering:
            self.answering.cancel()
        else:
            self.transport.abort()


def giving_way(connections: Iterable[Connection]) -> Connection | None:
    """Return the connection to close where there is one too many; None where there are none."""
    return min(connections, key=lambda one: (one.answering is not None, one.since), default=None)


class Connections:
    """The open connections of a server."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open: dict[asyncio.BaseTransport, Connection] = {}

    async def accept(self, listening: socket.socket, server: web.Server) -> None:
        """Accept connections until cancelled; where the system refuses, try again, with one line in the log."""
        loop = asyncio.get_running_loop()
        quiet_until = 0.0
        while True:
            try:
                accepted, peer = await loop.sock_accept(listening)
            except OSError as error:
                if time.monotonic() > quiet_until:
                    log.warning("no connection can be accepted: %s", error.strerror)
                    quiet_until = time.monotonic() + QUIET_SECONDS
                self._close_one(self._open.values())
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._make_room(peer[0])
            with suppress(OSError):  # it is closed already
                transport, _ = await loop.connect_accepted_socket(server, accepted)
                self._open[transport] = Connection(peer[0], transport)

    def _make_room(self, address: str) -> None:
        self._open = {key: one for key, one in self._open.items() if not one.transport.is_closing()}
        same = [one for one in self._open.values() if one.address == address]
        if len(same) >= MOST_PER_ADDRESS:
            self._close_one(same)
        elif len(self._open) >= self._most:
            self._close_one(self._open.values())

    def _close_one(self, connections: Iterable[Connection]) -> None:
        if closed := giving_way(connections):
            closed.close()
            del self._open[closed.transport]

    @web.middleware
    async def send(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Send the answer within its time; the connection is not idle until then."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("closed before the request was handled")
        connection = self._open.get(transport) or Connection("", transport)
        connection.mark(asyncio.current_task())
        try:
            response = await handler(request)
            async with asyncio.timeout(SENDING_SECONDS):
                await response.prepare(request)
                await response.write_eof()
        except (ConnectionError, TimeoutError):
            transport.abort()
            return _Sent(web.Response())
        except asyncio.CancelledError:
            transport.abort()
            raise
        finally:
            connection.mark(None)
        return _Sent(response)


class _Sent(web.StreamResponse):
    """Stands for an answer that was sent already: aiohttp would send a file twice."""

    def __init__(self, response: web.StreamResponse) -> None:
        super().__init__(status=response.status)
        self._sent = response

    @property
    def keep_alive(self) -> bool | None:
        return self._sent.keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def most_connections() -> int:
    """Return how many connections this process can serve with the files that it may open."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if files == resource.RLIM_INFINITY else max(1, min(MOST, files // FILES_PER_CONNECTION))
