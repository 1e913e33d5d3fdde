"""The limits of the Market, enforced by the server.

- Parallel requests: at most `parallel` per store. A request counts until the last byte of its answer is sent, even if
  the client has hung up.
- Quota: at most `amount` requests per method, store and window. Windows are fixed and aligned to the clock.
- Answers of 2xx and 4xx spend quota, a 420 does not. For 5xx nothing is documented: `spend_on_5xx` decides.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import NamedTuple

HOUR = 3600.0
LIMIT, REMAINING, UNTIL = (f"X-RateLimit-Resource-{name}" for name in ("Limit", "Remaining", "Until"))


@dataclass(frozen=True)
class FixedWindow:
    """A quota of `amount` requests in each window of `period` seconds."""

    amount: int
    period: float = HOUR

    def number(self, wall: float) -> int:
        """Return the number of the window that contains a moment."""
        return math.floor(wall / self.period)

    def until(self, wall: float) -> str:
        """Return the end of the current window as an HTTP date, rounded up to a second."""
        end = (self.number(wall) + 1) * self.period
        return formatdate(math.ceil(end), usegmt=True)


@dataclass(frozen=True)
class ServerLimits:
    """The documented limits; one quota per kind of request."""

    parallel: int = 4
    photos: FixedWindow = FixedWindow(5_000)
    returns: FixedWindow = FixedWindow(5_000)
    one_return: FixedWindow = FixedWindow(7_000)
    campaigns: FixedWindow = FixedWindow(1_000)
    token: FixedWindow = FixedWindow(100)
    spend_on_5xx: bool = False

    def quota(self, kind: str) -> FixedWindow:
        """Return the quota for a kind of request."""
        quotas = {"photo": self.photos, "returns": self.returns, "return": self.one_return}
        return (quotas | {"campaigns": self.campaigns, "token": self.token})[kind]


class Arrival(NamedTuple):
    """A request as the limits see it; `wall` is the server's clock on arrival."""

    kind: str
    campaign: int | None
    wall: float


@dataclass
class Usage:
    """The requests in flight and the quota spent in the current window of each method and store."""

    limits: ServerLimits
    in_flight: Counter[int | None] = field(default_factory=Counter)
    _spent: dict[tuple[str, int | None], tuple[int, int]] = field(default_factory=dict)

    def enter(self, arrival: Arrival) -> str:
        """Count the request and return an empty string, or return the message of the 420 that refuses it."""
        campaign, quota = arrival.campaign, self.limits.quota(arrival.kind)
        if campaign is not None and self.in_flight[campaign] >= self.limits.parallel:
            return parallel_text(self.limits.parallel, campaign)
        if self.spent(arrival) >= quota.amount:
            return quota_text(quota, arrival)
        self._spend(arrival, +1)
        self.in_flight[campaign] += 1
        return ""

    def leave(self, arrival: Arrival) -> None:
        """Count the request as finished: the last byte of its answer is sent."""
        self.in_flight[arrival.campaign] -= 1

    def settle(self, arrival: Arrival, status: int) -> None:
        """Give back the request's quota if an answer of this status spends none."""
        if status == 420 or (status >= 500 and not self.limits.spend_on_5xx):
            self._spend(arrival, -1)

    def headers(self, arrival: Arrival) -> dict[str, str]:
        """Return the headers about the quota of the request's method and store."""
        quota = self.limits.quota(arrival.kind)
        remaining = max(0, quota.amount - self.spent(arrival))
        return {LIMIT: str(quota.amount), REMAINING: str(remaining), UNTIL: quota.until(arrival.wall)}

    def spent(self, arrival: Arrival) -> int:
        """Return the quota spent in the request's window by its method and store."""
        window, spent = self._spent.get((arrival.kind, arrival.campaign), (0, 0))
        return spent if window == self.limits.quota(arrival.kind).number(arrival.wall) else 0

    def _spend(self, arrival: Arrival, amount: int) -> None:
        window = self.limits.quota(arrival.kind).number(arrival.wall)
        self._spent[arrival.kind, arrival.campaign] = (window, max(0, self.spent(arrival) + amount))


def parallel_text(parallel: int, campaign: int | None) -> str:
    """Return the message of a 420 for too many parallel requests."""
    return f"Hit rate limit of {parallel} parallel requests for campaignId {campaign}"


def quota_text(quota: FixedWindow, arrival: Arrival) -> str:
    """Return the message of a 420 for a spent quota."""
    period = "1 hour" if quota.period == HOUR else f"{quota.period:g} seconds"
    resource = f"resource {arrival.kind} for {arrival.campaign}"
    return f"Hit rate limit of {quota.amount} requests per {period} for {resource}"
