"""When to repeat a refused request, and when the server seems to be down.

A photo that fails may be broken itself, or the server may be down. Other photos tell: the next attempt at a photo
waits while photos that were never tried go first, from both ends of the queue.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from market_photos.errors import ServerUnavailable
from market_photos.market.refusals import Reaction, Refusal

log = logging.getLogger(__name__)

T = TypeVar("T")
#: Attempts at a photo or a page in one run.
ATTEMPTS = 4
#: Seconds: the longest first pause. Each further pause may be twice as long as the one before.
FIRST_PAUSE = 1.0
#: Seconds of a server's Retry-After that are waited for between two attempts.
LONGEST_RETRY_AFTER = 60.0
#: 420s in a row for one photo or page. They are no attempts, but must end.
MAX_YIELDS = 60
#: 420s for one photo while other photos were served in between: the server refuses this photo, not the rate.
MAX_OWN_YIELDS = {Reaction.YIELD_SLOT: 10, Reaction.WAIT_QUOTA: 3}

#: Different photos that fail alike before the first success, after which the run stops to save the quota.
ALIKE = 20
#: Different photos that fail alike before the other end of the queue is tried: one return or one day may be broken.
ALIKE_AT_ONE_END = 10
#: Seconds of the first and the longest pause when the server goes down during a run.
OUTAGE_PAUSES = (15.0, 900.0)
#: Seconds after which an outage ends the run.
LONGEST_OUTAGE = 3600.0


async def retrying(request: Callable[[], Awaitable[T]], what: str, rng: Random) -> T:
    """Return the result of `request`, which is called again after temporary refusals.

    Blocks during the pauses. Raises the Refusal of the last attempt. `what` names the request in log lines.
    """
    budget = RetryBudget()
    while True:
        try:
            return await request()
        except Refusal as refusal:
            pause = budget.after(refusal, rng)
            if pause is None:
                raise
            log.info("%s: %s; retrying in %.1f s", what, refusal, pause)
            await asyncio.sleep(pause)


@dataclass
class RetryBudget:
    """Counts the attempts at one photo or page."""

    attempts: int = 0
    yields: int = 0
    own_yields: int = 0
    downloaded: int = 0
    """Other photos that had been downloaded at the last 420."""

    @property
    def is_last(self) -> bool:
        """Whether no further attempt follows this one."""
        return self.attempts >= ATTEMPTS - 1

    def after(
        self, refusal: Refusal, rng: Random, downloaded: int = 0, *, failed_before: bool = False
    ) -> float | None:
        """Return the seconds to wait before the next attempt, None to give up.

        `downloaded`: other photos that this run has downloaded so far. A 420 is no attempt: the limits themselves
        make the next one wait. All other pauses are exponential with full jitter. `failed_before`: the photo failed
        in an earlier run. It is tried last, with no other photos to compare it with, so each 420 counts as its own.
        """
        if refusal.reaction in MAX_OWN_YIELDS:
            self.yields += 1
            self.own_yields += failed_before or downloaded > self.downloaded
            self.downloaded = downloaded
            is_refused = self.yields >= MAX_YIELDS or self.own_yields >= MAX_OWN_YIELDS[refusal.reaction]
            return None if is_refused else 0.0
        self.attempts += 1
        if refusal.reaction is not Reaction.RETRY or self.attempts >= ATTEMPTS:
            return None
        pause = rng.uniform(0, FIRST_PAUSE * 2 ** (self.attempts - 1))
        return max(pause, min(refusal.wait or 0.0, LONGEST_RETRY_AFTER))


class OutageDetector:
    """Distinguishes an outage of a store's photo endpoint from broken photos. Times are in loop time."""

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
        """Whether to try the oldest photo next: the newest ones fail and may be broken."""
        return self._alike >= ALIKE_AT_ONE_END

    @property
    def retries_in_vain(self) -> bool:
        """Whether so many photos of earlier runs failed again that the others are left to the next run."""
        return self._failed_again >= ALIKE

    def succeeded(self) -> None:
        """Record that the endpoint works: it served a photo, or the API itself said that there is none."""
        self.worked = True
        self._alike = 0
        self._failed_again = 0
        self._pause = OUTAGE_PAUSES[0]

    def failed_again(self) -> None:
        """Record that a photo of an earlier run failed again, which says nothing about the server."""
        self._failed_again += 1

    def failed(self, refusal: Refusal, now: float) -> None:
        """Record that a photo failed at its first attempt; set `paused_until` if the server seems to be down.

        Raises ServerUnavailable if more requests would only waste the quota.
        """
        if refusal.reaction in (Reaction.YIELD_SLOT, Reaction.WAIT_QUOTA):
            return
        # A server that is down answers 502, 503 or a reset in turn.
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
