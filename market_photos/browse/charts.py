"""Compute the coordinates of charts, which the templates draw as SVG."""

import datetime as dt
import math
from typing import NamedTuple

WIDTH, HEIGHT = 640, 150


class Bar(NamedTuple):
    """A rectangle in a chart of `WIDTH` × `HEIGHT`, with its label and the value that it shows."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: int


class Share(NamedTuple):
    """A value with its number of occurrences."""

    value: str
    n: int
    percent: float
    """Of the largest value."""


def days(counts: dict[int, int], today: int, length: int) -> list[Bar]:
    """Return a bar for each of the last `length` days. `counts` and `today` are by days since 1970."""
    values = [counts.get(day, 0) for day in range(today - length + 1, today + 1)]
    step, scale = WIDTH / length, HEIGHT / top(values)
    first = dt.date(1970, 1, 1) + dt.timedelta(days=today - length + 1)
    return [
        Bar(
            x=round(place * step + 1, 1),
            y=HEIGHT - round(value * scale, 1),
            width=round(step - 3, 1),
            height=round(value * scale, 1),
            label=str(first + dt.timedelta(days=place)),
            value=value,
        )
        for place, value in enumerate(values)
    ]


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
