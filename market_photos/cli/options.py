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

    def total(self) -> float:
        """Return its seconds if it ends now. Raises the same errors."""
        now = dt.datetime.now(dt.UTC)
        return (now - self.before(now)).total_seconds()


class Duration(click.ParamType[Span]):
    """A span such as `1h30m`, in the units y, mo (months), w, d, h, m (minutes) and s."""

    name = "duration"

    def __init__(self, example: str, *, is_age: bool = False) -> None:
        """`is_age`: of what is deleted; minutes, which may be meant as months, and less than a day are refused."""
        self._example = example
        self._is_age = is_age

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Span:
        """Return the span. Fails if it is malformed, 0, not allowed, or reaches back before all dates."""
        if isinstance(value, Span):
            return value
        text = value.strip().lower()
        parts = re.findall(r"(\d{1,9}(?:\.\d{1,9})?)(mo|[ywdhms])", text, re.ASCII)
        if self._is_age and "m" in [unit for _, unit in parts]:
            self.fail(f"{value!r}: m means minutes; write mo for months: {re.sub('m(?!o)', 'mo', text)}", param, ctx)
        is_whole = all(number.isdecimal() for number, unit in parts if unit in _MONTHS)
        if "".join(map("".join, parts)) != text or not parts or not is_whole:
            self.fail(f"{value!r} is not a duration like {self._example}", param, ctx)
        span = Span(
            sum(int(number) * _MONTHS[unit] for number, unit in parts if unit in _MONTHS),
            sum(float(number) * _SECONDS[unit] for number, unit in parts if unit in _SECONDS),
        )
        try:
            seconds = span.total()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is too long", param, ctx)
        if seconds <= 0:
            self.fail(f"{value!r} is not above 0", param, ctx)
        if self._is_age and seconds < _SECONDS["d"]:
            self.fail(f"{value!r} is less than a day", param, ctx)
        return span


class Number(click.ParamType[int]):
    """A whole number of at least `least`. Unlike `click.IntRange`, `--help` shows a word and no range."""

    def __init__(self, name: str, least: int) -> None:
        self.name = name
        self._range = click.IntRange(min=least)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number. Fails if it is none, or less."""
        return self._range.convert(value, param, ctx)


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


class Date(click.DateTime):
    """A day, YYYY-MM-DD."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return the word that `--help` shows."""
        return "DATE"


#: Of a run or between two syncs.
DURATION = Duration("6h, 90m or 1h30m")
#: Of a return.
AGE = Duration("3y, 18mo, 6w or 90d", is_age=True)
ID = Number("id", 1)
DATE = Date()


campaigns_option = click.option(
    "--campaign", "campaigns", type=ID, multiple=True, help="Work on this store only; may be repeated."
)
shard_option = click.option(
    "--shard",
    type=ShardType(),
    default=WHOLE,
    metavar="I/N",
    help="Work on part I of N of the stores; 1/4 to 4/4 share all of them out.",
)
config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read this configuration. Default: $MARKET_PHOTOS_CONFIG, else ./config.toml.",
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
    return re.sub(r"(^| )--config[= ]\S+", "", " ".join(sys.argv[1:])).strip()[:200]
