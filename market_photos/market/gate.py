"""What the server says about its quota: `X-RateLimit-Resource-*` headers and quota-420s, as one gate.

What holds:
- The gate decides when *nothing* may go. How much goes while it is open is the ring's affair (quota.py), so a server
  that promises too much, or says nothing, changes nothing.
- A gate that is closed opens at `until` and not before; later news can only move `until` further away.
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
    """The right to one request. It is spent by `Gate.send`."""

    seq: int = 0
    """1, 2, 3 … in the order of sending; 0: not sent."""
    unsure: int = 0
    """When this one was answered: those sent before it that were not, and so may be missing from its `Remaining`."""


class Gate:
    """One per store and method; `reserve`: how many of the `Remaining` requests are left to others."""

    def __init__(self, period: float, *, reserve: int = 0, rng: Random | None = None) -> None:
        self.period = period
        self.reserve = reserve
        self.until = -math.inf
        self.reason: Reason = "remaining"
        self._rng = rng or Random()
        self._last = 0
        self._flying: set[int] = set()
        self._window = -math.inf
        self._allowance = 0  # meaningful until `_window` has ended
        self._refusals = 0
        self._refused_at = 0  # the last sent when the latest wave of refusals began

    def is_open(self, now: float) -> bool:
        return now >= self.until

    def allowance(self, now: float) -> float:
        """How many more may go as far as the server has told us; infinite if it has not."""
        return max(0, self._allowance - self.reserve) if now < self._window else math.inf

    def send(self, token: Token) -> None:
        """The request leaves now."""
        self._last += 1
        token.seq = self._last
        self._flying.add(token.seq)
        self._allowance -= 1
        self._close_if_used_up()

    def answered(self, token: Token) -> None:
        """The answer begins, or the request failed."""
        self._flying.discard(token.seq)
        token.unsure = sum(seq < token.seq for seq in self._flying)

    def heed(self, token: Token, remaining: int | None, until_in: float | None, now: float) -> None:
        """The headers of an answer that was no quota-420; `until_in` is in seconds from now.

        `remaining` was true when the server counted this request. Those sent later come off it, and so do those sent
        earlier that it may have counted later. Of several readings of one window the lowest is kept.
        """
        if token.seq > self._refused_at:
            self._refusals = 0
        if remaining is None or not _is_ahead(until_in):
            return
        ends = now + self._believable(until_in)
        allowance = remaining - (self._last - token.seq) - token.unsure
        step = min(SAME_WINDOW, self.period / 2)
        if now >= self._window or ends > self._window + step:
            self._window, self._allowance = ends, allowance
        elif ends >= self._window - step:
            self._allowance = min(self._allowance, allowance)
        self._close_if_used_up()

    def refuse(self, token: Token, until_in: float | None, now: float) -> None:
        """A quota-420: closed for `until_in` seconds, or for a growing pause where that is of no use.

        Pauses last 0.5–1 s at first, then twice as long each time up to 30–60 s, and no longer than a period.
        Requests that were in flight together are one wave, and double it once.
        """
        if token.seq > self._refused_at:
            self._refusals += 1
            self._refused_at = self._last
        self._close(now + (self._believable(until_in) if _is_ahead(until_in) else self._pause()), "refused")

    def _pause(self) -> float:
        ceiling = min(LONGEST_PAUSE, self.period, 2.0 ** min(self._refusals - 1, 10))
        return ceiling * self._rng.uniform(0.5, 1)

    def _believable(self, until_in: float | None) -> float:
        return min((until_in or 0) + date_step(self.period), self.period + OVERTIME)

    def _close_if_used_up(self) -> None:
        if self._allowance <= self.reserve:
            self._close(self._window, "remaining")  # of no effect once that is past

    def _close(self, until: float, reason: Reason) -> None:
        if until > self.until:
            self.until, self.reason = until, reason


def date_step(period: float) -> float:
    """Seconds that are added to a server's `Until`."""
    return min(DATE_STEP, period * DATE_STEP_SHARE)


def _is_ahead(until_in: float | None) -> bool:
    return until_in is not None and until_in > 0  # not so for NaN
