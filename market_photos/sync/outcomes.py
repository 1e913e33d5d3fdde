"""What became of the photos of one store's run: recorded in the catalogue, counted and logged."""

import asyncio
import logging
from dataclasses import dataclass, field
from random import Random

from market_photos import failpoints
from market_photos.archive import photo_file
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import Archived, Claim, State
from market_photos.archive.image_type import ImageKind
from market_photos.archive.place import Place
from market_photos.console import redact
from market_photos.errors import ServerUnavailable
from market_photos.market.refusals import Reaction, Refusal, clean
from market_photos.market.retry import OutageDetector
from market_photos.model import Wanted
from market_photos.reporting.report import Counters
from market_photos.sync import storing
from market_photos.sync.photo_queue import Attempt
from market_photos.sync.refused_photos import RefusedPhotos, as_error
from market_photos.sync.stop import Stop

log = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class Outcomes:
    """Records outcomes, and judges by them whether photos, the store or the server are at fault."""

    catalog: Catalog
    place: Place
    title: str
    """Names the store in log lines."""
    counters: Counters
    outage: OutageDetector
    refused: RefusedPhotos
    stop: Stop
    rng: Random
    only: Wanted | None = None
    """See `Photos.claim`."""
    _suspects: list[tuple[Claim, str]] = field(default_factory=list, init=False)

    async def store_photo(
        self, claim: Claim, part: photo_file.Part, kind: ImageKind, content_type: str
    ) -> Claim | None:
        """Archive a photo; return the next one, claimed. Raises ArchiveUnwritable or CatalogUnusable."""
        found = Archived(kind.suffix, 0, b"", redact(content_type)[:200], redact(kind.note))
        archived, following = await self.catalog.do(
            storing.store_photo, self.catalog, self.place, claim, part, found, only=self.only
        )
        failpoints.point("recorded")
        self.counters.downloaded += 1
        self.counters.size += archived.size
        if archived.note:
            log.info("store %s: %s: %s", self.title, claim.key, archived.note)
        return following

    async def endpoint_works(self) -> None:
        """Record that a photo came, or that the API itself said that there is none."""
        self.outage.succeeded()
        await self._fail_refused()

    async def record_refusal(self, attempt: Attempt, refusal: Refusal) -> float | None:
        """Record a failed attempt; return the seconds until the next one, None where the photo's fate is recorded.

        Raises KeyRefused, StoreRefused or ServerUnavailable where the run of the store must end.
        """
        claim = attempt.claim
        attempt.reason = refusal.reason
        if refusal.reaction is Reaction.STOP_RUN and refusal.status == 401:  # the key has been revoked
            raise as_error(refusal, "a photo") from refusal
        if refusal.reaction in (Reaction.STOP_RUN, Reaction.SKIP_STORE, Reaction.LEAVE_STORE) and not claim.failures:
            self.refused.hold(claim, refusal)
            return None
        if refusal.reaction is Reaction.FORGET and (refusal.documented or self.outage.worked):
            await self.endpoint_works()
            await self._record_gone(claim, refusal.reason)
            return None
        attempts_before = attempt.retries.attempts
        pause = attempt.retries.after(refusal, self.rng, self.counters.downloaded, failed_before=claim.failures > 0)
        if refusal.reaction is Reaction.FORGET:  # a 404 that is not the API's own
            self._suspects.append((claim, refusal.reason))
        elif pause is None:
            await self._record_failed(claim, refusal.reason)
        if attempts_before == 0 < attempt.retries.attempts:  # a 420 is no attempt
            await self._judge_first_failure(attempt, refusal, is_recorded=pause is None)
        if pause is not None:
            log.debug("store %s: %s: %s; retrying in %.1f s", self.title, claim.key, refusal, pause)
        return pause

    def internal_error(self, claim: Claim, error: Exception) -> Refusal:
        """Log an unexpected error; return it as the failure of this photo. The run ends with exit code 1."""
        log.error("store %s: %s: internal error", self.title, claim.key, exc_info=error)
        self.counters.internal_errors += 1
        return Refusal(Reaction.GIVE_UP, f"internal error: {type(error).__name__}: {clean(str(error), 200)}")

    async def resolve_refused(self) -> None:
        """Decide, at the end of a run, whether refused photos close the store. Raises as `RefusedPhotos.end`."""
        if self.refused and not self.stop.requested:
            tally = await self.catalog.do(self.catalog.photos.tally)
            self.refused.end(has_photos=self.outage.worked or tally[State.ARCHIVED].photos > 0)
            await self._fail_refused()

    async def resolve_attempts(self, deferred: list[Attempt]) -> None:
        """Record photos that were tried and have no outcome yet.

        They fail, so that the next run begins with photos that were never tried. After a stop a photo that waits for
        its next attempt stays pending.
        """
        for attempt in deferred:
            if not self.stop.requested:
                await self._record_failed(attempt.claim, attempt.reason)
        if self.outage.retries_in_vain:
            await self.catalog.do(self.catalog.photos.shelve)
        await self._resolve_suspects()

    async def _resolve_suspects(self) -> None:
        """Believe a 404 without the API's own error body only if another photo shows that the URLs are right."""
        for claim, reason in self._suspects:
            if self.outage.worked:
                await self._record_gone(claim, reason)
            else:
                await self._record_failed(
                    claim, f"{reason}, but not in the API's own words: wrong base_url, or a proxy?"
                )
        self._suspects.clear()

    async def _judge_first_failure(self, attempt: Attempt, refusal: Refusal, *, is_recorded: bool) -> None:
        """Raise ServerUnavailable, with the photo recorded, where photos fail because the server is down."""
        if attempt.claim.failures:
            self.outage.failed_again()
            return
        try:
            self.outage.failed(refusal, asyncio.get_running_loop().time())
        except ServerUnavailable:
            if not is_recorded:
                await self._record_failed(attempt.claim, refusal.reason)
            raise

    async def _fail_refused(self) -> None:
        for claim, refusal in self.refused.take():
            await self._record_failed(claim, refusal.reason)

    async def _record_gone(self, claim: Claim, reason: str) -> None:
        await self.catalog.do(self.catalog.photos.record_gone, claim, redact(reason))
        self.counters.gone += 1
        log.info("store %s: %s is gone: %s", self.title, claim.key, reason)

    async def _record_failed(self, claim: Claim, reason: str) -> None:
        await self.catalog.do(self.catalog.photos.record_failed, claim, redact(reason))
        self.counters.failed += 1
        log.warning("store %s: %s failed: %s", self.title, claim.key, reason)
