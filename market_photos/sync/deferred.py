"""Photos whose next attempt is due later."""

from dataclasses import dataclass, field

from market_photos.archive.catalog.photos import Claim
from market_photos.market.retry import RetryBudget

#: Photos that may wait for their next attempt at the same time. Beyond that a worker waits with its photo.
MAX_DEFERRED = 100


@dataclass
class Attempt:
    """A claimed photo and what is known of the attempts at it."""

    claim: Claim
    retries: RetryBudget = field(default_factory=RetryBudget)
    doubted: set[bytes] = field(default_factory=set)
    """SHA-256 of bodies that may be cut off."""
    due: float = 0.0
    """Loop time at which the next attempt is due."""
    reason: str = ""
    """Why the last attempt failed."""


class Deferred:
    """The photos that wait for their next attempt."""

    def __init__(self) -> None:
        self._waiting: list[Attempt] = []

    @property
    def is_full(self) -> bool:
        """Whether no further attempt should be added."""
        return len(self._waiting) >= MAX_DEFERRED

    def add(self, attempt: Attempt) -> None:
        """Put an attempt off until it is due."""
        self._waiting.append(attempt)

    @property
    def next_due(self) -> float | None:
        """Loop time of the next attempt; None if none waits."""
        return min((attempt.due for attempt in self._waiting), default=None)

    def take(self, now: float) -> Attempt | None:
        """Return and remove the attempt that has been due for the longest time, None if none is due."""
        due = min(self._waiting, key=lambda attempt: attempt.due, default=None)
        if due is None or due.due > now:
            return None
        self._waiting.remove(due)
        return due

    def drain(self) -> list[Attempt]:
        """Return and remove all attempts."""
        waiting, self._waiting = self._waiting, []
        return waiting
