"""Options that several commands have in common, and their types."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


class Duration(click.ParamType[float]):
    """`6h`, `90m`, `1h30m`, `2d`: seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", str(value).lower())
        if not parts or "".join(f"{number}{unit}" for number, unit in parts) != str(value).lower():
            self.fail(f"{value!r} is not a duration like 6h, 90m or 1h30m", param, ctx)
        return sum(float(number) * _UNITS[unit] for number, unit in parts)


STORE = click.IntRange(min=1)
DAY = click.DateTime(["%Y-%m-%d"])

campaigns_option = click.option(
    "--campaign", "campaigns", type=STORE, multiple=True, metavar="ID", help="Only this store; may be repeated."
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
