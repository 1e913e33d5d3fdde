"""`browse`: serve the archive as a web page until a signal comes."""

import asyncio
import secrets
import socket
import tempfile
import webbrowser
from contextlib import ExitStack, suppress
from pathlib import Path

import click

from market_photos import console
from market_photos.archive.layout import CATALOG_NAME
from market_photos.archive.places import open_archive
from market_photos.archive.read_only_media import is_writable
from market_photos.archive.stores import select_stores
from market_photos.archive.volume import is_there
from market_photos.browse.index_refresher import IndexRefresher
from market_photos.browse.security import access_policy, is_loopback
from market_photos.browse.server import listen, serve
from market_photos.browse.site import Site
from market_photos.browse.stores import Stores
from market_photos.cli.options import config_option
from market_photos.clock import SystemClock
from market_photos.config import find_config, load


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8800,
    metavar="PORT",
    show_default=True,
    help="Listen on this port; 0: any free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    metavar="ADDRESS",
    show_default=True,
    help="Listen on this address. Other machines need a token.",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@config_option
def browse(*, port: int, host: str, opens: bool, config: Path | None) -> None:
    """Show the archive as a web page.

    Find a return, look at its photos, see how the last runs went.
    """
    console.set_up_logging(0, quiet=False)
    settings = load(find_config(config))
    source = open_archive(settings.archive)
    archive = source.fetch()
    campaigns = select_stores(archive)
    stores = Stores(source)
    token = "" if is_loopback(host) else secrets.token_urlsafe(24)
    listening = listen(host, port)
    address = _address(host, listening.getsockname()[1], token)

    async def announce() -> None:
        _announce(archive, address, has_token=bool(token))
        if opens:
            with suppress(webbrowser.Error):
                await asyncio.to_thread(webbrowser.open, address)

    with ExitStack() as held:
        for campaign in campaigns:
            is_there(stores.folder(campaign) / CATALOG_NAME)  # raises ArchiveUnwritable where it may not be read
        if not all(is_writable(stores.folder(campaign)) for campaign in campaigns):
            views = held.enter_context(tempfile.TemporaryDirectory(prefix="market-photos-browse-"))
            console.say(f"The archive cannot be written: previews and the search index are in {views} until the end.")
            stores = Stores(source, Path(views))
        site = Site(stores, IndexRefresher(stores), settings.limits, SystemClock())
        asyncio.run(serve(site, access_policy(host, token), listening, announce))


def _address(host: str, port: int, token: str) -> str:
    name = host
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - given by the user
        name = socket.gethostname()
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def _announce(archive: Path, address: str, *, has_token: bool) -> None:
    console.show(address)
    console.say(f"The archive {archive} is served there, read-only, until Ctrl-C.")
    if has_token:
        console.say(
            "Everyone with this address sees buyers' photos. It is plain http: use it in a trusted network only."
        )
