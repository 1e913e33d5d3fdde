"""One photo after another: claim, fetch, store, record."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from market_photos import failpoints
from market_photos.archive import image_type, layout, photo_file
from market_photos.archive.catalog.photos import Claim
from market_photos.errors import MarketPhotosError, ServerUnavailable
from market_photos.market.client import AdmissionFor, Photo
from market_photos.market.limits import Admission
from market_photos.market.refusals import Reaction, Refusal, clean
from market_photos.market.requests import photo_request
from market_photos.market.retry import ALIKE_AT_ONE_END
from market_photos.sync.deferred import Attempt
from market_photos.sync.refused_photos import as_error
from market_photos.sync.store import Store

log = logging.getLogger(__name__)


class Worker:
    """Brings photos until there are no more, the budget is spent or the run is stopped."""

    def __init__(self, store: Store, only: tuple[int, int] | None = None) -> None:
        """`only`: order and return, where just that return's photos are wanted."""
        self._store = store
        self._only = only
        self._admission: Admission | None = None
        self._is_storing = False
        self._following: Claim | None = None
        """The next photo, where the last one's outcome brought it."""

    @property
    def is_busy(self) -> bool:
        """Whether a photo is on its way, so that it is worth waiting for."""
        return self._is_storing or (self._admission is not None and self._admission.in_flight)

    async def run(self) -> None:
        try:
            while (attempt := await self._next()) is not None:
                failpoints.point("claimed")
                try:
                    await self._bring(attempt)
                except BaseException:
                    self._store.release(attempt.claim)
                    raise
        finally:
            self._release_following()

    def _release_following(self) -> None:
        if self._following:
            self._store.release(self._following)
            self._following = None

    async def _next(self) -> Attempt | None:
        """Return the next photo to try; wait for the listing where it may still bring one.

        A photo whose next attempt is due goes first, but while photos fail, one that was never tried says more.
        """
        store = self._store
        while not store.stop.requested:
            await self._sit_out_an_outage()
            news, is_listed = store.news, store.is_listed
            if not store.outage.is_in_doubt and (attempt := store.deferred.take(_now())):
                self._release_following()
                return attempt
            if (claim := await self._claim()) is not None:
                return self._within_budget(claim)
            if attempt := store.deferred.take(_now()):
                return attempt
            if is_listed and store.deferred.next_due is None:
                return None
            await self._wait(news)
        return None

    async def _claim(self) -> Claim | None:
        """The next photo of the queue. What failed in an earlier run waits for the end of the listing."""
        store, photos = self._store, self._store.catalog.photos
        claim, self._following = self._following, None
        oldest = store.outage.suggests_other_end or len(store.refused) >= ALIKE_AT_ONE_END
        claim = claim or await store.catalog.do(photos.claim, self._only, oldest=oldest)
        while claim is not None and await store.adopt(claim):
            claim = await store.catalog.do(photos.claim, self._only, oldest=oldest)
        if claim is None or not claim.failures or (store.is_listed and not store.outage.retries_in_vain):
            return claim
        store.release(claim)
        return None

    async def _wait(self, news: asyncio.Event) -> None:
        """Until the listing brings something, or the next attempt at a photo is due."""
        try:
            async with asyncio.timeout_at(self._store.deferred.next_due):
                await news.wait()
        except TimeoutError:
            pass

    def _within_budget(self, claim: Claim) -> Attempt | None:
        if self._store.budget.take():
            return Attempt(claim)
        self._store.release(claim)
        return None

    async def _sit_out_an_outage(self) -> None:
        pause = self._store.outage.paused_until - _now()
        if pause > 0:
            await asyncio.sleep(pause)

    async def _bring(self, attempt: Attempt) -> None:
        """Raises what ends the work on the store; everything else becomes the photo's state, or is tried later."""
        store, claim = self._store, attempt.claim
        while True:
            try:
                await self._fetch(claim, attempt.doubted, is_last=attempt.retries.is_last)
            except Refusal as refusal:
                pause = await self._learnt(attempt, refusal)
            except MarketPhotosError:
                raise
            except Exception as error:
                pause = await self._learnt(attempt, self._internal_error(claim, error))
            else:
                return await store.succeeded()
            if pause is None or self._is_deferred(attempt, pause):
                return None
            await asyncio.sleep(pause)

    def _is_deferred(self, attempt: Attempt, pause: float) -> bool:
        """Put the next attempt off, if it is due later and there is room; the worker goes on with another photo."""
        deferred = self._store.deferred
        if not pause or deferred.is_full:
            return False
        attempt.due = _now() + pause
        deferred.add(attempt)
        return True

    def _internal_error(self, claim: Claim, error: Exception) -> Refusal:
        """Return what nobody foresaw as the failure of this photo: the others still come. The run ends with 1."""
        log.error("store %s: %s: internal error", self._store.title, claim.key, exc_info=error)
        self._store.counters.internal_errors += 1
        return Refusal(Reaction.GIVE_UP, f"internal error: {type(error).__name__}: {clean(str(error), 200)}")

    async def _learnt(self, attempt: Attempt, refusal: Refusal) -> float | None:
        """As `_refused`, undisturbed by a stop."""
        attempt.reason = refusal.reason
        with self._storing():
            pause = await self._refused(attempt, refusal)
        if pause is not None:
            log.debug("store %s: %s: %s; again in %.1f s", self._store.title, attempt.claim.key, refusal, pause)
        return pause

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """What was brought, or learnt, is recorded before a stop ends the worker."""
        self._is_storing = True
        try:
            yield
        finally:
            self._is_storing = False

    async def _refused(self, attempt: Attempt, refusal: Refusal) -> float | None:
        """Seconds until the next attempt; None where the photo's fate is recorded. Raises what ends the store."""
        store, claim = self._store, attempt.claim
        if refusal.reaction is Reaction.STOP_RUN and refusal.status == 401:  # the key has been revoked
            raise as_error(refusal, "a photo") from refusal
        if refusal.reaction in (Reaction.STOP_RUN, Reaction.SKIP_STORE, Reaction.LEAVE_STORE) and not claim.failures:
            store.refused.hold(claim, refusal)
            return None
        if refusal.reaction is Reaction.FORGET and (refusal.documented or store.outage.worked):
            await store.succeeded()
            await store.record_gone(claim, refusal.reason)
            return None
        before = attempt.retries.attempts
        came, failed_before = store.counters.downloaded, claim.failures > 0
        pause = attempt.retries.after(refusal, store.rng, came, failed_before=failed_before)
        if refusal.reaction is Reaction.FORGET:
            store.doubt(claim, refusal.reason)
        elif pause is None:
            await store.record_failed(claim, refusal.reason)
        if before == 0 < attempt.retries.attempts:  # a 420 is no attempt
            await self._judge(attempt, refusal, is_recorded=pause is None)
        return pause

    async def _judge(self, attempt: Attempt, refusal: Refusal, *, is_recorded: bool) -> None:
        """What a photo's first failure says of the server. Raises ServerUnavailable, with the photo recorded."""
        store = self._store
        if attempt.claim.failures:
            store.outage.failed_again()
            return
        try:
            store.outage.failed(refusal, _now())
        except ServerUnavailable:
            if not is_recorded:
                await store.record_failed(attempt.claim, refusal.reason)
            raise

    async def _fetch(self, claim: Claim, doubted: set[bytes], *, is_last: bool) -> None:
        """Asks, streams to a part, archives. Raises Refusal, or ArchiveUnwritable."""
        store = self._store
        path = store.folder / layout.photo_path(claim.month, claim.key, layout.PART_SUFFIX)
        try:
            async with photo_file.part(path, store.settings.archive.min_free_bytes, store.ground.make_folder) as part:
                async with store.client.photo(photo_request(claim.key), self._admission_for(claim)) as photo:
                    self._is_storing = True
                    failpoints.point("answer-begun")
                    async for chunk in photo.chunks():
                        await part.write(chunk)
                    failpoints.point("body-read")
                # Here the slot is free for the next request; the disk is our own affair.
                failpoints.point("slot-freed")
                kind = await _checked(part, photo, doubted, is_last=is_last)
                await part.finish_streamed()
                self._following = await store.take_in(claim, part, kind, photo.content_type, self._only)
        finally:
            self._is_storing, self._admission = False, None

    def _admission_for(self, claim: Claim) -> AdmissionFor:
        admission_for = self._store.admission_for(claim.row)

        def admission(method: str) -> Admission:
            self._admission = admission_for(method)
            return self._admission

        return admission


async def _checked(
    part: photo_file.Part, photo: Photo, doubted: set[bytes], *, is_last: bool
) -> image_type.ImageKind:
    """What the part holds. Raises Refusal where it is no photo, or may be half of one.

    A body without any framing may have been cut off unnoticed, and so may one whose length is told too small. Without
    the end marker of its format it is asked for again, and believed when the same bytes come twice or patience ends.
    """
    kind = image_type.choose(photo.content_type, part.head)
    if kind.not_a_photo:
        is_garbled = image_type.is_garbled(photo.content_type, part.head)
        raise Refusal(Reaction.RETRY if is_garbled else Reaction.GIVE_UP, kind.not_a_photo, 200)
    is_believed = photo.is_framed and not image_type.must_end_well(part.head)
    if is_believed or image_type.ends_well(kind.suffix, part.tail, part.size, part.head):
        return kind
    digest = await part.finish()
    if digest not in doubted and not is_last:
        doubted.add(digest)
        raise Refusal(Reaction.RETRY, "the photo may be cut off: it came without its end marker", 200)
    return kind._replace(note=f"{kind.note}; no end marker, so it may be cut off".lstrip("; "))


def _now() -> float:
    return asyncio.get_running_loop().time()
