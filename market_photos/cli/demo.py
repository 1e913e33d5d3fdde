"""`demo`: run a sync against an embedded Market."""

import os
import shutil
import sys
from pathlib import Path

import click
from pydantic import SecretStr

from market_photos import console
from market_photos.cli.run import execute, print_report
from market_photos.cli.sandbox import add_faults
from market_photos.config import Settings
from market_photos.console import say
from market_photos.errors import ExitCode
from market_photos.sandbox import Market, running
from market_photos.settings import Api, Archive
from market_photos.sync.plan import Nightly
from market_photos.sync.run import Options

#: Seconds an answer takes, much like the real API's.
LATENCY = 0.12


@click.command()
@click.option("-q", "--quiet", is_flag=True, help="Print nothing on success.")
@click.option("-v", "--verbose", count=True, help="Log what happens.")
def demo(*, quiet: bool, verbose: int) -> None:
    """Run a sync against an embedded Market.

    The Market has a few faults; the photos go to ./demo-archive. No key is needed.
    """
    console.set_up_logging(verbose, quiet)
    os.environ["NO_PROXY"] = "*"  # no setting plays a part, and no proxy knows this Market
    sys.exit(run_demo(Path("demo-archive"), quiet=quiet))


def run_demo(archive: Path, *, quiet: bool) -> ExitCode:
    """Sync two stores of an embedded Market into the folder. Raises MarketPhotosError."""
    market = Market(seed=7)
    market.populate(stores=2, returns=40, photos=120)
    with running(market, latency=LATENCY) as sandbox:
        add_faults(sandbox.faults)
        if not quiet:
            say(f"An embedded Market serves {market!r} on {sandbox.url}, with faults: 503s, cut bodies, resets.")
        settings = Settings.model_construct(  # reads no environment: the real key and archive play no part
            api=Api(base_url=sandbox.url, key=SecretStr(market.key)), archive=Archive(directory=archive.absolute())
        )
        report = execute(settings, Nightly(), Options("demo"), quiet=quiet)
        broken = sum(fault.hits for fault in sandbox.faults.rules)
    print_report(report, quiet=quiet)
    if not quiet:
        say(f"The Market broke {broken} answers on purpose; what they should have brought was asked for again.")
        _say_what_next(archive)
    return report.exit_code


def _say_what_next(archive: Path) -> None:
    photo = next(iter(sorted(archive.glob("*/photos/*/*/*.jpg"))), None)
    program = _program()
    say("")
    say(f"Look at a photo:     {photo}")
    say(f"Nothing comes twice: {program} demo")
    say(f"Serve a Market:      {program} sandbox   (sync, backfill, kill -9 it as you like)")
    say(f"For your own store:  {program} init")
    say(f"See what it made:    {program} browse --archive {archive} --open")


def _program() -> str:
    """Return the program's name as the user can type it here."""
    path = Path(sys.argv[0])
    if shutil.which(path.name) == str(path.absolute()):
        return path.name
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
