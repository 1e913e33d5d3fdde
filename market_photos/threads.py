"""Blocking work in threads. A cancelled task waits for its end, unless that leaves nothing half done."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
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


async def abandonable(work: Callable[[], T]) -> T:
    """Do blocking work in a thread that nobody waits for: after a cancellation, the process may end at once.

    For work that only looks, as at an object storage that may not answer.
    """
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()

    def do() -> None:
        try:
            result = work()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(result)

    threading.Thread(target=do, name="abandonable", daemon=True).start()
    return await asyncio.wrap_future(done)


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
