"""Options that several commands have in common."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

STORE = click.IntRange(min=1)

campaigns_option = click.option(
    "--campaign", "campaigns", type=STORE, multiple=True, help="Only this store; may be repeated."
)


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="Configuration file. Default: $MARKET_PHOTOS_CONFIG, else ./config.toml.",
    )(command)


def command_line() -> str:
    """For the lock and the catalogue: `sync --full`. Where the configuration is belongs to nobody else."""
    text = " ".join(sys.argv[1:])
    return re.sub(r" --config[= ]\S+", "", text)[:200]
