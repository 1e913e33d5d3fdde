"""What the server says about its quota: `X-RateLimit-Resource-*` headers and quota-420s, as one gate.

What holds:
- The gate decides when *nothing* may go. How much goes while it is open is the ring's affair (quota.py), so a server
  that promises too much, or says nothing, changes nothing.
- Of one window the lowest `Remaining` was read by the last request counted, so it accounts for every request that
  was heard of; those still in flight may come off it. So at least `lowest - in flight` may go, and all of it is used.
- After a quota-420 the gate stays closed as long as the server said, or a growing pause.
- No word of the server keeps it closed for longer than a period and a minute.

Times are seconds of the event loop's clock, passed in as `now`.
"""

import math
from dataclasses import dataclass
from random import Random
from typing import Literal

#: Seconds that an HTTP date, being cut to whole seconds, may be early; and the share of a period that is worth
#: waiting for it. Windows of hours end on whole seconds anyway, and coming early costs no more than one refusal.
DATE_STEP = 1.0
DATE_STEP_SHARE = 0.001
#: Seconds by which two readings of one window's end may differ: the dates' steps and the time on the wire.
SAME_WINDOW = 3.0
#: Seconds over one period after which a window must have ended, whatever its `Until` says.
OVERTIME = 60.0
#: The longest pause, in seconds, after a quota-420 that does not tell its end.
LONGEST_PAUSE = 60.0

#: Why the gate is closed: the headers left nothing, or a quota-420 came.
Reason = Literal["remaining", "refused"]


@dataclass(slots=True, eq=False)
class Token:
    """The right to one request. It is spent by `ServerQuota.send`."""

    seq: int = 0
    """1, 2, 3 … in the order of sending; 0: not sent."""


class ServerQuota:
    """One per store and method; `reserve`: how many of the `Remaining` requests are left to others."""

    def __init__(self, period: float, *, reserve: int = 0, rng: Random | None = None) -> None:
        self.period = period
        self.reserve = reserve
        self._rng = rng or Random()
        self._last = 0
        self._flying: set[int] = set()
        self._window = -math.inf
        self._lowest = 0  # meaningful until `_window` has ended
        self._refused_until = -math.inf
        self._refusals = 0
        self._refused_at = 0  # the last sent when the latest wave of refusals began

    def is_open(self, now: float) -> bool:
        return now >= self._refused_until and self.allowance(now) > 0

    def allowance(self, now: float) -> float:
        """How many more may go as far as the server has told us; infinite if it has not."""
        if now >= self._window:
            return math.inf
        return max(0, self._lowest - len(self._flying) - self.reserve)

    def until(self, now: float) -> float:
        """When a closed gate opens at the latest; answers of requests in flight may open it earlier."""
        return self._refused_until if self.reason(now) == "refused" else self._window

    def reason(self, now: float) -> Reason:
        """Of the two that may keep a gate closed, the one that does so for longer."""
        used_up = self.allowance(now) == 0
        return "remaining" if used_up and self._window > self._refused_until else "refused"

    def send(self, token: Token) -> None:
        """The request leaves now."""
        self._last += 1
        token.seq = self._last
        self._flying.add(token.seq)

    def observe_headers(self, token: Token, remaining: int | None, until_in: float | None, now: float) -> None:
        """The headers of an answer that was no quota-420; `until_in` is in seconds from now."""
        if token.seq > self._refused_at:
            self._refusals = 0
        if remaining is None or not _is_ahead(until_in):
            self.forget_in_flight(token)
            return
        self._flying.discard(token.seq)
        self._read(remaining, now + self._believable(until_in), now)

    def forget_in_flight(self, token: Token) -> None:
        """No answer, or one that says nothing: the server may have counted it after all that was read."""
        if token.seq in self._flying:
            self._flying.discard(token.seq)
            self._lowest -= 1

    def quota_refused(self, token: Token, until_in: float | None, now: float) -> None:
        """A quota-420: closed for `until_in` seconds, or for a growing pause where that is of no use.

        Pauses last 0.5–1 s at first, then twice as long each time up to 30–60 s, and no longer than a period.
        Requests that were in flight together are one wave, and double it once.
        """
        self._flying.discard(token.seq)
        if token.seq > self._refused_at:
            self._refusals += 1
            self._refused_at = self._last
        closed_for = self._believable(until_in) if _is_ahead(until_in) else self._pause()
        self._refused_until = max(self._refused_until, now + closed_for)

    def _read(self, remaining: int, ends: float, now: float) -> None:
        step = min(SAME_WINDOW, self.period / 2)
        if now >= self._window or ends > self._window + step:
            self._window, self._lowest = ends, remaining
        elif ends >= self._window - step:
            self._lowest = min(self._lowest, remaining)

    def _pause(self) -> float:
        ceiling = min(LONGEST_PAUSE, self.period, 2.0 ** min(self._refusals - 1, 10))
        return ceiling * self._rng.uniform(0.5, 1)

    def _believable(self, until_in: float | None) -> float:
        return min((until_in or 0) + date_step(self.period), self.period + OVERTIME)


def date_step(period: float) -> float:
    """Seconds that are added to a server's `Until`."""
    return min(DATE_STEP, period * DATE_STEP_SHARE)


def _is_ahead(until_in: float | None) -> bool:
    return until_in is not None and until_in > 0  # not so for NaN
