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

HOUR = 3600.0
LIMIT, REMAINING, UNTIL = (f"X-RateLimit-Resource-{name}" for name in ("Limit", "Remaining", "Until"))


@dataclass(frozen=True)
class Quota:
    amount: int
    period: float = HOUR

    def window(self, wall: float) -> int:
        """Return the number of the window that contains a moment."""
        return math.floor(wall / self.period)

    def until(self, wall: float) -> str:
        """Return the end of the current window as an HTTP date, rounded up to a second."""
        end = (self.window(wall) + 1) * self.period
        return formatdate(math.ceil(end), usegmt=True)


@dataclass(frozen=True)
class Limits:
    """The documented limits; one quota per kind of request."""

    parallel: int = 4
    photos: Quota = Quota(5_000)
    returns: Quota = Quota(5_000)
    one_return: Quota = Quota(7_000)
    campaigns: Quota = Quota(1_000)
    token: Quota = Quota(100)
    spend_on_5xx: bool = False

    def quota(self, kind: str) -> Quota:
        quotas = {
            "photo": self.photos,
            "returns": self.returns,
            "return": self.one_return,
            "campaigns": self.campaigns,
            "token": self.token,
        }
        return quotas[kind]


@dataclass(frozen=True)
class Visit:
    """A request as the limits see it."""

    kind: str
    campaign: int | None
    wall: float


@dataclass
class Ledger:
    """The requests in flight and the quota spent in the current window of each method and store."""

    limits: Limits
    in_flight: Counter[int] = field(default_factory=Counter)
    _spent: dict[tuple[str, int | None], tuple[int, int]] = field(default_factory=dict)

    def enter(self, visit: Visit) -> str:
        """Count the request and return an empty string, or return the message of the 420 that refuses it."""
        refusal = self._refusal(visit)
        if not refusal:
            self._book(visit, +1)
            if visit.campaign is not None:
                self.in_flight[visit.campaign] += 1
        return refusal

    def leave(self, visit: Visit) -> None:
        """Count the request as finished: the last byte of its answer is sent."""
        if visit.campaign is not None:
            self.in_flight[visit.campaign] -= 1

    def settle(self, visit: Visit, status: int) -> None:
        """Give back the request's quota if an answer of this status spends none."""
        if status == 420 or (status >= 500 and not self.limits.spend_on_5xx):
            self._book(visit, -1)

    def headers(self, visit: Visit) -> dict[str, str]:
        """Return the headers about the quota of the request's method and store."""
        quota = self.limits.quota(visit.kind)
        remaining = max(0, quota.amount - self.spent(visit))
        return {LIMIT: str(quota.amount), REMAINING: str(remaining), UNTIL: quota.until(visit.wall)}

    def spent(self, visit: Visit) -> int:
        """Return the quota spent in the request's window by its method and store."""
        window, spent = self._spent.get((visit.kind, visit.campaign), (0, 0))
        return spent if window == self.limits.quota(visit.kind).window(visit.wall) else 0

    def _book(self, visit: Visit, amount: int) -> None:
        window = self.limits.quota(visit.kind).window(visit.wall)
        self._spent[visit.kind, visit.campaign] = (window, max(0, self.spent(visit) + amount))

    def _refusal(self, visit: Visit) -> str:
        if visit.campaign is not None and self.in_flight[visit.campaign] >= self.limits.parallel:
            return parallel_text(self.limits.parallel, visit.campaign)
        quota = self.limits.quota(visit.kind)
        return quota_text(quota, visit) if self.spent(visit) >= quota.amount else ""


def parallel_text(parallel: int, campaign: int | None) -> str:
    return f"Hit rate limit of {parallel} parallel requests for campaignId {campaign}"


def quota_text(quota: Quota, visit: Visit) -> str:
    period = "1 hour" if quota.period == HOUR else f"{quota.period:g} seconds"
    return f"Hit rate limit of {quota.amount} requests per {period} for resource {visit.kind} for {visit.campaign}"
