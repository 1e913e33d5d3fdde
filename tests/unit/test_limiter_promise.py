"""In no period, wherever it starts, does the server get more than the quota; and the quota is used up.

The world: a server that notes when each request arrives, a disk that outlives the process, a process that is killed.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiolimiter import AsyncLimiter
from hypothesis import given, settings
from hypothesis import strategies as st

from market_photos.clock import Moment, age
from market_photos.market.limiter import TRANSIT, Limits, Passage, Spent, ages
from market_photos.market.quota import MARGIN, Quota
from market_photos.market.slots import Slots
from tests import virtual

HOUR = 3600.0
ANSWER = cast(Any, SimpleNamespace(content=SimpleNamespace(is_eof=lambda: True)))
REQUEST = cast(Any, None)


def worst(arrivals: list[float], period: float) -> int:
    """The most arrivals in any [t, t + period): two pointers over the sorted times."""
    arrivals = sorted(arrivals)
    most = first = 0
    for last, time in enumerate(arrivals):
        while time - arrivals[first] >= period:
            first += 1
        most = max(most, last - first + 1)
    return most


class Disk:
    """Keeps what was sent; answers reach it twenty at a time, and a kill loses the rest of them."""

    def __init__(self, clock: virtual.VirtualClock) -> None:
        self.clock = clock
        self.rows: dict[int, Spent] = {}
        self.count = 0

    def since(self, seconds: float) -> list[Spent]:
        now = self.clock.now()
        self.rows = {number: row for number, row in self.rows.items() if age(row.sent, now) < seconds}
        return list(self.rows.values())


class Process:
    """One run of the program: what it knows is gone when it is killed."""

    def __init__(self, disk: Disk, amount: int, period: float, slots: int) -> None:
        self.disk = disk
        self.alive = True
        self._unflushed: list[tuple[int, Moment]] = []
        restored = ages(disk.since(period + TRANSIT), disk.clock.now(), period)
        self.limits = Limits(Slots(slots), {"photo": Quota(amount, period, restored=restored)}, self)
        self.tasks: list[asyncio.Task[None]] = []

    async def sent(self, method: str) -> int:
        self.disk.count += 1
        self.disk.rows[self.disk.count] = Spent(self.disk.clock.now(), None)
        return self.disk.count

    def answered(self, request_id: int) -> None:
        if not self.alive:
            return  # it was killed: this is Python cleaning up after a task
        self._unflushed.append((request_id, self.disk.clock.now()))
        if len(self._unflushed) >= 20:
            for number, moment in self._unflushed:
                self.disk.rows[number] = Spent(self.disk.rows[number].sent, moment)
            self._unflushed.clear()

    async def kill(self) -> None:
        self.alive = False
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Server:
    """Requests arrive some time after they were sent, unless the process is killed before."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []
        self.in_flight = 0

    async def serve(self, connect: float, answer: float) -> Any:
        now = asyncio.get_running_loop().time()
        self.arrivals.append(now + connect)
        await asyncio.sleep(connect + answer)
        return ANSWER

    def killed(self) -> None:
        now = asyncio.get_running_loop().time()
        self.arrivals[-50:] = [time for time in self.arrivals[-50:] if time <= now]


def latency(rng: Random) -> float:
    """0.05–5 s, each order of magnitude as likely as the next: 1.1 s on average."""
    return math.exp(rng.uniform(math.log(0.05), math.log(5)))


async def backfill(photos: int, restarts: int, seed: int) -> list[float]:
    """Fetch `photos` with three slots, killed and started again `restarts` times, and return the arrivals."""
    rng = Random(seed)
    server = Server()
    disk = Disk(virtual.VirtualClock())

    async def work(limits: Limits) -> None:
        while len(server.arrivals) < photos:
            whole = latency(rng)
            connect = whole * rng.random()
            async with limits.passage("photo") as passage:
                await passage(REQUEST, lambda _: server.serve(connect, whole - connect))  # noqa: B023 - awaited here

    kills = [rng.uniform(0, photos / 5000 * HOUR / restarts * 2) for _ in range(restarts)]
    for life in [*kills, None]:
        process = Process(disk, 5000, HOUR, slots=3)
        process.tasks = [asyncio.create_task(work(process.limits)) for _ in range(3)]
        await asyncio.wait(process.tasks, timeout=life)
        await process.kill()
        server.killed()
        disk.clock.jump = rng.choice([-HOUR, 0, HOUR])
        await asyncio.sleep(rng.uniform(0, 60))
    return sorted(server.arrivals)


@pytest.mark.parametrize(("photos", "restarts"), [(360_000, 20)])
def test_a_backfill_of_three_days_never_exceeds_the_quota_and_uses_it_up(photos: int, restarts: int) -> None:
    arrivals = virtual.run(backfill(photos, restarts, seed=1))
    assert len(arrivals) >= photos
    assert worst(arrivals, HOUR) <= 5000
    steady = arrivals[5000:]  # what comes after the burst that a fresh quota allows
    used = len(steady) / (steady[-1] - steady[0]) * HOUR / 5000
    assert used >= 0.99, f"{used:.2%}"
