"""There are never more requests in flight than slots, however they end."""

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market_photos.market.slots import CALM, Slots
from tests import virtual


def now() -> float:
    return asyncio.get_running_loop().time()


async def wait_for(slots: Slots) -> float:
    """Return the seconds until a slot is free."""
    begin = now()
    await slots.acquire()
    return now() - begin


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.booleans(), st.none() | st.integers(0, 30))),
    st.lists(st.integers(0, 60), max_size=4),
)
@settings(max_examples=150)
def test_never_more_requests_are_in_flight_than_allowed_and_all_are_served(
    most: int, requests: list[tuple[int, int, bool, int | None]], crowds: list[int]
) -> None:
    """Abandoned requests occupy the server during the cool-down; cancels and crowds come at any time."""

    async def scenario() -> None:
        slots = Slots(most, cool_down=10, rng=Random(1))
        served = 0

        def leave() -> None:
            nonlocal served
            served -= 1

        async def request(start: int, length: int, late: bool) -> None:
            nonlocal served
            await asyncio.sleep(start)
            await slots.acquire()
            served += 1
            assert served <= slots.allowed <= most
            try:
                await asyncio.sleep(length)
            except asyncio.CancelledError:
                late = True
                raise
            finally:
                if late:
                    asyncio.get_running_loop().call_later(10, leave)
                else:
                    leave()
                slots.release(late=late)

        async def one(start: int, length: int, late: bool, cancelled_after: int | None) -> None:
            try:
                async with asyncio.timeout(cancelled_after):
                    await request(start, length, late)
            except TimeoutError:
                assert cancelled_after is not None

        for crowd in crowds:
            asyncio.get_running_loop().call_later(crowd, slots.parallel_limit_hit)
        await asyncio.gather(*(one(*facts) for facts in requests))
        await asyncio.sleep(11 + 5 * CALM)
        assert slots.taken == 0
        for _ in range(most):
            assert await wait_for(slots) < 0.001  # all slots were withdrawn
        assert slots.allowed == most

    virtual.run(scenario())


def test_a_slot_that_the_server_holds_longer_cools_down() -> None:
    async def scenario() -> None:
        slots = Slots(1, cool_down=10)
        await slots.acquire()
        slots.release(late=True)
        assert await wait_for(slots) == pytest.approx(10, abs=0.001)
        slots.release()
        assert await wait_for(slots) == pytest.approx(0, abs=0.001)

    virtual.run(scenario())


@pytest.mark.parametrize(("count", "free"), [(0, 3), (2, 1), (3, 0), (9, 0)])
def test_slots_of_a_killed_run_are_held(count: int, free: int) -> None:
    async def scenario() -> None:
        slots = Slots(3)
        slots.hold(count, 10)
        waits = [await wait_for(slots) for _ in range(3)]
        assert waits == pytest.approx([0] * free + [10] * (free < 3) + [0] * max(0, 2 - free), abs=0.001)

    virtual.run(scenario())


def test_a_parallel_420_costs_a_slot_for_a_calm_minute_and_pauses_new_requests() -> None:
    async def scenario() -> None:
        slots = Slots(3, rng=Random(1))
        await slots.acquire()
        slots.parallel_limit_hit()
        slots.parallel_limit_hit()  # the same crowd
        assert (slots.allowed, slots.paused_until is not None) == (2, True)
        assert 1 <= await wait_for(slots) <= 5.001
        assert slots.paused_until is None
        assert now() + await wait_for(slots) == pytest.approx(CALM, abs=6)  # the third slot, without a release

    virtual.run(scenario())


def test_a_parallel_420_after_a_calm_minute_counts_as_the_first() -> None:
    async def scenario() -> None:
        slots = Slots(3)
        slots.parallel_limit_hit()
        await asyncio.sleep(CALM + 1)
        slots.parallel_limit_hit()
        assert slots.allowed == 2

    virtual.run(scenario())


def test_the_last_slot_is_kept_and_all_come_back_one_a_minute() -> None:
    async def scenario() -> None:
        slots = Slots(3, rng=Random(1))
        for _ in range(5):
            slots.parallel_limit_hit()
            await asyncio.sleep(5.01)
        assert slots.allowed == 1
        last_crowd = now() - 5.01
        await slots.acquire()
        for minutes in (1, 2):
            await slots.acquire()
            assert now() - last_crowd == pytest.approx(minutes * CALM, abs=0.01)

    virtual.run(scenario())


def test_waiting_requests_are_served_in_order_and_a_cancel_loses_no_slot() -> None:
    async def scenario() -> None:
        slots = Slots(1)
        order: list[int] = []

        async def queue(number: int) -> None:
            await slots.acquire()
            order.append(number)

        await slots.acquire()
        tasks = [asyncio.create_task(queue(number)) for number in range(4)]
        await asyncio.sleep(1)
        tasks[0].cancel()  # the head
        tasks[2].cancel()
        for _ in range(3):
            slots.release()
            await asyncio.sleep(1)
        assert order == [1, 3]
        assert slots.taken == 0

    virtual.run(scenario())


def test_a_cancel_in_the_instant_of_the_grant_loses_no_slot() -> None:
    async def scenario() -> None:
        slots = Slots(1)
        await slots.acquire()
        head, second = (asyncio.create_task(slots.acquire()) for _ in range(2))
        await asyncio.sleep(1)
        slots.release()
        head.cancel()
        await asyncio.wait([head])
        await second
        assert slots.taken == 1

    virtual.run(scenario())


def test_zero_slots_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing goes"):
        Slots(0)
