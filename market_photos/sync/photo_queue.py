"""The photos of one store that its workers download next: new ones, and those whose next attempt is due."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from market_photos.archive.catalog import adoption
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import Claim
from market_photos.archive.place import Place
from market_photos.market.limits import Ledger, Recorded
from market_photos.market.retry import OutageDetector, RetryBudget
from market_photos.model import Wanted
from market_photos.sync.refused_photos import RefusedPhotos
from market_photos.sync.stop import Budget, Stop
from market_photos.wakeup import Wakeup

#: Photos that may wait for their next attempt at the same time. Beyond that a worker waits with its photo.
MAX_DEFERRED = 100


@dataclass
class Attempt:
    """A claimed photo and what is known of the attempts at it."""

    claim: Claim
    recorded: Recorded | None = None
    """Its next request, where that is on record already."""
    retries: RetryBudget = field(default_factory=RetryBudget)
    suspect_digests: set[bytes] = field(default_factory=set)
    """SHA-256 of bodies that may be cut off."""
    due: float = 0.0
    """Loop time at which the next attempt is due."""
    reason: str = ""
    """Why the last attempt failed."""

    def take_recorded(self) -> Recorded | None:
        """Return the request on record, once."""
        recorded, self.recorded = self.recorded, None
        return recorded


@dataclass(kw_only=True, eq=False)
class PhotoQueue:
    """Hands out attempts at photos until the listing is over and none is left."""

    catalog: Catalog
    place: Place
    ledger: Ledger
    outage: OutageDetector
    refused: RefusedPhotos
    stop: Stop
    budget: Budget
    only: Wanted | None = None
    """Restricts the queue to the photos of one return."""
    _deferred: list[Attempt] = field(default_factory=list, init=False)
    _claimed: deque[Attempt] = field(default_factory=deque, init=False)
    _is_listed: bool = field(default=False, init=False)
    _changed: Wakeup = field(default_factory=Wakeup, init=False)

    def notify(self) -> None:
        """Wake the workers: the catalogue may have new photos, or the run is to stop."""
        self._changed.notify()

    def listing_ended(self) -> None:
        """Record that the listing brings no more photos."""
        self._is_listed = True
        self.notify()

    async def next(self) -> Attempt | None:
        """Wait for the next photo to request; return None where no more will come, or the run stops.

        A photo whose next attempt is due goes first. But while photos fail, a photo that was never tried goes first:
        it shows whether the server or the photo is at fault.
        """
        while not self.stop.requested:
            await asyncio.sleep(max(0.0, self.outage.paused_until - _now()))
            seen, is_listed = self._changed.count, self._is_listed
            if not self.outage.is_in_doubt and (attempt := self._take_due()):
                return attempt
            if attempt := await self._claim():
                return self._within_budget(attempt)
            if attempt := self._take_due():
                return attempt
            next_due = min((attempt.due for attempt in self._deferred), default=None)
            if is_listed and next_due is None:
                return None
            await self._changed.wait(next_due, seen=seen)
        return None

    def add_claimed(self, claim: Claim) -> None:
        """Add a photo that was claimed and has its request on record."""
        self._claimed.append(Attempt(claim, Recorded(claim.request, _now())))

    def defer(self, attempt: Attempt, pause: float) -> bool:
        """Put the next attempt off by `pause` seconds; return False where the worker must wait with its photo."""
        if not pause or len(self._deferred) >= MAX_DEFERRED:
            return False
        attempt.due = _now() + pause
        self._deferred.append(attempt)
        return True

    def release(self, attempt: Attempt) -> None:
        """End a claim; the photo stays pending."""
        if recorded := attempt.take_recorded():
            self.ledger.withdrawn(recorded.request_id)
        self.catalog.photos.release(attempt.claim)

    def close(self) -> list[Attempt]:
        """Release photos that were claimed and not taken; return the attempts that were put off."""
        while self._claimed:
            self.release(self._claimed.popleft())
        deferred, self._deferred = self._deferred, []
        return deferred

    async def _claim(self) -> Attempt | None:
        """Claim a photo, unless it is on disk already or must wait: what failed before waits for the listing."""
        attempt = self._claimed.popleft() if self._claimed else await self._claim_new()
        while attempt and await self._is_adopted(attempt):
            attempt = await self._claim_new()
        if attempt is None or not attempt.claim.failures or (self._is_listed and not self.outage.retries_in_vain):
            return attempt
        self.release(attempt)
        return None

    async def _claim_new(self) -> Attempt | None:
        oldest = self.outage.suggests_other_end or self.refused.suggest_other_end
        claim = await self.catalog.do(self.catalog.photos.claim, self.only, oldest=oldest)
        return claim and Attempt(claim)

    async def _is_adopted(self, attempt: Attempt) -> bool:
        """Archive a photo that is on disk instead of requesting it."""
        if not adoption.find(self.place, attempt.claim):
            return False
        if not await self.catalog.do(adoption.adopt, self.catalog, self.place, attempt.claim):
            return False
        self.release(attempt)
        return True

    def _within_budget(self, attempt: Attempt) -> Attempt | None:
        if self.budget.take():
            return attempt
        self.release(attempt)
        return None

    def _take_due(self) -> Attempt | None:
        """Return the attempt that has been due for the longest time, None where none is due."""
        attempt = min(self._deferred, key=lambda attempt: attempt.due, default=None)
        if attempt is None or attempt.due > _now():
            return None
        self._deferred.remove(attempt)
        return attempt


def _now() -> float:
    return asyncio.get_running_loop().time()
