"""`doctor`: check whether a sync would work here."""

import asyncio
import sys
from pathlib import Path

import click

from market_photos import console
from market_photos.cli.options import config_option
from market_photos.config import find_config, load
from market_photos.sync.doctor import examine


@click.command()
@config_option
def doctor(*, config: Path | None) -> None:
    """Check configuration, key, stores, disk and clock.

    Says what would keep a sync from working and what to do about it. Sends three requests at most.
    """
    path = find_config(config)
    settings = load(path)
    console.show(f"ok: configuration {path or '(environment only)'}")
    sys.exit(asyncio.run(examine(settings, console.show)))
