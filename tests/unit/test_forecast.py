"""The time left is what a run then takes: compared with a simulation of the queue, at every moment of it."""

import asyncio
import heapq
from collections.abc import Iterator
from random import Random

import pytest

from market_photos.market.quota import Quota
from market_photos.reporting.forecast import LEAST_ANSWERS, pace_of, seconds_left
from market_photos.sync.progress import photos_take
from tests import virtual

HELD = 3603.6


def simulated(
    photos: int, returns: list[float], amount: int, step: float, closed_for: float = 0.0
) -> Iterator[float]:
    """Yield when each photo is answered: it takes the token that is back first, one photo after the other."""
    tokens = sorted([0.0] * (amount - len(returns)) + returns)
    now = 0.0
    for _ in range(photos):
        now = max(now, tokens[0], closed_for) + step
        heapq.heapreplace(tokens, now + HELD)
        yield now


EVENLY = [3600 * n / 5000 for n in range(1, 5001)]
BURST = [3000 + n / 25 for n in range(300)]
AT_ONCE = [3603.6] * 5000


@pytest.mark.parametrize("photos", [1, 62, 300, 5000, 5001, 12_000, 30_000])
@pytest.mark.parametrize("step", [0.04, 0.5, 2.0])
@pytest.mark.parametrize("returns", [[], EVENLY, BURST, AT_ONCE, EVENLY[:2500]], ids=len)
@pytest.mark.parametrize("closed_for", [0.0, 1800.0])
def test_the_forecast_is_what_the_queue_takes(
    photos: int, step: float, returns: list[float], closed_for: float
) -> None:
    *_, took = simulated(photos, returns, 5000, step, closed_for)
    found = seconds_left(photos, returns, amount=5000, held_for=HELD, closed_for=closed_for, pace=1 / step)
    # A token is held from its answer on, so each round takes a step more.
    assert found == pytest.approx(took, rel=0.002, abs=3 * step)


def test_the_forecast_neither_stands_still_nor_jumps() -> None:
    """Second by second of a night with a wait of an hour, it goes down by a second."""
    answered = list(simulated(700, BURST[:], 400, 0.04))
    tokens = sorted([0.0] * 100 + BURST)
    events = []
    for at in answered:
        events.append((at, tokens[0]))
        heapq.heapreplace(tokens, at + HELD)
    tokens, done, ends = sorted([0.0] * 100 + BURST), 0, []
    for second in range(int(answered[-1])):
        while answered[done] <= second:
            heapq.heapreplace(tokens, answered[done] + HELD)
            done += 1
        returns = [back - second for back in sorted(tokens) if back > second]
        left = seconds_left(len(answered) - done, returns, amount=400, held_for=HELD, pace=25)
        ends.append(second + left)
    assert max(ends) - min(ends) < 15
    assert max(ends) == pytest.approx(answered[-1], abs=15)


@pytest.mark.parametrize(
    ("photos", "returns", "left"),
    [(0, [9.0], 0.0), (5, [], 0.0), (5, [100.0], 0.0), (10, [100.0, 200.0], 200.0), (11, [100.0, 200.0], HELD)],
)
def test_without_a_pace_the_quota_alone_counts(photos: int, returns: list[float], left: float) -> None:
    assert seconds_left(photos, returns, amount=10, held_for=HELD) == left


def test_the_pace_is_that_of_the_answers_between_two_waits() -> None:
    before, after = [n * 0.1 for n in range(30)], [2000 + n * 0.1 for n in range(30)]
    assert pace_of([*before, *after]) == pytest.approx(10)
    assert pace_of(before[: LEAST_ANSWERS - 1]) is None
    assert pace_of([1.0] * 20) is None


async def counted_on(photos: int, paused_until: float = 0.0) -> float | None:
    """A quota of 10 of which 6 are spent, one of them in flight."""
    quota = Quota(10, 3600, restored=[3000.0] * 2, rng=Random(1))
    for _ in range(3):
        async with quota.token() as token:
            quota.send(token)
        await asyncio.sleep(10)
    async with quota.token() as token:
        quota.send(token)
        return photos_take(photos, quota, paused_until)


@pytest.mark.parametrize(
    ("photos", "paused_until", "left"),
    [
        (4, 0.0, None),
        (5, 0.0, 603.6 - 30),
        (6, 0.0, 603.6 - 30),
        (7, 0.0, HELD - 30),
        (8, 0.0, HELD - 20),
        (10, 0.0, HELD),
        (4, 930.0, 900.0),
        (5, 930.0, 900.0),
        (7, 930.0, HELD - 30),
    ],
)
def test_a_run_counts_every_token_of_its_quota(photos: int, paused_until: float, left: float | None) -> None:
    """Those of earlier runs, those of this one, and the one in flight, which is back last; and the server's pause."""
    found = virtual.run(counted_on(photos, paused_until))
    assert found == (left if left is None else pytest.approx(left, abs=0.01))
