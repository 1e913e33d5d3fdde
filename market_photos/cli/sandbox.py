"""Run the sandbox as a command."""

import asyncio
import contextlib
import shlex

import click

from market_photos.errors import UsageError
from market_photos.sandbox import ALWAYS, Faults, Limits, Market, Quota, Sandbox, actions, serve


def add_faults(faults: Faults) -> None:
    """Add the faults of an ordinary week, rare enough that retries succeed."""
    faults.add(actions.status(503), kind="photo", probability=0.05, times=ALWAYS)
    faults.add(actions.cut(900), kind="photo", probability=0.04, times=ALWAYS)
    faults.add(actions.reset(None), kind="photo", probability=0.03, times=ALWAYS)
    faults.add(actions.status(500), kind="returns", nth=1)


def serve_until_interrupted(
    *, port: int, stores: int, returns: int, photos: int, latency: float, quota: int, period: float, faults: bool
) -> None:
    """Serve an embedded Market until Ctrl-C. Raises UsageError where the port is in use."""
    market = Market()
    market.populate(stores=stores, returns=returns, photos=photos)
    limits = Limits(photos=Quota(quota, period), returns=Quota(5000, period))

    def ready(sandbox: Sandbox) -> None:
        if faults:
            add_faults(sandbox.faults)
        click.echo(configuration(sandbox, quota, period))

    with contextlib.suppress(KeyboardInterrupt):
        try:
            asyncio.run(serve(market, ready=ready, port=port, limits=limits, latency=latency))
        except OSError as error:
            raise UsageError(f"port {port}: {error.strerror}.", "Choose another --port; 0 takes any.") from error


def configuration(sandbox: Sandbox, quota: int, period: float) -> str:
    """Return a configuration file and commands for a user to paste."""
    return f"""\
# An embedded Market serves on {sandbox.url} until Ctrl-C. Save these lines as sandbox.toml:

[api]
base_url = "{sandbox.url}"
[archive]
directory = "sandbox-archive"
[limits]
photo_requests = {quota}
period_seconds = {period:g}

# and in another shell:
#   export MARKET_PHOTOS_API_KEY={shlex.quote(sandbox.market.key)}
#   market-photos sync --config sandbox.toml
"""
