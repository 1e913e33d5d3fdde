"""`worker`: work on stores for a cluster's scheduler."""

import asyncio
from pathlib import Path

import click

from market_photos import console
from market_photos.cli.options import command_line, config_option
from market_photos.clock import SystemClock
from market_photos.cluster.engine import require_engine
from market_photos.cluster.worker import require_bucket, serve
from market_photos.config import find_config, load


@click.command()
@click.argument("address")
@config_option
@click.option("-v", "--verbose", count=True, help="Log what happens; twice: each request.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Format of standard error.")
def worker(*, address: str, config: Path | None, verbose: int, log_format: str) -> None:
    """Work on stores for a cluster's scheduler.

    ADDRESS is where `dask scheduler` runs, such as tls://scheduler:8786. `sync --cluster ADDRESS` hands the stores
    out. The archive must be in object storage. Every worker needs the configuration and the key. Ctrl-C or SIGTERM
    ends its stores in order, and other workers go on with them.
    """
    console.set_up_logging(verbose, quiet=False, as_json=log_format == "json")
    settings = load(find_config(config))
    require_bucket(settings)
    require_engine()
    console.redact.hide(settings.api_key())
    asyncio.run(serve(address, settings, command_line(), SystemClock()))
