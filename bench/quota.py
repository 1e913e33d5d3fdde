"""Measure limiters on a virtual clock: how many requests each lets through, and how long photos take."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from aiolimiter import AsyncLimiter

from bench.table import markdown
from market_photos.market.quota import Quota
from market_photos.sandbox.log import most_within
from tests import virtual

AMOUNT, PERIOD = 5000, 3600.0
SLOTS, LATENCY = 4, 0.15
#: Requests of a burst; the rest of the quota is the refill.
BURST = 300

Let = Callable[[], AbstractAsyncContextManager[Any]]


def naive() -> Let:
    """Return the usual limiter."""
    limiter = AsyncLimiter(AMOUNT, PERIOD)
    return lambda: limiter


def small_burst() -> Let:
    """Return a strict limiter: burst and refill together stay below the quota."""
    limiter = AsyncLimiter(BURST, PERIOD * BURST / (AMOUNT - BURST))
    return lambda: limiter


def paced() -> Let:
    """Return a strict and even limiter: one request every 0.72 s."""
    limiter = AsyncLimiter(1, PERIOD / AMOUNT)
    return lambda: limiter


def ours() -> Let:
    """Return the limiter of this program."""
    quota = Quota(AMOUNT, PERIOD)

    @asynccontextmanager
    async def sent() -> AsyncIterator[None]:
        async with quota.token() as token:
            quota.send(token)
            yield

    return sent


LIMITERS = (("naive `AsyncLimiter(5000, 3600)`", naive), (f"small burst ({BURST})", small_burst),
            ("paced, no burst", paced), ("ours", ours))  # fmt: skip


async def arrivals(make: Callable[[], Let], photos: int) -> list[float]:
    """Return when each of `photos` requests reaches a server that takes 150 ms, through four slots, and the end.

    All in seconds.
    """
    let, times, numbers = make(), [], iter(range(photos))

    async def work() -> None:
        for _ in numbers:
            async with let():
                times.append(asyncio.get_running_loop().time())
                await asyncio.sleep(LATENCY)

    await asyncio.gather(*(work() for _ in range(SLOTS)))
    times.append(asyncio.get_running_loop().time())
    return times


def bound(photos: int) -> float:
    """Return the least seconds within the quota: a full burst at the start of each period."""
    full, rest = divmod(photos - 1, AMOUNT)
    return full * PERIOD + (rest + 1) / SLOTS * LATENCY


def duration(make: Callable[[], Let], photos: int) -> float:
    return virtual.run(arrivals(make, photos))[-1]


def report() -> str:
    rows = []
    for name, make in LIMITERS:
        times = virtual.run(arrivals(make, 20_000))
        few, many = duration(make, 300), times[-1]
        most = most_within(times[:-1], PERIOD)
        rows.append(
            [
                name,
                f"{sum(time < PERIOD for time in times[:-1]):,}",
                f"{most:,}{' **over**' * (most > AMOUNT)}",
                f"{few:,.1f} s",
                f"{many:,.0f} s",
                f"{bound(300) / few:.1%}",
                f"{bound(20_000) / many:.1%}",
            ]
        )
    heads = ("limiter", "first hour", "worst hour", "300 photos", "20 000 photos", "of the bound: 300", "20 000")
    return markdown(heads, rows)
