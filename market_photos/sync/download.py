"""A worker downloads one photo after another: request it, stream it to a part, archive it."""

import asyncio
from dataclasses import dataclass, field
from enum import Enum, auto

from market_photos import failpoints
from market_photos.archive import image_type, layout, photo_file
from market_photos.archive.place import Place
from market_photos.errors import MarketPhotosError
from market_photos.market.client import Client, Photo
from market_photos.market.limits import Admission, Limits
from market_photos.market.refusals import Reaction, Refusal
from market_photos.market.requests import Endpoint, photo_request
from market_photos.sync.outcomes import Outcomes
from market_photos.sync.photo_queue import Attempt, PhotoQueue
from market_photos.threads import to_the_end


class WorkerState(Enum):
    """What a worker does, as far as a stop has to know."""

    IDLE = auto()
    """It waits for a photo or for the next attempt at one."""
    REQUESTING = auto()
    """It waits for quota, for a slot or for the answer."""
    STORING = auto()
    """It receives a photo, or records what became of one."""


@dataclass(kw_only=True, eq=False)
class Worker:
    """Downloads photos until the queue has no more."""

    queue: PhotoQueue
    outcomes: Outcomes
    client: Client
    limits: Limits
    place: Place
    _admission: Admission | None = field(default=None, init=False)
    _state: WorkerState = field(default=WorkerState.IDLE, init=False)

    @property
    def is_busy(self) -> bool:
        """Whether a photo is on its way, so that a stop should wait for it."""
        if self._state is WorkerState.REQUESTING:
            return self._admission is not None and self._admission.in_flight
        return self._state is WorkerState.STORING

    async def run(self) -> None:
        """Download photos. Raises the MarketPhotosError that ends the run of the store."""
        while attempt := await self.queue.next():
            failpoints.point("claimed")
            try:
                await self._download(attempt)
            except BaseException:
                self.queue.release(attempt)
                raise

    async def _download(self, attempt: Attempt) -> None:
        """Repeat the request until the photo is archived, has failed or is deferred."""
        while True:
            try:
                await self._fetch(attempt)
            except Refusal as refusal:
                pause = await self._record(attempt, refusal)
            except MarketPhotosError:
                raise
            except Exception as error:
                pause = await self._record(attempt, self.outcomes.internal_error(attempt.claim, error))
            else:
                await self.outcomes.endpoint_works()
                return
            if pause is None or self.queue.defer(attempt, pause):
                return
            await asyncio.sleep(pause)

    async def _record(self, attempt: Attempt, refusal: Refusal) -> float | None:
        self._state = WorkerState.STORING
        try:
            return await self.outcomes.record_refusal(attempt, refusal)
        finally:
            self._state = WorkerState.IDLE

    async def _fetch(self, attempt: Attempt) -> None:
        """Request the photo and archive it. Raises Refusal, ArchiveUnwritable or CatalogUnusable."""
        claim = attempt.claim
        path = layout.photo_path(claim.month, claim.key, "")
        self._admission = self.limits.admission(Endpoint.PHOTO, claim.row, attempt.take_recorded())
        self._state = WorkerState.REQUESTING
        try:
            async with self.place.part(path) as part:
                async with self.client.photo(photo_request(claim.key), self._admission) as photo:
                    self._state = WorkerState.STORING
                    failpoints.point("answer-begun")
                    async for chunk in photo.chunks():
                        await part.write(chunk)
                    failpoints.point("body-read")
                # The slot is free for the next request while this photo goes to the disk.
                failpoints.point("slot-freed")
                kind = await _checked(part, photo, attempt)
                await part.prepare(kind.suffix)
                await to_the_end(self._store(attempt, part, kind, photo.content_type))
        finally:
            self._state = WorkerState.IDLE

    async def _store(
        self, attempt: Attempt, part: photo_file.Part, kind: image_type.ImageKind, content_type: str
    ) -> None:
        if following := await self.outcomes.store_photo(attempt.claim, part, kind, content_type):
            self.queue.add_claimed(following)


async def _checked(part: photo_file.Part, photo: Photo, attempt: Attempt) -> image_type.ImageKind:
    """Return the kind of image that the part holds. Raises Refusal where it is no image, or may be cut off.

    A body without framing may have been cut off unnoticed, and so may one whose announced length is too small.
    Without the end marker of its format it is requested again, and believed when the same bytes come twice or no
    attempt is left.
    """
    kind = image_type.choose(photo.content_type, part.head)
    if kind.not_a_photo:
        is_garbled = image_type.is_garbled(photo.content_type, part.head)
        raise Refusal(Reaction.RETRY if is_garbled else Reaction.GIVE_UP, kind.not_a_photo, 200)
    is_believed = photo.is_framed and not image_type.must_end_well(part.head)
    if is_believed or image_type.ends_well(kind.suffix, part.tail, part.size, part.head):
        return kind
    digest = await part.finish()
    if digest not in attempt.suspect_digests and not attempt.retries.is_last:
        attempt.suspect_digests.add(digest)
        raise Refusal(Reaction.RETRY, "the photo may be cut off: it came without its end marker", 200)
    return kind._replace(note=f"{kind.note}; no end marker, so it may be cut off".lstrip("; "))
