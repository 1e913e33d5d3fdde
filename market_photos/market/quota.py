"""A store's quota for one endpoint: at most `amount` requests reach the server in any `period` seconds.

A quota is a ring of tokens. Each is an `AsyncLimiter(1, period)`, which is filled when its request is *answered*
and empty again one period later. A single `AsyncLimiter(amount, period)` refills while it is emptied and lets
nearly twice `amount` through in its worst period (aiolimiter #240, #298).

The ring keeps the promise for any latency: a request arrives at the server after its token was taken and before its
answer begins, and the token can be taken again only a period after that. So two arrivals of one token are more than a
period apart, and there are `amount` tokens. While fewer requests have been sent, none waits.

Tokens return in the order in which they were filled. An unused token has no limiter.

Source of the hourly quotas: the API's documentation, page "Limits".
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import islice, takewhile
from random import Random
from typing import Literal, NamedTuple, Protocol

from aiolimiter import AsyncLimiter

from market_photos.clock import Moment, age
from market_photos.market.server_quota import Reason, ServerQuota, Token
from market_photos.wakeup import Wakeup

#: The share by which a token is held longer than a period: 3.6 s in an hour. The kernel slews a clock by up to 500
#: ppm (adjtimex(2)), ours one way and the server's the other, and a cancelled request may still arrive a moment
#: later.
MARGIN = 0.001
#: Seconds after its sending by which a request has arrived at the server, or never will. The time-outs of resolving,
#: connecting and the TLS handshake are well below; a larger value costs a token or two after a restart.
TRANSIT = 600.0


def held_for(period: float) -> float:
    """Return the seconds from an answer until its token is back."""
    return period * (1 + MARGIN)


class SentRequest(Protocol):
    """A request of an earlier run. `answered` is None if no answer or failure is on record."""

    @property
    def sent(self) -> Moment:
        """When it was sent."""
        ...

    @property
    def answered(self) -> Moment | None:
        """When it was answered, or failed."""
        ...


def token_ages(requests: Iterable[SentRequest], now: Moment, period: float) -> list[float]:
    """Return the ages in seconds of the tokens that earlier requests still hold, for `Quota(restored=...)`.

    A token's age counts from the answer. It is 0 for a request without an answer, until it must have arrived over a
    period ago; keep requests for `period + TRANSIT`. It is also 0 if no clock tells the age, see `clock.age`.
    """
    answered, unanswered = [], []
    for request in requests:
        if request.answered:
            answered.append(age(request.answered, now))
        elif age(request.sent, now) < period + TRANSIT:
            unanswered.append(0.0)
    return answered + unanswered


class Wait(NamedTuple):
    """Why the next request waits, and until when at least (loop time); None: until a request is answered."""

    reason: Reason | Literal["spent"]
    until: float | None


class _SpentToken(NamedTuple):
    returns_at: float
    """Loop time. The limiter decides; this is for waiting and for display."""
    limiter: AsyncLimiter


class Quota:
    """`amount` requests in any `period` seconds, for one store and endpoint. Belongs to one event loop."""

    def __init__(
        self,
        amount: int,
        period: float,
        *,
        reserve: int = 0,
        restored: Iterable[float] = (),
        rng: Random | None = None,
    ) -> None:
        """`restored`: see `token_ages`; ages above a period have no effect. `reserve`: see `ServerQuota`."""
        if amount < 1 or period <= 0:
            raise ValueError(f"a quota of {amount} in {period} s lets nothing through")
        self.amount = amount
        self.period = period
        self.held_for = held_for(period)
        """Seconds from an answer until its token is back."""
        ages = sorted(min(max(age, 0.0), self.held_for) for age in restored)
        self._restored = [_now() - age for age in ages[:amount]]
        """When the tokens of earlier runs were spent: the youngest `amount` of them, as it may have been lowered."""
        self._unused = amount - len(self._restored)
        self._spent: deque[_SpentToken] = deque()
        self._queue = asyncio.Lock()  # its waiters are served in order
        self._changed = Wakeup()
        self._server = ServerQuota(period, reserve=reserve, rng=rng)

    @asynccontextmanager
    async def token(self) -> AsyncIterator[Token]:
        """Wait, first come first served, for a token. Leave the block when the answer begins or the request fails.

        The token's period starts at the end of the block. A token that was not passed to `send` returns unused.
        """
        token = await self._take()
        try:
            yield token
        finally:
            await self._put_back(token)

    def send(self, token: Token) -> None:
        """Spend the token: from now on the request may reach the server."""
        self._server.send(token)

    def observe_headers(self, token: Token, remaining: int | None, until_in: float | None) -> None:
        """Record the rate-limit headers of an answer that is no quota-420; None: not present."""
        self._server.observe_headers(token, remaining, until_in, _now())
        self._changed.notify()

    def forget_in_flight(self, token: Token) -> None:
        """Record that a request ended without `observe_headers` or `quota_refused`; no effect after either."""
        self._server.forget_in_flight(token)
        self._changed.notify()

    def quota_refused(self, token: Token, until_in: float | None) -> None:
        """Record a quota-420: send nothing for `until_in` seconds, or for a growing pause if that is None or past."""
        self._server.quota_refused(token, until_in, _now())
        self._changed.notify()

    @property
    def is_open(self) -> bool:
        """Whether the server allows any request now."""
        return self._server.is_open(_now())

    async def wait_until_open(self) -> None:
        """Wait until the server allows a request."""
        while not self.is_open:
            await self._changed.wait(self._server.until(_now()))

    @property
    def left(self) -> int:
        """Requests that could be sent now."""
        now = _now()
        if not self._server.is_open(now):
            return 0
        returned = sum(1 for _ in takewhile(lambda spent: spent.returns_at <= now, self._spent))
        return int(min(self._unused + returned, self._server.allowance(now)))

    @property
    def returns(self) -> list[float]:
        """Seconds until each token that is not free is back, sorted; one in flight as if it were answered now."""
        now = _now()
        waits = [spent.returns_at - now for spent in self._spent]
        waits += [spent_at + self.held_for - now for spent_at in self._restored]
        in_flight = self.amount - self._unused - len(waits)
        return sorted(wait for wait in waits if wait > 0) + [self.held_for] * in_flight

    def last_answers(self, most: int) -> list[float]:
        """Return when the last requests of this run and of those before it were answered, in loop time, sorted."""
        recent = islice(reversed(self._spent), most)
        return sorted(spent.returns_at - self.held_for for spent in recent)

    @property
    def wait(self) -> Wait | None:
        """What the next request has to wait for; None if it can be sent now."""
        now = _now()
        if not self._server.is_open(now):
            return Wait(self._server.reason(now), self._server.until(now))
        return None if self.left else Wait("spent", self._spent[0].returns_at if self._spent else None)

    async def _take(self) -> Token:
        async with self._queue:
            while self._restored:
                await self._hold_token(self._restored.pop())
            while not self._take_token():
                await self._changed.wait(self._spent[0].returns_at if self._spent else None)
            try:
                await self.wait_until_open()
            except BaseException:
                self._unused += 1
                raise
        return Token()

    def _take_token(self) -> bool:
        """Take the oldest token if its period is over, else an unused one; return whether there was one."""
        if self._spent and self._spent[0].limiter.has_capacity():
            self._spent.popleft()
        elif self._unused:
            self._unused -= 1
        else:
            return False
        return True

    async def _put_back(self, token: Token) -> None:
        if token.seq:
            await self._hold_token(_now())
        else:
            self._unused += 1
        self._changed.notify()

    async def _hold_token(self, spent_at: float) -> None:
        """Append a token that was spent at that loop time. Never blocks, as its limiter is new."""
        limiter = AsyncLimiter(1, self.held_for)
        await limiter.acquire(max(0.0, 1 - (_now() - spent_at) / self.held_for))
        self._spent.append(_SpentToken(spent_at + self.held_for, limiter))


def _now() -> float:
    return asyncio.get_running_loop().time()
