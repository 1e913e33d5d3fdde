"""Blocking contexts in threads: what was entered is left, whatever happens to the task."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from market_photos.threads import in_a_thread


class Lease:
    """A context that takes as long to enter as the test says."""

    def __init__(self) -> None:
        self.may_be_taken = threading.Event()
        self.is_held = False
        self.left_by: int | None = None

    @contextmanager
    def taken(self) -> Iterator[str]:
        assert self.may_be_taken.wait(10)
        self.is_held = True
        try:
            yield "lease"
        finally:
            self.is_held, self.left_by = False, threading.get_ident()


async def test_it_is_entered_and_left_outside_the_event_loops_thread() -> None:
    lease = Lease()
    lease.may_be_taken.set()
    async with in_a_thread(lease.taken()) as value:
        assert (value, lease.is_held) == ("lease", True)
    assert not lease.is_held
    assert lease.left_by != threading.get_ident()


async def test_a_task_that_is_cancelled_while_it_enters_leaves_nothing_held() -> None:
    """Ctrl-C in the first second of a run used to leave its lease behind."""
    lease = Lease()
    has_entered = False

    async def work() -> None:
        nonlocal has_entered
        async with in_a_thread(lease.taken()):
            has_entered = True

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    lease.may_be_taken.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (has_entered, lease.is_held) == (False, False)
    assert lease.left_by is not None


async def test_errors_of_the_block_and_of_entering_come_out_as_they_are() -> None:
    lease = Lease()
    lease.may_be_taken.set()
    with pytest.raises(LookupError, match="of the block"):
        async with in_a_thread(lease.taken()):
            raise LookupError("of the block")
    assert lease.left_by is not None

    @contextmanager
    def refused() -> Iterator[None]:
        raise LookupError("on entering")
        yield

    with pytest.raises(LookupError, match="on entering"):
        async with in_a_thread(refused()):
            pytest.fail("it was entered")
