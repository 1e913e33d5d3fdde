"""Options that several commands share, and their types."""

import calendar
import datetime as dt
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from market_photos.sync.shard import WHOLE, Shard

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_MONTHS = {"y": 12, "mo": 1}


class Span(NamedTuple):
    """A length of time: calendar months and seconds."""

    months: int
    seconds: float

    def before(self, now: dt.datetime) -> dt.datetime:
        """Return the time that lies a span before `now`. Raises ValueError or OverflowError if no calendar has it."""
        year, month = divmod(now.year * 12 + now.month - 1 - self.months, 12)
        day = min(now.day, calendar.monthrange(year, month + 1)[1])
        return now.replace(year=year, month=month + 1, day=day) - dt.timedelta(seconds=self.seconds)


class Duration(click.ParamType[Span]):
    """A span above 0 such as `1h30m`, in some of the units y, mo (months), w, d, h, m (minutes) and s."""

    name = "duration"

    def __init__(self, units: str, example: str) -> None:
        self._units = units.split()
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Span:
        """Return the span. Fails if it is malformed, 0, or reaches back before all dates."""
        text = str(value).strip().lower()
        parts = re.findall(r"(\d{1,9}(?:\.\d{1,9})?)(mo|[a-z])", text, re.ASCII)
        units = [unit for _, unit in parts]
        if "m" in units and "mo" in self._units:
            self.fail(f"{value!r}: m means minutes; write mo for months: {re.sub('m(?!o)', 'mo', text)}", param, ctx)
        is_whole = all(number.isdecimal() for number, unit in parts if unit in _MONTHS)
        if "".join(map("".join, parts)) != text or not parts or not is_whole or not set(units) <= set(self._units):
            self.fail(f"{value!r} is not a duration like {self._example}", param, ctx)
        span = Span(
            sum(int(number) * _MONTHS[unit] for number, unit in parts if unit in _MONTHS),
            sum(float(number) * _SECONDS[unit] for number, unit in parts if unit in _SECONDS),
        )
        try:
            span.before(dt.datetime.now(dt.UTC))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is too long", param, ctx)
        return span if any(span) else self.fail(f"{value!r} is not above 0", param, ctx)


class ShardType(click.ParamType[Shard]):
    """A part of the stores such as `1/4`."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        """Return the shard. Fails unless it is one of 1/N to N/N."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", str(value), re.ASCII)
        shard = Shard(int(match[1]), int(match[2])) if match else Shard(0, 0)
        if not 1 <= shard.number <= shard.count:
            self.fail(f"{value!r} is not a part like 1/4, 2/4, 3/4 or 4/4; the first part is 1", param, ctx)
        return shard


#: Of a run or between two syncs.
DURATION = Duration("w d h m s", "6h, 90m or 1h30m")
#: Of a return.
AGE = Duration("y mo w d", "3y, 18mo, 6w or 90d")
ID = click.IntRange(min=1)
DATE = click.DateTime(["%Y-%m-%d"])

campaigns_option = click.option(
    "--campaign", "campaigns", type=ID, multiple=True, metavar="ID", help="Only this store; may be repeated."
)
shard_option = click.option(
    "--shard",
    type=ShardType(),
    default=WHOLE,
    metavar="I/N",
    help="Only part I of N of the stores: 1/4 to 4/4 share all stores out.",
)
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Configuration file. Default: $MARKET_PHOTOS_CONFIG, else ./config.toml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def with_options(*options: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the options to a command, in their order."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def command_line() -> str:
    """Return the command line for the lock and the catalogue, such as `sync --full`, without --config."""
    text = " ".join(sys.argv[1:])
    return re.sub(r"(^| )--config[= ]\S+", "", text).strip()[:200]
