"""The Market's own limits, kept by the server whatever its client believes.

- Parallel requests: of one store, at most `parallel` at once. A request counts until its answer's last byte is sent,
  also when the client has hung up meanwhile.
- Quota: of one method and store, at most `amount` in a window. Windows are fixed and aligned to the clock.
- What is answered with 2xx or 4xx spends quota; a 420 does not. Of 5xx nothing is documented: `spend_on_5xx` decides.
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
        return math.floor(wall / self.period)

    def until(self, wall: float) -> str:
        """The end of this window as a date, rounded up to its whole second."""
        end = (self.window(wall) + 1) * self.period
        return formatdate(math.ceil(end), usegmt=True)


@dataclass(frozen=True)
class Limits:
    """The documented figures. A quota is named after the kind of request it is for."""

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
    """One request that was let in, or would have been."""

    kind: str
    campaign: int | None
    wall: float


@dataclass
class Ledger:
    """What is in flight and what is spent. Of each method and store it remembers the current window only."""

    limits: Limits
    in_flight: Counter[int] = field(default_factory=Counter)
    _spent: dict[tuple[str, int | None], tuple[int, int]] = field(default_factory=dict)

    def enter(self, visit: Visit) -> str:
        """Let the request in and reckon it as spent; or the text of the 420 that refuses it."""
        refusal = self._refusal(visit)
        if not refusal:
            self._book(visit, +1)
            if visit.campaign is not None:
                self.in_flight[visit.campaign] += 1
        return refusal

    def leave(self, visit: Visit) -> None:
        """The answer's last byte is sent."""
        if visit.campaign is not None:
            self.in_flight[visit.campaign] -= 1

    def settle(self, visit: Visit, status: int) -> None:
        """The answer's status is known: give back what it does not spend."""
        if status == 420 or (status >= 500 and not self.limits.spend_on_5xx):
            self._book(visit, -1)

    def headers(self, visit: Visit) -> dict[str, str]:
        quota = self.limits.quota(visit.kind)
        remaining = max(0, quota.amount - self.spent(visit))
        return {LIMIT: str(quota.amount), REMAINING: str(remaining), UNTIL: quota.until(visit.wall)}

    def spent(self, visit: Visit) -> int:
        """What this visit's window has seen of its method and store."""
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
