"""`browse`: serve the archive as a web page until a signal comes."""

import asyncio
import contextlib
import logging
import secrets
import signal
import socket
import tempfile
import webbrowser
from contextlib import ExitStack
from pathlib import Path

import click
from aiohttp import web

from market_photos import console
from market_photos.archive.read_only_media import is_writable
from market_photos.browse.app import make_app
from market_photos.browse.connections import IDLE_SECONDS, Connections
from market_photos.browse.index_refresher import IndexRefresher
from market_photos.browse.security import access_policy, is_loopback
from market_photos.browse.site import Site
from market_photos.browse.stores import Stores
from market_photos.cli.options import config_option
from market_photos.clock import SystemClock
from market_photos.config import Settings, find_config, load
from market_photos.errors import UsageError

#: Connections that the system queues until they are accepted.
BACKLOG = 128


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8800, show_default=True, help="0: any free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Others than this machine need a token.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@config_option
def browse(*, port: int, host: str, opens: bool, config: Path | None) -> None:
    """Show the archive as a web page.

    Find a return, look at its photos, see how the last runs went.
    """
    console.set_up_logging(0, quiet=False)
    settings = load(find_config(config))
    archive = settings.archive.directory
    stores = Stores(archive)
    campaigns = stores.campaigns()
    if not campaigns:
        raise UsageError(
            f"{archive.absolute()}: there is no archive yet.",
            "Run `market-photos sync` first, or check --config and directory in [archive].",
        )
    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    listening = _listen(host, port)
    with ExitStack() as held:
        if not all(is_writable(stores.folder(campaign)) for campaign in campaigns):
            views = held.enter_context(tempfile.TemporaryDirectory(prefix="market-photos-browse-"))
            console.say(f"The archive cannot be written: previews and the search index are in {views} until the end.")
            stores = Stores(archive, Path(views))
        asyncio.run(_serve(settings, stores, listening, host, token, opens=opens))


def _listen(host: str, port: int) -> socket.socket:
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


async def _serve(
    settings: Settings, stores: Stores, listening: socket.socket, host: str, token: str, *, opens: bool
) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    site = Site(stores, IndexRefresher(stores), settings.limits, SystemClock())
    wire = logging.getLogger("market_photos.browse.wire")
    wire.setLevel(logging.CRITICAL)  # a request that is no HTTP gets a 400, and needs no warning
    app = make_app(site, access_policy(host, token))
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
        address = _address(host, listening.getsockname()[1], token)
        _say(settings, address, token)
        if opens:
            with contextlib.suppress(webbrowser.Error):
                await asyncio.to_thread(webbrowser.open, address)
        await stopped.wait()
    finally:
        accepting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await accepting
        listening.close()
        await runner.cleanup()


def _address(host: str, port: int, token: str) -> str:
    name = host
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - given by the user
        name = socket.gethostname()
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def _say(settings: Settings, address: str, token: str) -> None:
    console.show(address)
    console.say(f"The archive {settings.archive.directory} is served there, read-only, until Ctrl-C.")
    if token:
        console.say(
            "Everyone with this address sees buyers' photos. It is plain http: use it in a trusted network only."
        )
