"""An event loop on a virtual clock: days of waiting in milliseconds, and a deadlock is an error, not a hang.

    virtual.run(scenario())

Time stands still while a task is ready to run or a thread of the executor works; otherwise it jumps to the next
timer. The loop polls sockets but does not wait for them: a test that talks to a server needs the real clock.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

from market_photos.clock import Moment

#: Seconds that each look at the selector adds. On a clock that stops exactly at a deadline, `AsyncLimiter` would ask
#: again at the same instant for ever, as the missing time is less than a float can add to `now`.
TICK = 1e-7
#: Real seconds to wait for a thread or a socket when no timer is scheduled.
PATIENCE = 5.0

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Deadlock(AssertionError):
    """No timer is scheduled and no task is ready: every task waits for another."""


class _Selector(selectors.DefaultSelector):
    """Return at once; the time to wait passes on the loop's clock only."""

    now = 0.0
    busy = 0  # calls in the executor

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        is_idle = timeout is None or (self.busy > 0 and timeout > 0)
        events = super().select(PATIENCE if is_idle else 0)
        if not events and timeout is None:
            raise Deadlock("every task waits for another")
        self.now += TICK if events or self.busy else TICK + (timeout or 0)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        self._virtual.busy += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._back)
        return future

    def _back(self, _: object) -> None:
        self._virtual.busy -= 1


class VirtualClock:
    """A machine's clocks while it runs a `VirtualLoop`; `jump`: how far its wall clock has been set, in seconds."""

    def __init__(self, wall: float = 1_780_000_000.0, boot: str = "virtual") -> None:
        self.wall = wall
        self.boot = boot
        self.jump = 0.0

    def now(self) -> Moment:
        uptime = asyncio.get_running_loop().time()
        return Moment(self.wall + uptime + self.jump, self.boot, uptime)


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a virtual clock that starts at 0."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario)
