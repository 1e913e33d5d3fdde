"""The requests of a store that are in flight, over all its endpoints.

The server refuses the fifth parallel request of a store with a 420, and requests of the seller's other integrations
count too (the API's documentation, page "Limits"). A slot is taken before a request is sent and released when the
last byte of its answer has been read. If the client hangs up first, the server still counts the request until it
gives up after 10 s, so that slot is released after a cool-down.
"""

import asyncio
from random import Random

from market_photos.wakeup import Wakeup

#: Seconds without a parallel-420 after which a slot that was given up is used again.
CALM = 60.0
#: Shortest and longest pause after a parallel-420, in seconds.
PAUSE = (1.0, 5.0)


class Slots:
    """At most `most` requests at once, first come, first served; one per store. `cool_down` is in seconds."""

    def __init__(self, most: int, *, cool_down: float = 10.0, rng: Random | None = None) -> None:
        if most < 1:
            raise ValueError("without a slot nothing goes")
        self.most = most
        self.cool_down = cool_down
        self.allowed = most
        self.taken = 0
        self._rng = rng or Random()
        self._paused_until = 0.0
        self._next_regain = 0.0  # when `allowed` grows again, while it is below `most`
        self._queue = asyncio.Lock()  # its waiters are served in order
        self._released = Wakeup()

    async def acquire(self) -> None:
        """Wait for a slot and take it."""
        async with self._queue:
            while not self._is_free(now := _now()):
                await self._released.wait(self._next_change(now))
            self.taken += 1

    def release(self, *, late: bool = False) -> None:
        """Release a slot; `late`: only after the cool-down, as the server may still serve the request."""
        if late:
            asyncio.get_running_loop().call_later(self.cool_down, self._free)
        else:
            self._free()

    def hold(self, count: int, seconds: float) -> None:
        """Take `count` slots (or all) for some seconds: the server may still serve requests of a killed run."""
        for _ in range(min(count, self.most)):
            self.taken += 1
            asyncio.get_running_loop().call_later(seconds, self._free)

    def parallel_limit_hit(self) -> None:
        """Record a parallel-420: use one slot less, but at least one, and send nothing new for 1 to 5 s.

        Refusals during the pause were sent before it and change nothing.
        """
        now = _now()
        self._regain(now)
        self._next_regain = now + CALM
        if now >= self._paused_until:
            self.allowed = max(1, self.allowed - 1)
            self._paused_until = now + self._rng.uniform(*PAUSE)

    @property
    def paused_until(self) -> float | None:
        """The end of the pause in loop time; None if there is none."""
        return self._paused_until if _now() < self._paused_until else None

    def _is_free(self, now: float) -> bool:
        self._regain(now)
        return now >= self._paused_until and self.taken < self.allowed

    def _next_change(self, now: float) -> float | None:
        """Return the loop time at which a slot may become free without a release; None if never."""
        if now < self._paused_until:
            return self._paused_until
        return self._next_regain if self.allowed < self.most else None

    def _regain(self, now: float) -> None:
        while self.allowed < self.most and now >= self._next_regain:
            self.allowed += 1
            self._next_regain += CALM

    def _free(self) -> None:
        self.taken -= 1
        self._released.notify()


def _now() -> float:
    return asyncio.get_running_loop().time()
