"""Plots as numbers: the templates draw them as SVG, without a line of script. Pure."""

import datetime as dt
import math
from typing import NamedTuple

WIDTH, HEIGHT = 640, 150


class Bar(NamedTuple):
    x: float
    y: float
    width: float
    height: float
    label: str
    value: int


class Share(NamedTuple):
    value: str
    n: int
    percent: float
    """Of the largest."""


def days(counts: dict[int, int], today: int, length: int) -> list[Bar]:
    """A bar for each of the last days. `counts` by days since 1970."""
    shown = range(today - length + 1, today + 1)
    most = top([counts.get(day, 0) for day in shown])
    step = WIDTH / length
    bars = []
    for place, day in enumerate(shown):
        height = round(counts.get(day, 0) / most * HEIGHT, 1)
        label = str(dt.date(1970, 1, 1) + dt.timedelta(days=day))
        bars.append(
            Bar(round(place * step + 1, 1), HEIGHT - height, round(step - 3, 1), height, label, counts.get(day, 0))
        )
    return bars


def top(counts: list[int]) -> int:
    """A round number at or above the highest, at least 1."""
    highest = max(counts, default=0)
    if highest < 1:
        return 1
    power = 10 ** math.floor(math.log10(highest))
    return int(next(step * power for step in (1, 2, 3, 5, 10) if step * power >= highest))


def shares(counts: dict[str, int], most: int = 8) -> list[Share]:
    """The most frequent, longest first."""
    ordered = sorted(((n, value) for value, n in counts.items() if n > 0), reverse=True)[:most]
    return [Share(value, n, round(n / ordered[0][0] * 100, 1)) for n, value in ordered]
