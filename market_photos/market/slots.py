"""How many requests of a store are in flight, over all its methods.

The server refuses the fifth parallel request of a store (420), and the seller's other integrations count too. A
slot is taken before a request leaves and given back when the last byte of its answer has been read. Where we hung up
first, the server works on for a while (it gives up after 10 s) and counts the request: such a slot cools down first.
"""

import asyncio
from random import Random

#: Seconds without a parallel-420 after which a slot that was given up is taken back.
CALM = 60.0
#: Seconds of the pause after a parallel-420: at least, at most.
PAUSE = (1.0, 5.0)


class Slots:
    """At most `most` at once, first come, first served; one per store. `cool_down` is in seconds."""

    def __init__(self, most: int, *, cool_down: float = 10.0, rng: Random | None = None) -> None:
        if most < 1:
            raise ValueError("without a slot nothing goes")
        self.most = most
        self.cool_down = cool_down
        self.allowed = most
        self.taken = 0
        self._rng = rng or Random()
        self._paused_until = 0.0
        self._calm_at = 0.0  # when the next slot is taken back, while `allowed` is below `most`
        self._turn = asyncio.Lock()  # its waiters are served in order
        self._news = asyncio.Event()

    async def acquire(self) -> None:
        async with self._turn:
            while not self._may_go(now := _now()):
                await self._nap(self._until_change(now))
            self.taken += 1

    def release(self, *, late: bool = False) -> None:
        """Give a slot back; `late`: the server may still be busy with the request, so only after the cool-down."""
        if late:
            asyncio.get_running_loop().call_later(self.cool_down, self._free)
        else:
            self._free()

    def hold(self, count: int, seconds: float) -> None:
        """Keep `count` slots (or all) taken for so long: the server may still serve a run that was killed."""
        for _ in range(min(count, self.most)):
            self.taken += 1
            asyncio.get_running_loop().call_later(seconds, self._free)

    def parallel_limit_hit(self) -> None:
        """A parallel-420: somebody else uses the slots. Give one up, keep the last; nothing new goes for 1–5 s.

        Refusals that come during the pause belong to the same crowd and change nothing.
        """
        now = _now()
        self._take_back(now)
        self._calm_at = now + CALM
        if now >= self._paused_until:
            self.allowed = max(1, self.allowed - 1)
            self._paused_until = now + self._rng.uniform(*PAUSE)

    @property
    def paused_until(self) -> float | None:
        """The end of the pause in loop time; None if there is none."""
        return self._paused_until if _now() < self._paused_until else None

    def _may_go(self, now: float) -> bool:
        self._take_back(now)
        return now >= self._paused_until and self.taken < self.allowed

    def _until_change(self, now: float) -> float | None:
        """Seconds until waiting alone may help; None: only a release can."""
        if now < self._paused_until:
            return self._paused_until - now
        return self._calm_at - now if self.allowed < self.most else None

    async def _nap(self, seconds: float | None) -> None:
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass

    def _take_back(self, now: float) -> None:
        while self.allowed < self.most and now >= self._calm_at:
            self.allowed += 1
            self._calm_at += CALM

    def _free(self) -> None:
        self.taken -= 1
        self._news.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
