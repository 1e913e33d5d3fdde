"""Serve a site on a socket until a signal comes."""

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from market_photos.browse.app import make_app
from market_photos.browse.connections import IDLE_SECONDS, Connections
from market_photos.browse.security import AccessPolicy
from market_photos.browse.site import Site
from market_photos.errors import UsageError

#: Connections that the system queues until they are accepted.
BACKLOG = 128


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 is any free one. Raises UsageError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise UsageError(
            f"--host {host} --port {port}: {error.strerror}.",
            "Choose another --port (0: any free one), or a --host that this machine has.",
        ) from error
    return listening


async def serve(
    site: Site, policy: AccessPolicy, listening: socket.socket, when_ready: Callable[[], Awaitable[None]]
) -> None:
    """Serve until SIGINT or SIGTERM, and close the socket. Await `when_ready` once connections are accepted."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    wire = logging.getLogger("market_photos.browse.wire")
    wire.setLevel(logging.CRITICAL)  # a malformed request gets a 400 and needs no warning
    app = make_app(site, policy)
    connections = Connections()
    app.middlewares.insert(0, connections.send)
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=wire,
        shutdown_timeout=2,
        keepalive_timeout=IDLE_SECONDS,
        handler_cancellation=True,  # do not start work for a client that has left
    )
    await runner.setup()
    assert runner.server  # noqa: S101 - set by setup()
    accepting = asyncio.create_task(connections.accept(listening, runner.server))
    accepting.add_done_callback(lambda _: stopped.set())
    try:
        await when_ready()
        await stopped.wait()
    finally:
        accepting.cancel()
        with suppress(asyncio.CancelledError):
            await accepting
        listening.close()
        await runner.cleanup()
