"""One photo after another: claim, fetch, store, record."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from market_photos import crash
from market_photos.archive import files, layout, suffix
from market_photos.archive.photos import Claim
from market_photos.errors import MarketPhotosError
from market_photos.market.client import PassageFor, Photo
from market_photos.market.limiter import Passage
from market_photos.market.protocol import Act, Refusal, ask_photo, clean
from market_photos.sync.refusals import as_error
from market_photos.sync.retry import Patience
from market_photos.sync.store import Store

log = logging.getLogger(__name__)


class Worker:
    """Brings photos until there are no more, the budget is spent or the run is stopped."""

    def __init__(self, store: Store, only: tuple[int, int] | None = None) -> None:
        """`only`: order and return, where just that return's photos are wanted."""
        self._store = store
        self._only = only
        self._passage: Passage | None = None
        self._is_storing = False
        self._following: Claim | None = None
        """The next photo, where the last one's outcome brought it."""

    @property
    def is_busy(self) -> bool:
        """Whether a photo is on its way, so that it is worth waiting for."""
        return self._is_storing or (self._passage is not None and self._passage.in_flight)

    async def run(self) -> None:
        try:
            while (claim := await self._next()) is not None:
                crash.point("claimed")
                try:
                    await self._bring(claim)
                except BaseException:
                    self._store.release(claim)
                    raise
        finally:
            if self._following:
                self._store.release(self._following)

    async def _next(self) -> Claim | None:
        """The next photo; waits for the listing where it may still bring one."""
        store = self._store
        while not store.stop.requested:
            await self._sit_out_an_outage()
            news, is_listed = store.news, store.is_listed
            claim, self._following = self._following, None
            claim = claim or await store.catalog.do(store.catalog.photos.claim, self._only)
            if claim is not None:
                return self._within_budget(claim)
            if is_listed:
                return None
            await news.wait()
        return None

    def _within_budget(self, claim: Claim) -> Claim | None:
        if self._store.budget.take():
            return claim
        self._store.release(claim)
        return None

    async def _sit_out_an_outage(self) -> None:
        pause = self._store.health.paused_until - asyncio.get_running_loop().time()
        if pause > 0:
            await asyncio.sleep(pause)

    async def _bring(self, claim: Claim) -> None:
        """Raises what ends the work on the store; everything else becomes the photo's state."""
        store, patience = self._store, Patience()
        doubted: set[bytes] = set()
        while True:
            try:
                await self._fetch(claim, doubted, is_last=patience.is_last)
            except Refusal as refusal:
                pause = await self._learnt(claim, refusal, patience)
            except MarketPhotosError:
                raise
            except Exception as error:
                pause = await self._learnt(claim, self._internal_error(claim, error), patience)
            else:
                return await store.succeeded()
            if pause is None:
                return None
            await asyncio.sleep(pause)

    def _internal_error(self, claim: Claim, error: Exception) -> Refusal:
        """Return what nobody foresaw as the failure of this photo: the others still come. The run ends with 1."""
        log.error("store %s: %s: internal error", self._store.title, claim.key, exc_info=error)
        self._store.counters.internal_errors += 1
        return Refusal(Act.GIVE_UP, f"internal error: {type(error).__name__}: {clean(str(error), 200)}")

    async def _learnt(self, claim: Claim, refusal: Refusal, patience: Patience) -> float | None:
        """As `_refused`, undisturbed by a stop."""
        with self._storing():
            pause = await self._refused(claim, refusal, patience)
        if pause is not None:
            log.debug("store %s: %s: %s; again in %.1f s", self._store.title, claim.key, refusal, pause)
        return pause

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """What was brought, or learnt, is recorded before a stop ends the worker."""
        self._is_storing = True
        try:
            yield
        finally:
            self._is_storing = False

    async def _refused(self, claim: Claim, refusal: Refusal, patience: Patience) -> float | None:
        """Seconds until the next attempt; None where the photo's fate is recorded. Raises what ends the store."""
        store = self._store
        if refusal.act is Act.STOP_RUN and refusal.status == 401:  # the key has been revoked
            raise as_error(refusal, "a photo") from refusal
        if refusal.act in (Act.STOP_RUN, Act.SKIP_STORE, Act.LEAVE_STORE):
            store.refused.hold(claim, refusal)
            return None
        if refusal.act is Act.FORGET and (refusal.documented or store.health.worked):
            await store.succeeded()
            await store.record_gone(claim, refusal.reason)
            return None
        store.health.failed(refusal, asyncio.get_running_loop().time())
        if refusal.act is Act.FORGET:
            store.doubt(claim, refusal.reason)
            return None
        pause = patience.after(refusal, store.rng)
        if pause is None:
            await store.record_failed(claim, refusal.reason)
        return pause

    async def _fetch(self, claim: Claim, doubted: set[bytes], *, is_last: bool) -> None:
        """Asks, streams to a part, archives. Raises Refusal, or ArchiveUnwritable."""
        store = self._store
        path = store.folder / layout.photo_path(claim.month, claim.key, layout.PART_SUFFIX)
        try:
            async with files.part(path, store.settings.archive.min_free_bytes, store.ground.make_folder) as part:
                async with store.client.photo(ask_photo(claim.key), self._passage_for(claim)) as photo:
                    self._is_storing = True
                    crash.point("answer-begun")
                    async for chunk in photo.chunks():
                        await part.write(chunk)
                    crash.point("body-read")
                # Here the slot is free for the next request; the disk is our own affair.
                crash.point("slot-freed")
                kind = await _checked(part, photo, doubted, is_last=is_last)
                await part.finish_streamed()
                self._following = await store.take_in(claim, part, kind, photo.content_type, self._only)
        finally:
            self._is_storing, self._passage = False, None

    def _passage_for(self, claim: Claim) -> PassageFor:
        passage_for = self._store.passage_for(claim.row)

        def passage(method: str) -> Passage:
            self._passage = passage_for(method)
            return self._passage

        return passage


async def _checked(part: files.Part, photo: Photo, doubted: set[bytes], *, is_last: bool) -> suffix.Kind:
    """What the part holds. Raises Refusal where it is no photo, or may be half of one.

    A body without any framing may have been cut off unnoticed, and so may one whose length is told too small. Without
    the end marker of its format it is asked for again, and believed when the same bytes come twice or patience ends.
    """
    kind = suffix.choose(photo.content_type, part.head)
    if kind.not_a_photo:
        raise Refusal(Act.GIVE_UP, kind.not_a_photo, 200)
    is_believed = photo.is_framed and not suffix.must_end_well(part.head)
    if is_believed or suffix.ends_well(kind.suffix, part.tail, part.size, part.head):
        return kind
    digest = await part.finish()
    if digest not in doubted and not is_last:
        doubted.add(digest)
        raise Refusal(Act.RETRY, "the photo may be cut off: it came without its end marker", 200)
    return kind._replace(note=f"{kind.note}; no end marker, so it may be cut off".lstrip("; "))
