"""`sandbox`: serve an embedded Market."""

import asyncio
import contextlib
import shlex
from functools import partial

import click

from market_photos.errors import UsageError
from market_photos.sandbox import ALWAYS, Faults, FixedWindow, Market, Sandbox, ServerLimits, actions, serve


def add_faults(faults: Faults) -> None:
    """Add the faults of an ordinary week, rare enough that retries succeed."""
    faults.add(actions.status(503), kind="photo", probability=0.05, times=ALWAYS)
    faults.add(actions.cut(900), kind="photo", probability=0.04, times=ALWAYS)
    faults.add(actions.reset(None), kind="photo", probability=0.03, times=ALWAYS)
    faults.add(actions.status(500), kind="returns", nth=1)


number = partial(click.option, metavar="NUMBER", show_default=True)
seconds = partial(click.option, metavar="SECONDS", show_default=True)


@click.command()
@number("--port", type=click.IntRange(0, 65535), default=8900, help="Listen on this port; 0: any free one.")
@number("--stores", type=click.IntRange(1, 100), default=2, help="Serve so many stores.")
@number("--returns", type=click.IntRange(1, 1_000_000), default=40, help="Serve so many returns in all.")
@number("--photos", type=click.IntRange(0, 1_000_000), default=120, help="Serve so many photos in all.")
@seconds("--latency", type=click.FloatRange(0, 60), default=0.1, help="Answer after this time.")
@number("--quota", type=click.IntRange(1), default=5000, help="Allow so many photo requests in a period.")
@seconds("--period", type=click.FloatRange(0.1), default=3600.0, help="Count the quota in periods of this length.")
@click.option("--faults", is_flag=True, help="Fail now and then, as a real server does.")
def sandbox(
    *, port: int, stores: int, returns: int, photos: int, latency: float, quota: int, period: float, faults: bool
) -> None:
    """Serve an embedded Market to try things on.

    Listens on 127.0.0.1 and prints a configuration to use with it.
    """
    market = Market()
    market.populate(stores=stores, returns=returns, photos=photos)
    limits = ServerLimits(photos=FixedWindow(quota, period), returns=FixedWindow(5000, period))

    def ready(served: Sandbox) -> None:
        if faults:
            add_faults(served.faults)
        click.echo(configuration(served, quota, period))

    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(serve(market, ready=ready, port=port, limits=limits, latency=latency))
        except OSError as error:
            raise UsageError(f"port {port}: {error.strerror}.", "Choose another --port; 0 takes any.") from error


def configuration(served: Sandbox, quota: int, period: float) -> str:
    """Return a configuration file and commands for a user to paste."""
    return f"""\
# An embedded Market serves on {served.url} until Ctrl-C. Save these lines as sandbox.toml:

[api]
base_url = "{served.url}"
[archive]
directory = "sandbox-archive"
[limits]
photo_requests = {quota}
period_seconds = {period:g}

# and in another shell:
#   export MARKET_PHOTOS_API_KEY={shlex.quote(served.market.key)}
#   market-photos sync --config sandbox.toml
"""
