"""What to do after a refusal. Pure: time and randomness are passed in.

A photo that fails is evidence against the photo or against the server. The two are told apart by other photos: the
next attempt at a photo waits while photos that were never tried go first, from both ends of the queue.
"""

from dataclasses import dataclass, field
from random import Random

from market_photos.archive.catalog.photos import Claim
from market_photos.errors import ServerUnavailable
from market_photos.market.refusals import Reaction, Refusal

#: Attempts at a photo or a page in one run.
ATTEMPTS = 4
#: Seconds: the first pause is at most this long, each further one at most twice as long as the one before.
FIRST_PAUSE = 1.0
#: Seconds of a server's own Retry-After that we are ready to sit out between two attempts.
LONGEST_WAIT = 60.0
#: 420s in a row for one photo or page, each with its pause or wait; they are no attempts, but end some time too.
MAX_YIELDS = 60
#: 420s for one photo between which other photos came: the limits let those pass, so it is this photo that is refused.
MAX_OWN_YIELDS = {Reaction.YIELD_SLOT: 10, Reaction.WAIT_QUOTA: 3}

#: Different photos that fail alike before the first success, after which the run stops: it would burn the quota.
ALIKE = 20
#: Different photos that fail alike before the other end of the queue is tried: one return or one day may be broken.
ALIKE_AT_ONE_END = 10
#: Photos that may wait for their next attempt at the same time. Beyond that a worker waits with its photo.
MAX_DEFERRED = 100
#: Seconds of the first pause when the server goes down in mid-run, and of the longest.
OUTAGE_PAUSES = (15.0, 900.0)
#: Seconds after which an outage ends the run.
LONGEST_OUTAGE = 3600.0


@dataclass
class RetryBudget:
    """How often one photo or page has been asked for."""

    attempts: int = 0
    yields: int = 0
    own_yields: int = 0
    came: int = 0
    """Other photos that had come at the last 420."""

    @property
    def is_last(self) -> bool:
        """Whether no further attempt follows this one."""
        return self.attempts >= ATTEMPTS - 1

    def after(self, refusal: Refusal, rng: Random, came: int = 0) -> float | None:
        """Seconds to wait before asking again; None: give up. `came`: how many other photos came in this run so far.

        After a 420 the limits themselves make us wait, and it is no attempt. Pauses are exponential with full jitter.
        """
        if refusal.reaction in MAX_OWN_YIELDS:
            self.yields += 1
            self.own_yields += came > self.came
            self.came = came
            is_refused = self.yields >= MAX_YIELDS or self.own_yields >= MAX_OWN_YIELDS[refusal.reaction]
            return None if is_refused else 0.0
        self.attempts += 1
        if refusal.reaction is not Reaction.RETRY or self.attempts >= ATTEMPTS:
            return None
        pause = rng.uniform(0, FIRST_PAUSE * 2 ** (self.attempts - 1))
        return max(pause, min(refusal.wait or 0.0, LONGEST_WAIT))


@dataclass
class Attempt:
    """A photo and what is known of the attempts at it."""

    claim: Claim
    retries: RetryBudget = field(default_factory=RetryBudget)
    doubted: set[bytes] = field(default_factory=set)
    """SHA-256 of bodies that may be cut off."""
    due: float = 0.0
    """When the next attempt is due, seconds of the event loop's clock."""
    reason: str = ""
    """Why the last attempt failed."""


class Deferred:
    """Photos that wait for their next attempt."""

    def __init__(self) -> None:
        self._waiting: list[Attempt] = []

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= MAX_DEFERRED

    def add(self, attempt: Attempt) -> None:
        self._waiting.append(attempt)

    @property
    def next_due(self) -> float | None:
        return min((attempt.due for attempt in self._waiting), default=None)

    def take(self, now: float) -> Attempt | None:
        """Return the attempt that has been due for the longest time, None where none is due."""
        due = min(self._waiting, key=lambda attempt: attempt.due, default=None)
        if due is None or due.due > now:
            return None
        self._waiting.remove(due)
        return due

    def drain(self) -> list[Attempt]:
        """Return all that wait, and forget them."""
        waiting, self._waiting = self._waiting, []
        return waiting


class OutageDetector:
    """Tells an outage of a store's photo method from photos that are broken themselves.

    Times are seconds of the event loop's clock, passed in.
    """

    def __init__(self) -> None:
        self.worked = False
        self._alike = 0
        self._kind: Reaction | str | int | None = None
        self._down_since = 0.0
        self._pause = OUTAGE_PAUSES[0]
        self._failed_again = 0
        self.paused_until = 0.0

    @property
    def is_in_doubt(self) -> bool:
        """Whether the last photo that was tried for the first time failed."""
        return self._alike > 0

    @property
    def suggests_other_end(self) -> bool:
        """Whether to try the oldest photo next: the newest ones fail, which may be their own fault."""
        return self._alike >= ALIKE_AT_ONE_END

    @property
    def retries_in_vain(self) -> bool:
        """Whether photos that failed in earlier runs fail again, so many that the others wait for the next run."""
        return self._failed_again >= ALIKE

    def succeeded(self) -> None:
        """The server does its work: a photo came, or the API itself said that there is none."""
        self.worked = True
        self._alike = 0
        self._failed_again = 0
        self._pause = OUTAGE_PAUSES[0]

    def failed_again(self) -> None:
        """A photo that failed in an earlier run failed: that says nothing about the server."""
        self._failed_again += 1

    def failed(self, refusal: Refusal, now: float) -> None:
        """Count a photo that failed at its first attempt, and ask for a pause where the server seems to be down.

        Raises ServerUnavailable where going on would only burn the quota.
        """
        if refusal.reaction in (Reaction.YIELD_SLOT, Reaction.WAIT_QUOTA):
            return
        # A server that is down says so in many ways: 502 now, 503 then, a reset in between.
        kind = refusal.reaction if refusal.reaction is Reaction.RETRY else refusal.status or refusal.reason
        self._alike = self._alike + 1 if kind == self._kind else 1
        self._kind = kind
        if self._alike == 1:
            self._down_since = now
        if self._alike >= ALIKE:
            self._outage(refusal, now)

    def _outage(self, refusal: Refusal, now: float) -> None:
        if not self.worked or now - self._down_since > LONGEST_OUTAGE:
            raise ServerUnavailable(
                f"{self._alike} photo requests in a row failed alike: {refusal.reason}.",
                "Nothing is lost: run the same command again when the server (or the network on the way) works.",
            )
        if now >= self.paused_until:
            self.paused_until = now + self._pause
            self._pause = min(self._pause * 2, OUTAGE_PAUSES[1])
