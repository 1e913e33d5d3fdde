"""The server never gets more than the quota in any period, and the quota is used up.

The world: a server that notes when each request arrives, a disk that outlives the process, a process that is killed.
"""

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiolimiter import AsyncLimiter
from hypothesis import given, settings
from hypothesis import strategies as st

from market_photos.archive.catalog.requests import PastRequest
from market_photos.clock import Moment, age
from market_photos.market.limits import Limits
from market_photos.market.quota import MARGIN, TRANSIT, Quota, token_ages
from market_photos.market.slots import Slots
from market_photos.sandbox.log import most_within
from tests import virtual

HOUR = 3600.0
ANSWER = cast(Any, SimpleNamespace(content=SimpleNamespace(is_eof=lambda: True)))
REQUEST = cast(Any, None)


class Disk:
    """Keeps the requests that were sent; answers are written in batches, and a kill loses the unwritten ones."""

    def __init__(self, clock: virtual.VirtualClock, batch: int = 20) -> None:
        self.clock = clock
        self.batch = batch
        self.rows: dict[int, PastRequest] = {}
        self.count = 0

    def since(self, seconds: float) -> list[PastRequest]:
        now = self.clock.now()
        self.rows = {number: row for number, row in self.rows.items() if age(row.sent, now) < seconds}
        return list(self.rows.values())


class Process:
    """One run of the program; a kill loses its memory."""

    def __init__(self, disk: Disk, amount: int, period: float, slots: int) -> None:
        self.disk = disk
        self.alive = True
        self._unflushed: list[tuple[int, Moment]] = []
        restored = token_ages(disk.since(period + TRANSIT), disk.clock.now(), period)
        quota = Quota(amount, period, restored=restored)
        self.limits = Limits(Slots(slots, cool_down=1), {"photo": quota}, self)
        self.tasks: list[asyncio.Task[None]] = []

    async def sent(self, method: str, photo: int | None) -> int:
        self.disk.count += 1
        self.disk.rows[self.disk.count] = PastRequest("photo", self.disk.clock.now(), None)
        return self.disk.count

    def answered(self, request_id: int) -> None:
        if not self.alive:
            return  # after a kill, Python still cleans up the tasks
        self._unflushed.append((request_id, self.disk.clock.now()))
        if len(self._unflushed) >= self.disk.batch:
            for number, moment in self._unflushed:
                self.disk.rows[number] = PastRequest("photo", self.disk.rows[number].sent, moment)
            self._unflushed.clear()

    def withdrawn(self, request_id: int) -> None:
        self.answered(request_id)

    async def kill(self) -> None:
        self.alive = False
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Server:
    """Requests arrive some time after they were sent, unless the process is killed before."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []

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
            async with limits.admission("photo") as admission:
                await admission(REQUEST, lambda _: server.serve(connect, whole - connect))  # noqa: B023 - awaited here

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


@pytest.mark.slow
@pytest.mark.parametrize(("photos", "restarts"), [(120_000, 7)])
def test_a_backfill_of_a_day_never_exceeds_the_quota_and_uses_it_up(photos: int, restarts: int) -> None:
    arrivals = virtual.run(backfill(photos, restarts, seed=1))
    assert len(arrivals) >= photos
    assert most_within(sorted(arrivals), HOUR) <= 5000
    steady = arrivals[5000:]  # after the burst that a fresh quota allows
    used = len(steady) / (steady[-1] - steady[0]) * HOUR / 5000
    assert used >= 0.99, f"{used:.2%}"


async def fetch(photos: int, slots: int, seconds: float) -> float:
    """Return the seconds that `photos` take, if each takes `seconds`."""
    process = Process(Disk(virtual.VirtualClock()), 5000, HOUR, slots)
    numbers = iter(range(photos))

    async def work() -> None:
        for _ in numbers:
            async with process.limits.admission("photo") as admission:
                await admission(REQUEST, lambda _: asyncio.sleep(seconds, ANSWER))

    await asyncio.gather(*(work() for _ in range(slots)))
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(
    ("photos", "slots", "least", "most"),
    [
        (300, 4, 11.25, 11.3),  # 75 rounds of 150 ms: not paced at all
        (5000, 4, 187.5, 188.5),  # a whole quota is not paced either
        (5001, 4, HOUR, 1.002 * HOUR),
        (20_000, 4, 3 * HOUR, 3 * 1.002 * HOUR + 190),  # three periods, and the burst
    ],
)
def test_a_fresh_quota_is_not_paced_and_a_spent_one_costs_no_more_than_it_must(
    photos: int, slots: int, least: float, most: float
) -> None:
    assert least <= virtual.run(fetch(photos, slots, 0.15)) <= most


def test_one_large_limiter_lets_nearly_twice_the_quota_through() -> None:
    """The quota needs more than one limiter, and `most_within` notices an excess."""

    async def scenario() -> list[float]:
        limiter = AsyncLimiter(5000, HOUR)
        arrivals = []
        for _ in range(12_000):
            await limiter.acquire()
            arrivals.append(asyncio.get_running_loop().time())
        return arrivals

    assert most_within(sorted(virtual.run(scenario())), HOUR) >= 9_990


@dataclass(frozen=True)
class Plan:
    """A request: it starts after `start` s, and arrives after `connect` s unless it is cancelled before."""

    start: float
    connect: float
    answer: float
    fails: bool
    cancelled_after: float | None


def seconds(most: float) -> st.SearchStrategy[float]:
    return st.floats(0, most) | st.integers(0, int(most)).map(float)


plans = st.builds(
    Plan,
    st.just(0.0) | seconds(150),
    seconds(120) | seconds(1),
    seconds(120) | seconds(1),
    st.booleans(),
    st.none() | seconds(200),
)


@dataclass
class Trial:
    """Any requests against any quota, with kills at any time."""

    amount: int
    period: float
    slots: int
    plans: list[Plan]
    lives: list[float]
    batch: int

    def patience(self) -> float:
        """Return an upper bound in seconds: each request runs alone, and each token is spent again."""
        busy = sum(plan.start + plan.connect + plan.answer + 1 for plan in self.plans)
        return busy + (len(self.plans) + self.amount) * (1 + len(self.lives)) * self.period * (1 + MARGIN)

    async def run(self) -> list[float]:
        disk = Disk(virtual.VirtualClock(), self.batch)
        self.arrivals: list[float] = []
        self.left = list(self.plans)
        for life in [*self.lives, None]:
            process = Process(disk, self.amount, self.period, self.slots)
            process.tasks = [asyncio.create_task(self._request(process, plan)) for plan in self.left]
            if process.tasks:
                await asyncio.wait(process.tasks, timeout=self.patience() if life is None else life)
            await process.kill()
            disk.clock.jump -= HOUR
        return self.arrivals

    async def _request(self, process: Process, plan: Plan) -> None:
        await asyncio.sleep(plan.start)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(plan.cancelled_after), process.limits.admission("photo") as admission:
                await admission(REQUEST, lambda _: self._serve(plan))
        self.left.remove(plan)

    async def _serve(self, plan: Plan) -> Any:
        try:
            await asyncio.sleep(plan.connect)
        finally:  # an abandoned request reaches the server at this moment at the latest
            self.arrivals.append(asyncio.get_running_loop().time())
        await asyncio.sleep(plan.answer)
        if plan.fails:
            raise OSError
        return ANSWER


trials = st.builds(
    Trial,
    st.integers(1, 3) | st.integers(1, 20),
    st.floats(1, 100) | st.integers(1, 100).map(float),
    st.integers(1, 25),
    st.lists(plans, min_size=2, max_size=60),
    st.lists(seconds(20) | seconds(150), max_size=4),
    st.sampled_from([1, 3, 20]),
)


@settings(max_examples=400)
@given(trials)
def test_whatever_happens_the_quota_holds_and_every_request_has_its_turn(trial: Trial) -> None:
    arrivals = virtual.run(trial.run())  # a deadlock is an error of the virtual loop
    assert most_within(sorted(arrivals), trial.period) <= trial.amount
    assert not trial.left
