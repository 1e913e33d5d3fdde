"""`browse`: serve the archive as a web page until a signal comes."""

import asyncio
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
from market_photos.archive.volume import is_there
from market_photos.browse.index_refresher import IndexRefresher
from market_photos.browse.security import access_policy, is_loopback
from market_photos.browse.server import listen, serve
from market_photos.browse.site import Site
from market_photos.browse.stores import Stores
from market_photos.browse.token import kept_token, new_token
from market_photos.cli.each_store import EachStore
from market_photos.cli.options import config_option
from market_photos.clock import SystemClock
from market_photos.config import Settings, find_config, load
from market_photos.errors import UsageError
from market_photos.settings import Archive


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
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="Also serve this name, for a reverse proxy. Visitors need a token. May be repeated.",
)
@click.option("--archive", type=click.Path(path_type=Path), help="Show this archive, without a configuration.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@config_option
def browse(
    *, port: int, host: str, names: tuple[str, ...], archive: Path | None, opens: bool, config: Path | None
) -> None:
    """Show the archive as a web page.

    Decide in time, find a return, look at its photos, hand over proof, see how the last runs went.
    """
    console.set_up_logging(0, quiet=False)
    settings = _settings(archive, config)
    source = open_archive(settings.archive)
    campaigns = EachStore().select(source)
    stores = Stores(source)
    token = _token(settings, is_reachable=bool(names) or not is_loopback(host))
    listening = listen(host, port)
    address = _address(host, listening.getsockname()[1])
    token_file = settings.browse.token_file

    async def announce() -> None:
        _announce(source.name, address, token, token_file)
        if opens:
            with suppress(webbrowser.Error):
                await asyncio.to_thread(webbrowser.open, _with_token(address, token))

    with ExitStack() as held:
        for campaign in campaigns:
            is_there(stores.folder(campaign) / CATALOG_NAME)  # raises ArchiveUnwritable where it may not be read
        if not all(is_writable(stores.folder(campaign)) for campaign in campaigns):
            views = held.enter_context(tempfile.TemporaryDirectory(prefix="market-photos-browse-"))
            console.say(f"The archive cannot be written: previews and the search index are in {views} until the end.")
            stores = Stores(source, Path(views))
        site = Site(stores, IndexRefresher(stores), settings.limits, SystemClock())
        asyncio.run(serve(site, access_policy(host, token, names), listening, announce))


def _settings(archive: Path | None, config: Path | None) -> Settings:
    """Return the settings of the configuration, or only an archive. Raises ConfigError."""
    if archive is None:
        return load(find_config(config))
    if config is not None:
        raise UsageError("--archive and --config exclude each other.", "Give one of them.")
    return Settings.model_construct(archive=Archive(directory=archive.absolute()))


def _token(settings: Settings, *, is_reachable: bool) -> str:
    """Return the token that visitors need, empty if none. Raises ConfigError."""
    if settings.browse.token_file:
        return kept_token(settings.browse.token_file)
    return new_token() if is_reachable else ""


def _address(host: str, port: int) -> str:
    name = host
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - given by the user
        name = socket.gethostname()
    return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"


def _with_token(address: str, token: str) -> str:
    return f"{address}?token={token}" if token else address


def _announce(archive: str, address: str, token: str, token_file: Path | None) -> None:
    """Print the address, with a token that is new; a token that stays is in its file, and in no log."""
    console.show(address if token_file else _with_token(address, token))
    console.say(f"The archive {archive} is served there, read-only, until Ctrl-C.")
    if token_file:
        console.say(f"Visitors need the token of {token_file}: add ?token=… to the address once.")
    elif token:
        console.say(
            "Everyone with this address sees buyers' photos. It is plain http: use it in a trusted network only."
        )
