"""Compute the coordinates of charts, which the templates draw as SVG."""

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
    """Of the largest value."""


def days(counts: dict[int, int], today: int, length: int) -> list[Bar]:
    """Return a bar for each of the last `length` days. `counts` and `today` are by days since 1970."""
    shown = range(today - length + 1, today + 1)
    scale = top([counts.get(day, 0) for day in shown])
    step = WIDTH / length
    bars = []
    for place, day in enumerate(shown):
        height = round(counts.get(day, 0) / scale * HEIGHT, 1)
        label = str(dt.date(1970, 1, 1) + dt.timedelta(days=day))
        bars.append(
            Bar(round(place * step + 1, 1), HEIGHT - height, round(step - 3, 1), height, label, counts.get(day, 0))
        )
    return bars


def top(counts: list[int]) -> int:
    """Return the end of the axis: a round number not below the highest count, at least 1."""
    highest = max(counts, default=0)
    if highest < 1:
        return 1
    power = 10 ** math.floor(math.log10(highest))
    return int(next(step * power for step in (1, 2, 3, 5, 10) if step * power >= highest))


def shares(counts: dict[str, int], limit: int = 8) -> list[Share]:
    """Return the `limit` most frequent values, the most frequent first."""
    ordered = sorted(((n, value) for value, n in counts.items() if n > 0), reverse=True)[:limit]
    return [Share(value, n, round(n / ordered[0][0] * 100, 1)) for n, value in ordered]
