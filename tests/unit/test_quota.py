"""The quota of one method: requests wait in order, and no token is lost."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from market_photos.market.quota import MARGIN, Quota, Wait
from market_photos.market.server_quota import Token, date_step
from tests import virtual

PERIOD = 100.0
LAP = PERIOD * (1 + MARGIN)


def now() -> float:
    return asyncio.get_running_loop().time()


async def request(quota: Quota, latency: float = 0) -> float:
    """Request once; return the time of sending."""
    async with quota.token() as token:
        quota.send(token)
        begin = now()
        await asyncio.sleep(latency)
    quota.forget_in_flight(token)
    return begin


def near(*times: float) -> object:
    return pytest.approx(list(times), abs=0.01)


@pytest.mark.parametrize(
    ("amount", "latencies", "sent"),
    [
        (3, [0, 0, 0], [0, 0, 0]),
        (2, [0, 0, 0, 0, 0], [0, 0, LAP, LAP, 2 * LAP]),
        (1, [5, 5, 5], [0, 5 + LAP, 10 + 2 * LAP]),  # the period starts with the answer
        (1, [250, 0], [0, 250 + LAP]),  # even if it is longer than a period
        (2, [250, 0, 0, 0], [0, 0, LAP, 2 * LAP]),  # a slow request keeps only its own token
    ],
)
def test_a_token_comes_back_a_period_after_the_answer(amount: int, latencies: list[float], sent: list[float]) -> None:
    async def scenario() -> None:
        quota = Quota(amount, PERIOD)
        assert sorted(await asyncio.gather(*(request(quota, latency) for latency in latencies))) == near(*sent)

    virtual.run(scenario())


@pytest.mark.parametrize(
    ("ages", "sent"),
    [
        ([], [0, 0, LAP]),
        ([0], [0, LAP, LAP]),
        ([30], [0, LAP - 30, LAP]),
        ([90, 30], [LAP - 90, LAP - 30, 2 * LAP - 90]),
        ([30, 90], [LAP - 90, LAP - 30, 2 * LAP - 90]),
        ([500, 1e9], [0, 0, LAP]),
        ([-40], [0, LAP, LAP]),  # from the future: now
        ([0, 30, 60, 99], [LAP - 30, LAP, 2 * LAP - 30]),  # the quota was lowered: the youngest count
    ],
)
def test_a_restart_knows_the_requests_of_the_last_period(ages: list[float], sent: list[float]) -> None:
    async def scenario() -> None:
        quota = Quota(2, PERIOD, restored=ages)
        assert [await request(quota) for _ in range(3)] == near(*sent)

    virtual.run(scenario())


def test_earlier_requests_grow_old_before_the_first_one_of_this_run() -> None:
    """Photos wait for no second period where the listing has waited for one."""

    async def scenario() -> None:
        quota = Quota(1, PERIOD, restored=[10])
        await asyncio.sleep(60)
        assert quota.returns == near(LAP - 70)
        assert [await request(quota)] == near(LAP - 10)

    virtual.run(scenario())


def test_an_unspent_token_goes_to_the_next_request_at_once() -> None:
    async def scenario() -> None:
        quota = Quota(3, PERIOD)
        await request(quota)
        await request(quota)
        async with quota.token():
            waiting = asyncio.create_task(request(quota))  # naps on the first token
            await asyncio.sleep(1)
            assert not waiting.done()
        assert [await waiting] == near(1)

    virtual.run(scenario())


def test_a_failed_request_spends_its_token() -> None:
    async def scenario() -> None:
        quota = Quota(1, PERIOD)
        with suppress(OSError):
            async with quota.token() as token:
                quota.send(token)
                raise OSError("reset")
        assert [await request(quota)] == near(LAP)

    virtual.run(scenario())


def test_waiting_requests_are_served_in_order_and_a_cancel_loses_no_token() -> None:
    async def scenario() -> None:
        quota = Quota(1, PERIOD)
        order: list[int] = []

        async def queue(number: int) -> None:
            await request(quota)
            order.append(number)

        tasks = [asyncio.create_task(queue(number)) for number in range(6)]
        await asyncio.sleep(1)
        for number in (1, 3):  # the head, and one further back
            tasks[number].cancel()
        await asyncio.wait(tasks)
        assert order == [0, 2, 4, 5]
        assert now() == pytest.approx(3 * LAP, abs=0.01)

    virtual.run(scenario())


def test_requests_at_the_gate_are_served_in_order() -> None:
    async def scenario() -> None:
        quota = Quota(9, PERIOD)
        order: list[int] = []

        async def queue(number: int) -> None:
            await request(quota)
            order.append(number)

        quota.quota_refused(Token(), 0.1)
        await asyncio.gather(*(queue(number) for number in range(8)))
        assert order == sorted(order)
        assert now() == pytest.approx(0.1 + date_step(PERIOD), abs=0.01)

    virtual.run(scenario())


def test_a_request_cancelled_at_the_gate_returns_its_token() -> None:
    async def scenario() -> None:
        quota = Quota(1, PERIOD)
        quota.quota_refused(Token(), 50)
        waiting = asyncio.create_task(request(quota))
        await asyncio.sleep(1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert [await request(quota)] == near(50 + date_step(PERIOD))

    virtual.run(scenario())


def test_a_request_at_the_gate_waits_longer_if_it_closes_for_longer() -> None:
    async def scenario() -> None:
        quota = Quota(9, PERIOD)
        quota.quota_refused(Token(), 10)
        waiting = asyncio.create_task(request(quota))
        await asyncio.sleep(5)
        quota.quota_refused(Token(), 20)
        assert [await waiting] == near(25 + date_step(PERIOD))

    virtual.run(scenario())


def test_answered_requests_are_not_subtracted_twice() -> None:
    async def scenario() -> None:
        quota = Quota(100, PERIOD)
        for _ in range(5):
            await request(quota)
        slow = asyncio.create_task(request(quota, latency=5))
        await asyncio.sleep(1)
        async with quota.token() as token:
            quota.send(token)
        quota.observe_headers(token, 10, 50)
        assert quota.left == 9  # except the one that it may not have counted yet
        await slow

    virtual.run(scenario())


def test_an_answer_that_leaves_more_than_feared_opens_the_gate_at_once() -> None:
    """Tens of requests in a few seconds: two or three that nobody uses would be a tenth of the quota."""

    async def scenario() -> None:
        quota = Quota(100, PERIOD)
        async with quota.token() as first, quota.token() as second:
            quota.send(first)
            quota.send(second)
        quota.observe_headers(second, 1, 50)  # may or may not have counted the first
        waiting = asyncio.create_task(request(quota))
        await asyncio.sleep(3)
        assert quota.left == 0
        quota.observe_headers(first, 2, 50)
        assert [await waiting] == near(3)

    virtual.run(scenario())


def test_a_wait_has_a_reason_and_an_end() -> None:
    def is_told(quota: Quota, reason: str, until: float) -> bool:
        wait = quota.wait
        assert wait is not None
        assert wait.until == pytest.approx(until, abs=0.01)
        return wait.reason == reason and quota.left == 0

    async def scenario() -> None:
        quota = Quota(2, PERIOD)
        assert (quota.left, quota.wait) == (2, None)
        await request(quota)
        assert (quota.left, quota.wait) == (1, None)
        async with quota.token() as token:
            quota.send(token)
            assert is_told(quota, "spent", LAP)
        await asyncio.sleep(LAP + 1)
        assert (quota.left, quota.wait) == (2, None)
        quota.observe_headers(token, 1, 50)
        assert (quota.left, quota.wait) == (1, None)
        quota.observe_headers(token, 0, 50)
        assert is_told(quota, "remaining", now() + 50 + date_step(PERIOD))
        quota.quota_refused(token, 80)
        assert is_told(quota, "refused", now() + 80 + date_step(PERIOD))

    virtual.run(scenario())


def test_a_wait_for_requests_in_flight_has_no_known_end() -> None:
    async def scenario() -> None:
        quota = Quota(1, PERIOD)
        async with quota.token() as token:
            quota.send(token)
            assert quota.wait == Wait("spent", None)

    virtual.run(scenario())


@pytest.mark.parametrize("make", [lambda: Quota(0, PERIOD), lambda: Quota(1, 0)])
def test_a_quota_of_nothing_is_refused(make: Callable[[], Quota]) -> None:
    with pytest.raises(ValueError, match="lets nothing through"):
        make()
