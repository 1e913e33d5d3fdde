"""Accept connections, and close some when there are too many, so that new ones are always answered.

A connection is idle while no request on it is being answered. aiohttp closes it after `IDLE_SECONDS`, even if a
request arrives slowly. At the limit, a new connection closes the one that has been idle longest or, if none is idle,
the one whose response began first. So no other program on this machine can keep a browser out.
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
#: Connections from one address; browsers open 6 to a host.
MAX_PER_ADDRESS = 32
#: Connections from all addresses; fewer where this process may open few files.
MAX_CONNECTIONS = 256
#: Files that a response may need at once.
FILES_PER_CONNECTION = 3
IDLE_SECONDS = 15
#: Seconds for sending a response: a photo of 50 MB takes 400 s at 1 Mbit/s.
SENDING_SECONDS = 600
#: Seconds between two attempts to accept a connection, and between two log lines about failed ones.
RETRY_SECONDS = 0.1
QUIET_SECONDS = 60


@dataclass(eq=False)
class Connection:
    """A connection from a client's address."""

    address: str
    transport: asyncio.Transport
    response: "asyncio.Task[None] | None" = None
    """None while the connection is idle."""
    since: float = field(default_factory=time.monotonic)
    """When it became idle, or its response began."""

    def set_response(self, response: "asyncio.Task[None] | None") -> None:
        """Record that a response begins, or with None that the connection becomes idle."""
        self.response, self.since = response, time.monotonic()

    def close(self) -> None:
        """Close at once. A response is cancelled first: asyncio cannot close a socket during sendfile."""
        if self.response:
            self.response.cancel()
        else:
            self.transport.abort()


class Connections:
    """The open connections of a server."""

    def __init__(self) -> None:
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        is_unlimited = files == resource.RLIM_INFINITY
        self._limit = MAX_CONNECTIONS if is_unlimited else min(MAX_CONNECTIONS, max(1, files // FILES_PER_CONNECTION))
        self._open: dict[asyncio.BaseTransport, Connection] = {}

    async def accept(self, listening: socket.socket, server: web.Server) -> None:
        """Accept connections until cancelled. Errors of the system are logged, and accepting is tried again."""
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
            with suppress(OSError):  # closed by the client already
                transport, _ = await loop.connect_accepted_socket(server, accepted)
                self._open[transport] = Connection(peer[0], transport)

    def _make_room(self, address: str) -> None:
        self._open = {key: value for key, value in self._open.items() if not key.is_closing()}
        same = [connection for connection in self._open.values() if connection.address == address]
        if len(same) >= MAX_PER_ADDRESS:
            self._close_one(same)
        elif len(self._open) >= self._limit:
            self._close_one(self._open.values())

    def _close_one(self, connections: Iterable[Connection]) -> None:
        """Close the connection that has been idle longest, else the one whose response began first."""
        if chosen := min(connections, key=lambda found: (found.response is not None, found.since), default=None):
            chosen.close()
            del self._open[chosen.transport]

    @web.middleware
    async def send(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Send the response here, within `SENDING_SECONDS`, so that the connection is not idle until it is sent."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("closed before the request was handled")
        connection = self._open.get(transport) or Connection("", transport)
        connection.set_response(asyncio.current_task())
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
            connection.set_response(None)
        return _Sent(response)


class _Sent(web.StreamResponse):
    """Replaces a response that was sent, because aiohttp would send a file a second time."""

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
