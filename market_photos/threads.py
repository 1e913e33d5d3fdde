"""Blocking work in threads, whose end a cancelled task waits for."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TypeVar

T = TypeVar("T")

#: Threads that enter and leave contexts. They wait for disks and for object storage, which may take seconds; the
#: event loop's own threads are few, and photos need them.
_WAITING = ThreadPoolExecutor(64, thread_name_prefix="waiting")


async def to_the_end(work: Awaitable[T]) -> T:
    """Await work in a thread and return its result. A cancellation takes effect after the work is done.

    A thread cannot be cancelled: it might create the part file after its removal, or write to a descriptor that by
    then belongs to another file.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])  # unlike `shield`, logs no error of work whose caller was cancelled
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
    return task.result()


@asynccontextmanager
async def in_a_thread(context: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Enter a context that blocks, and leave it, in threads. What was entered is left, also after a cancellation."""
    loop = asyncio.get_running_loop()
    entering = loop.run_in_executor(_WAITING, context.__enter__)
    try:
        yield await to_the_end(entering)
    finally:
        if entering.done() and not entering.cancelled() and entering.exception() is None:
            await to_the_end(loop.run_in_executor(_WAITING, context.__exit__, *sys.exc_info()))
