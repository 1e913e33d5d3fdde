"""A store's quota for one method, kept strictly and used up: in no period, wherever it starts, do more than `amount`
requests reach the server, and as long as fewer have, none waits.

A quota is a ring of tokens, each an `AsyncLimiter(1, period)` that is filled when its request is *answered* and empty
again one period later. (One `AsyncLimiter(amount, period)` refills while it is being emptied, and lets nearly twice
`amount` through in its worst period: aiolimiter #240, #298.) Why this keeps the promise, for any latency: a request
arrives at the server after its token was taken and before its answer begins; the token can be taken again only a
period after that; so two arrivals of one token are more than a period apart, and there are `amount` tokens.

Tokens come back in the order in which they were filled, so the oldest is the next; a token never used needs no
limiter, and a night of 300 photos makes 300 of them.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import takewhile
from random import Random
from typing import Literal, NamedTuple

from aiolimiter import AsyncLimiter

from market_photos.market.server_quota import Gate, Reason, Token

#: The share by which a token stays away longer than a period: 3.6 s in an hour. The kernel slews a clock by up to
#: 500 ppm (adjtimex(2)), ours one way and the server's the other; and the bytes of a request that we gave up may
#: arrive a moment later.
MARGIN = 0.001


class Wait(NamedTuple):
    """Why the next request waits, and until when at least (loop time); None: until one in flight is answered."""

    reason: Reason | Literal["spent"]
    until: float | None


class _Spent(NamedTuple):
    back: float  # loop time, for people; the limiter decides
    limiter: AsyncLimiter


class Quota:
    """`amount` requests in any `period` seconds; one per store and method, used in one event loop.

    `restored`: ages in seconds of the requests that earlier runs sent, each counted from its answer, or 0 if that is
    not known. What is older than a period has no weight. `reserve`: see `Gate`.
    """

    def __init__(
        self,
        amount: int,
        period: float,
        *,
        reserve: int = 0,
        restored: Iterable[float] = (),
        rng: Random | None = None,
    ) -> None:
        if amount < 1 or period <= 0:
            raise ValueError(f"a quota of {amount} in {period} s lets nothing through")
        self.amount = amount
        self.period = period
        self._lap = period * (1 + MARGIN)
        # more than `amount` where the quota was lowered: the youngest are the last to come back
        self._restored = sorted(min(max(age, 0.0), self._lap) for age in restored)[:amount]
        self._unused = amount - len(self._restored)
        self._spent: deque[_Spent] = deque()
        self._turn = asyncio.Lock()  # its waiters are served in order
        self._nap: asyncio.Timeout | None = None
        self._news = asyncio.Event()
        self._gate = Gate(period, reserve=reserve, rng=rng)

    @asynccontextmanager
    async def token(self) -> AsyncIterator[Token]:
        """Wait, first come first served, until a request may go; leave when its answer begins, or it failed.

        The token's period starts when you leave. One that was not spent with `send` is as good as before.
        """
        token = await self._take()
        try:
            yield token
        finally:
            await self._settle(token)

    def send(self, token: Token) -> None:
        """Spend the token: from here on the request may reach the server."""
        self._gate.send(token)

    def observe_headers(self, token: Token, remaining: int | None, until_in: float | None) -> None:
        """`X-RateLimit-Resource-*` of an answer that is no quota-420; None: not told."""
        self._gate.observe_headers(token, remaining, until_in, _now())
        self._tell()

    def forget_in_flight(self, token: Token) -> None:
        """Its answer was neither heeded nor a refusal, or there was none. Nothing where it was."""
        self._gate.forget_in_flight(token)
        self._tell()

    def quota_refused(self, token: Token, until_in: float | None) -> None:
        """A quota-420: nothing goes for `until_in` seconds, or for a growing pause if that is None or past."""
        self._gate.quota_refused(token, until_in, _now())
        self._tell()

    def _tell(self) -> None:
        """Wakes who waits at the gate: it may be open, or closed for longer."""
        self._news.set()
        self._news = asyncio.Event()

    @property
    def open(self) -> bool:
        """Whether the server lets us send at all."""
        return self._gate.is_open(_now())

    async def opened(self) -> None:
        while not self.open:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._gate.until(_now())):
                    await self._news.wait()

    @property
    def left(self) -> int:
        """How many requests could go now."""
        now = _now()
        if not self._gate.is_open(now):
            return 0
        back = sum(1 for _ in takewhile(lambda spent: spent.back <= now, self._spent))
        return int(min(self._unused + back, self._gate.allowance(now)))

    @property
    def wait(self) -> Wait | None:
        """What the next request has to wait for; None if it could go."""
        now = _now()
        if not self._gate.is_open(now):
            return Wait(self._gate.reason(now), self._gate.until(now))
        if self.left:
            return None
        return Wait("spent", self._spent[0].back if self._spent else None)

    async def _take(self) -> Token:
        async with self._turn:
            await self._restore()
            while not self._took():
                await self._wait_for_one()
            try:
                await self.opened()
            except BaseException:
                self._unused += 1
                raise
        return Token()

    def _took(self) -> bool:
        """Whether there was a token: one that is back, so that its limiter can go, or else one never used."""
        if self._spent and self._spent[0].limiter.has_capacity():
            self._spent.popleft()
        elif self._unused:
            self._unused -= 1
        else:
            return False
        return True

    async def _wait_for_one(self) -> None:
        """Until the oldest token is back, or `_wake`: a cancelled request may hand one in meanwhile."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(None) as self._nap:
                    await self._oldest()
        finally:
            self._nap = None

    async def _oldest(self) -> None:
        if not self._spent:  # all are with requests in flight
            await asyncio.get_running_loop().create_future()
        await self._spent[0].limiter.acquire()
        self._spent.popleft()
        self._unused += 1

    def _wake(self) -> None:
        if self._nap:
            self._nap.reschedule(_now())
            self._nap = None

    async def _settle(self, token: Token) -> None:
        if token.seq:
            await self._fill(age=0)
        else:
            self._unused += 1
        if self._unused or len(self._spent) == 1:
            self._wake()

    async def _restore(self) -> None:
        while self._restored:
            await self._fill(age=self._restored.pop())

    async def _fill(self, age: float) -> None:
        """Put a token down as spent `age` seconds ago. Never waits, as the limiter is new: nothing can cancel it."""
        limiter = AsyncLimiter(1, self._lap)
        await limiter.acquire(1 - age / self._lap)
        self._spent.append(_Spent(_now() + self._lap - age, limiter))


def _now() -> float:
    return asyncio.get_running_loop().time()
