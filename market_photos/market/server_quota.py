"""The quota as the server reports it, in `X-RateLimit-Resource-*` headers and quota-420s.

- It decides only when *nothing* may be sent. While it is open, the ring of tokens in quota.py limits the requests, so
  headers that are absent or promise too much change nothing.
- The lowest `Remaining` of a window belongs to the last request that the server counted, so it accounts for every
  answered request. Requests in flight may come off it, so `lowest - in flight` more may be sent.
- After a quota-420 nothing is sent until the `Until` of the answer, or for a growing pause.
- Nothing keeps it closed for longer than a period and a minute.

Times are in loop time, passed in as `now`. Source: the API's documentation, page "Limits".
"""

import math
from dataclasses import dataclass
from random import Random
from typing import Literal

#: Seconds that an HTTP date of whole seconds may be early, and the share of a period that is added for it at most.
#: Being early costs one refusal.
DATE_STEP = 1.0
DATE_STEP_SHARE = 0.001
#: Seconds by which two reports of one window's end may differ: whole seconds and latency.
SAME_WINDOW = 3.0
#: Seconds over one period after which a window must have ended, whatever its `Until` says.
OVERTIME = 60.0
#: Seconds of the longest pause after a quota-420 without a usable `Until`.
LONGEST_PAUSE = 60.0

#: Why nothing may be sent: no requests remain in the window, or the server answered a quota-420.
Reason = Literal["remaining", "refused"]


@dataclass(slots=True, eq=False)
class Token:
    """The right to send one request; spent by `ServerQuota.send`."""

    seq: int = 0
    """1, 2, 3 … in the order of sending; 0: not sent yet."""


class ServerQuota:
    """The server's quota of one store and endpoint.

    `reserve`: how many of the `Remaining` requests are left to the seller's other programs.
    """

    def __init__(self, period: float, *, reserve: int = 0, rng: Random | None = None) -> None:
        self.period = period
        self.reserve = reserve
        self._rng = rng or Random()
        self._last = 0
        self._in_flight: set[int] = set()
        self._window_end = -math.inf
        self._lowest = 0  # meaningful until `_window_end`
        self._refused_until = -math.inf
        self._refusals = 0
        self._last_at_refusal = 0  # `_last` when the latest wave of refusals began

    def is_open(self, now: float) -> bool:
        """Return whether any request may be sent."""
        return now >= self._refused_until and self.allowance(now) > 0

    def allowance(self, now: float) -> float:
        """Return how many more requests the server allows; infinite if it has reported nothing."""
        if now >= self._window_end:
            return math.inf
        return max(0, self._lowest - len(self._in_flight) - self.reserve)

    def until(self, now: float) -> float:
        """Return when a closed quota opens at the latest; answers to requests in flight may open it earlier."""
        return self._refused_until if self.reason(now) == "refused" else self._window_end

    def reason(self, now: float) -> Reason:
        """Return why the quota is closed; of two reasons the one that lasts longer."""
        used_up = self.allowance(now) == 0
        return "remaining" if used_up and self._window_end > self._refused_until else "refused"

    def send(self, token: Token) -> None:
        """Record that the request of the token is sent now."""
        self._last += 1
        token.seq = self._last
        self._in_flight.add(token.seq)

    def observe_headers(self, token: Token, remaining: int | None, until_in: float | None, now: float) -> None:
        """Record the headers of an answer that is no quota-420; `until_in` is in seconds from now."""
        if token.seq > self._last_at_refusal:
            self._refusals = 0
        if remaining is None or not _is_ahead(until_in):
            self.forget_in_flight(token)
            return
        self._in_flight.discard(token.seq)
        self._read(remaining, now + self._believable(until_in), now)

    def forget_in_flight(self, token: Token) -> None:
        """Record that a request brought no headers: the server may have counted it after all reported ones."""
        if token.seq in self._in_flight:
            self._in_flight.discard(token.seq)
            self._lowest -= 1

    def quota_refused(self, token: Token, until_in: float | None, now: float) -> None:
        """Record a quota-420: close for `until_in` seconds, or for a growing pause if that is None or past.

        The first pause is 0.5 to 1 s, each further one twice as long, up to 30 to 60 s and at most a period. Requests
        that were in flight together double it once.
        """
        self._in_flight.discard(token.seq)
        if token.seq > self._last_at_refusal:
            self._refusals += 1
            self._last_at_refusal = self._last
        closed_for = self._believable(until_in) if _is_ahead(until_in) else self._pause()
        self._refused_until = max(self._refused_until, now + closed_for)

    def _read(self, remaining: int, ends: float, now: float) -> None:
        step = min(SAME_WINDOW, self.period / 2)
        if now >= self._window_end or ends > self._window_end + step:
            self._window_end, self._lowest = ends, remaining
        elif ends >= self._window_end - step:
            self._lowest = min(self._lowest, remaining)

    def _pause(self) -> float:
        ceiling = min(LONGEST_PAUSE, self.period, 2.0 ** min(self._refusals - 1, 10))
        return ceiling * self._rng.uniform(0.5, 1)

    def _believable(self, until_in: float | None) -> float:
        return min((until_in or 0) + date_step(self.period), self.period + OVERTIME)


def date_step(period: float) -> float:
    """Return the seconds that are added to a server's `Until`."""
    return min(DATE_STEP, period * DATE_STEP_SHARE)


def _is_ahead(until_in: float | None) -> bool:
    return until_in is not None and until_in > 0  # False for NaN
