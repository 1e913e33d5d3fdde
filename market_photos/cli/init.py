"""`init`: ask for key, stores and folder, check them against the API, and write the configuration."""

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from market_photos import console
from market_photos.archive import atomic
from market_photos.cli import schedule
from market_photos.cli.options import campaigns_option
from market_photos.cli.run import execute, print_report
from market_photos.cli.setup import (
    Setup,
    require_place,
    require_stores,
    stores_of,
    usable_directory,
    write_private,
)
from market_photos.config import ENV_CONFIG, ENV_KEY, Settings, checked, checked_key, load, read_key
from market_photos.errors import ExitCode, KeyRefused, MarketPhotosError, UsageError
from market_photos.market.records import Campaign
from market_photos.sync.plan import Nightly
from market_photos.sync.run import Options

T = TypeVar("T")
_UNIT = "/etc/systemd/system/market-photos"


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write this configuration. Default: $MARKET_PHOTOS_CONFIG, else ./config.toml.",
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File for the key; if it exists, its key is used. Default: api-key beside the configuration.",
)
@click.option("--key-stdin", is_flag=True, help="Read the key from standard input and write it to the key file.")
@click.option("--directory", type=click.Path(path_type=Path), metavar="FOLDER", help="Folder of the archive.")
@campaigns_option
@click.option("--base-url", metavar="URL", help="Address of the API: of a sandbox, for instance.")
@click.option("--force", is_flag=True, help="Replace the configuration and, with --key-stdin, the key file.")
@click.option("--dry-run/--no-dry-run", "dry_run", default=None, help="List the returns at the end, or do not ask.")
def init(
    *,
    config: Path | None,
    key_file: Path | None,
    key_stdin: bool,
    directory: Path | None,
    campaigns: tuple[int, ...],
    base_url: str | None,
    force: bool,
    dry_run: bool | None,
) -> None:
    """Write a configuration for your stores.

    Asks for the API key, the stores and the folder of the archive, and checks them against the API. Writes the
    configuration and the key file, and prints what to give to cron or systemd.

    Without a terminal it asks nothing. The key then comes from --key-stdin, an existing key file or
    $MARKET_PHOTOS_API_KEY; the default is every store.
    """
    console.set_up_logging(0, quiet=False)
    config = Path(config or os.environ.get(ENV_CONFIG) or "config.toml").absolute()
    key_file = (key_file or config.with_name("api-key")).absolute()
    writes_key = key_stdin or not key_file.exists()
    if config.exists() and not force and _is_terminal():
        force = click.confirm(f"{config} exists already. Replace it?", err=True)
    for path in [config] + [key_file] * writes_key:
        require_place(path, replace=force)
    settings = checked({"api": {"base_url": base_url}}, Path("--base-url")) if base_url else checked({}, None)

    key, stores = _key_and_stores(settings, None if writes_key else key_file, from_stdin=key_stdin)
    _show_stores(stores)
    campaigns = campaigns or (_ask_stores(stores) if _is_terminal() else ())
    require_stores(stores, campaigns)
    directory = directory or (_ask_directory(settings) if _is_terminal() else settings.archive.directory)
    directory = usable_directory(settings, directory)

    setup = Setup(config, key_file, settings.api.base_url, directory, tuple(dict.fromkeys(campaigns)))
    if writes_key:
        write_private(key_file, f"{key}\n", replace=force)
    write_private(config, setup.text(), replace=force)
    atomic.make_folder(directory)
    _show_results(setup)
    sys.exit(_offer_dry_run(config, wanted=dry_run))


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _key_and_stores(settings: Settings, key_file: Path | None, *, from_stdin: bool) -> tuple[str, list[Campaign]]:
    """Return the key and the stores that it sees. A person is asked again for a key that the API refuses."""
    is_asked = key_file is None and _is_terminal() and (from_stdin or not os.environ.get(ENV_KEY))
    while True:
        key = _ask_key() if is_asked else _given_key(key_file, from_stdin=from_stdin)
        console.redact.hide(key)
        try:
            return key, asyncio.run(stores_of(settings, key))
        except KeyRefused as error:
            if not is_asked:
                raise
            console.say_error(error)


def _given_key(key_file: Path | None, *, from_stdin: bool) -> str:
    if key_file:
        console.say(f"Using the key in {key_file}.")
        return read_key(key_file)
    if from_stdin:
        return checked_key(sys.stdin.readline(), "standard input")
    if key := os.environ.get(ENV_KEY):
        return checked_key(key, ENV_KEY)
    raise UsageError(
        "There is no API key, and no terminal to ask for it.",
        f"Give it with --key-stdin < FILE, with --key-file FILE (chmod 600), or in {ENV_KEY}.",
    )


def _show_stores(stores: list[Campaign]) -> None:
    console.say("The key sees:")
    for store in stores:
        why = store.why_skipped()
        console.say(f"  {store.id}  {store.domain or ''}".rstrip() + (f" (cannot be synced: {why})" if why else ""))


def _ask(text: str, convert: Callable[[str], T], *, default: str | None = None, is_hidden: bool = False) -> T:
    """Ask until `convert` raises no error."""

    def converted(answer: str) -> T:
        try:
            return convert(answer)
        except MarketPhotosError as error:
            raise click.BadParameter(f"{error.message} {error.hint}") from None

    answer: T = click.prompt(
        text, default=default, show_default=bool(default), hide_input=is_hidden, err=True, value_proc=converted
    )
    return answer


def _ask_key() -> str:
    console.say("A key is made in the seller's cabinet: Settings, API and modules, authorization tokens.")
    return _ask("API key (it is not shown)", lambda text: checked_key(text, "The key"), is_hidden=True)


def _ask_stores(stores: list[Campaign]) -> tuple[int, ...]:
    """Return the stores that a person chooses; none means all."""

    def chosen(text: str) -> tuple[int, ...]:
        words = re.split(r"[,\s]+", text.strip(", \t"))
        if not all(word.isdecimal() or not word for word in words):
            raise UsageError("Type the numbers of the stores, with spaces between them.")
        numbers = tuple(int(word) for word in words if word)
        require_stores(stores, numbers)
        return numbers

    return _ask("Stores to sync, by number (Enter: all of them)", chosen, default="")


def _ask_directory(settings: Settings) -> Path:
    default = str(settings.archive.directory.absolute())
    return _ask("Folder of the archive", lambda text: usable_directory(settings, Path(text)), default=default)


def _show_results(setup: Setup) -> None:
    """Print what was written and what to give to cron or to systemd."""
    command, user = schedule.program(), schedule.user()
    lines = [
        f"Written: {setup.config} and {setup.key_file}; only {user} can read them.",
        *(f"WARNING: {variable} is set here and overrides the file." for variable in setup.overridden()),
        "",
        "Every night with cron: add this line with `crontab -e`.",
        schedule.crontab_line(command, setup.config),
        "",
        f"Or with systemd. {_UNIT}.service:",
        schedule.service(command, setup.config, setup.directory, user),
        f"{_UNIT}.timer:",
        schedule.TIMER,
        "Then, as root: systemctl daemon-reload && systemctl enable --now market-photos.timer",
        "",
    ]
    for line in lines:
        console.show(line)


def _offer_dry_run(config: Path, *, wanted: bool | None) -> ExitCode:
    """List the returns without downloading, if that is wanted, and say how to go on."""
    if wanted is None and _is_terminal():
        wanted = click.confirm("List the returns now, without downloading (a dry run)?", default=True, err=True)
    code = ExitCode.COMPLETE
    if wanted:
        report = execute(load(config), Nightly(), Options("sync --dry-run", dry_run=True), quiet=False)
        print_report(report, quiet=False)
        code = report.exit_code
    console.show(f"Next: {schedule.sync_line(schedule.program(), config)}")
    return code
