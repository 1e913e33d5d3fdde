"""One store of a run: what its producer and its workers share."""

import asyncio
import logging
from random import Random

from market_photos import failpoints
from market_photos.archive import photo_file
from market_photos.archive.catalog import adoption
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import Archived, Claim, State
from market_photos.archive.catalog.returns import PackedPage, PageResult
from market_photos.archive.held_folder import Ground
from market_photos.archive.image_type import ImageKind
from market_photos.clock import Clock, Moment, ServerClock, age
from market_photos.config import Settings
from market_photos.console import redact
from market_photos.market.client import AdmissionFor, Client
from market_photos.market.limits import Admission, Limits
from market_photos.market.quota import TRANSIT, Quota, token_ages
from market_photos.market.requests import Endpoint, quotas
from market_photos.market.retry import OutageDetector
from market_photos.market.slots import Slots
from market_photos.reporting.report import Counters
from market_photos.settings import Limits as LimitSettings
from market_photos.sync import storing
from market_photos.sync.deferred import Deferred
from market_photos.sync.refused_photos import RefusedPhotos
from market_photos.sync.stop import Budget, Stop

log = logging.getLogger(__name__)

#: Requests of a run after which those that count no more are dropped: a backfill sends 120 000 a day.
FORGET_EVERY = 5000
#: Seconds for which a request may be on record before it is sent; what waits longer (for quota) is renewed. Short
#: beside TRANSIT, which counts from here.
RESERVED_SECONDS = 2.0


class CatalogLedger:
    """Puts requests on record in the store's catalogue."""

    def __init__(self, catalog: Catalog, clock: Clock, counters: Counters, period: float) -> None:
        """`period` of the quotas, in seconds."""
        self._catalog = catalog
        self._period = period
        self._clock = clock
        self._counters = counters
        self._reserved: dict[tuple[str, int | None], tuple[int, Moment]] = {}

    async def sent(self, method: str, photo: int | None) -> int:
        self._counters.requests += 1
        if self._counters.requests % FORGET_EVERY == 0:
            await self.forget()
        request = await self._recorded(method, photo)
        failpoints.point("request-recorded")
        return request

    async def _recorded(self, method: str, photo: int | None) -> int:
        requests = self._catalog.requests
        request, since = self._reserved.pop((method, photo), (0, self._clock.now()))
        if not request:
            return await self._catalog.do(requests.sent, method, photo)
        if age(since, self._clock.now()) < RESERVED_SECONDS:
            return request
        return await self._catalog.do(requests.renew, request, method, photo)

    def reserve(self, method: str, photo: int | None, request: int) -> None:
        """A request is on record already, and about to be sent."""
        self.give_back(method, photo)
        self._reserved[method, photo] = (request, self._clock.now())

    def give_back(self, method: str, photo: int | None) -> None:
        """What was reserved will not be sent."""
        request, _ = self._reserved.pop((method, photo), (0, None))
        if request:
            self._catalog.requests.unsent(request)

    async def forget(self) -> None:
        """Drops requests that count no more; only when nothing of an earlier run is left to sweep."""
        await self._catalog.do(self._catalog.requests.forget_requests, self._period + TRANSIT)

    def answered(self, request_id: int) -> None:
        self._catalog.requests.answered(request_id, self._clock.now())

    def withdrawn(self, request_id: int) -> None:
        self._counters.requests -= 1
        self.answered(request_id)


class Store:
    """The shared things of one store's run, and the news that wakes its workers. Made inside the event loop."""

    def __init__(
        self,
        *,
        campaign: int,
        name: str,
        ground: Ground,
        catalog: Catalog,
        ledger: Catalog,
        client: Client,
        settings: Settings,
        clock: ServerClock,
        rng: Random,
        stop: Stop,
        budget: Budget,
    ) -> None:
        """`ledger`: the catalogue whose requests count; the same one, but for a dry run."""
        self.campaign = campaign
        self.name = name
        self.ground = ground
        self.folder = ground.folder
        self.catalog = catalog
        self.ledger = ledger
        self.client = client
        self.settings = settings
        self.clock = clock
        self.rng = rng
        self.stop = stop
        self.budget = budget
        self.started_at = clock.now().best
        self.counters = Counters()
        self.outage = OutageDetector()
        self.deferred = Deferred()
        self.is_listed = False
        self.requests = CatalogLedger(ledger, clock, self.counters, settings.limits.period_seconds)
        self.limits = restored_limits(ledger, settings.limits, clock, self.requests, rng)
        self._news = asyncio.Event()
        self._doubted: list[tuple[Claim, str]] = []
        self.refused = RefusedPhotos()

    @property
    def is_dry(self) -> bool:
        """Whether this run lists only, into a catalogue of its own."""
        return self.ledger is not self.catalog

    @property
    def title(self) -> str:
        return f"{self.campaign} {self.name}".strip()

    def admission_for(self, photo: int | None = None) -> AdmissionFor:
        """The way through this store's limits, on record as a request for that photo."""

        def admission(method: str) -> Admission:
            return self.limits.admission(method, photo)

        return admission

    async def record_page(self, page: PackedPage, listing: int, *, goes_on: bool) -> PageResult:
        """What was new on it. `goes_on`: whether another page is on its way, and one more may follow."""
        method = Endpoint.RETURNS if goes_on and not self.is_dry else ""
        found, request = await self.catalog.do(self.catalog.record_page, page, listing, method)
        if request:
            self.requests.reserve(method, None, request)
        return found

    async def take_in(
        self,
        claim: Claim,
        part: photo_file.Part,
        kind: ImageKind,
        content_type: str,
        only: tuple[int, int] | None = None,
    ) -> Claim | None:
        """Archives the photo; the next one, claimed. `only`: see `Photos.claim`."""
        found = Archived(kind.suffix, 0, b"", redact(content_type)[:200], redact(kind.note))
        work = self.catalog.do(
            storing.take_in, self.catalog, self.folder, claim, part, found, method=Endpoint.PHOTO, only=only
        )
        archived, turn = await photo_file.to_the_end(work)
        failpoints.point("recorded")
        if turn.claim:
            self.requests.reserve(Endpoint.PHOTO, turn.claim.row, turn.request)
        self.counters.downloaded += 1
        self.counters.size += archived.size
        if archived.note:
            log.info("store %s: %s: %s", self.title, claim.key, archived.note)
        return turn.claim

    def release(self, claim: Claim) -> None:
        """The photo stays pending, and is not asked for."""
        self.requests.give_back(Endpoint.PHOTO, claim.row)
        self.catalog.photos.release(claim)

    async def adopt(self, claim: Claim) -> bool:
        """Archive a photo that is on disk already instead of asking for it; return whether it was."""
        if not adoption.is_on_disk(self.catalog.path.parent, claim):
            return False
        if not await self.catalog.do(adoption.adopt, self.catalog, claim):
            return False
        self.requests.give_back(Endpoint.PHOTO, claim.row)
        return True

    async def record_gone(self, claim: Claim, reason: str) -> None:
        await self.catalog.do(self.catalog.photos.record_gone, claim, redact(reason))
        self.counters.gone += 1
        log.info("store %s: %s is gone: %s", self.title, claim.key, reason)

    async def record_failed(self, claim: Claim, reason: str) -> None:
        await self.catalog.do(self.catalog.photos.record_failed, claim, redact(reason))
        self.counters.failed += 1
        log.warning("store %s: %s failed: %s", self.title, claim.key, reason)

    def doubt(self, claim: Claim, reason: str) -> None:
        """A 404 that is not the API's own: believed once another photo shows that our URLs are right."""
        self._doubted.append((claim, reason))

    async def settle_attempts(self) -> None:
        """Record the outcome of photos that were tried and have none yet.

        What failed is recorded as failed, so that the next run begins with what was never tried. After a stop a photo
        that waits for its next attempt stays pending.
        """
        for attempt in self.deferred.drain():
            if not self.stop.requested:
                await self.record_failed(attempt.claim, attempt.reason)
        if self.outage.retries_in_vain:
            await self.catalog.do(self.catalog.photos.shelve)
        for claim, reason in self._doubted:
            if self.outage.worked:
                await self.record_gone(claim, reason)
            else:
                await self.record_failed(
                    claim, f"{reason}, but not in the API's own words: wrong base_url, or a proxy?"
                )
        self._doubted.clear()

    async def succeeded(self) -> None:
        """The photo method works: a photo came, or the API itself said that there is none."""
        self.outage.succeeded()
        await self._fail_refused()

    async def settle_refused(self) -> None:
        """At the end of a run that was not cut short. Raises what closes the store."""
        if self.refused and not self.stop.requested:
            tally = await self.catalog.do(self.catalog.photos.tally)
            self.refused.end(has_photos=self.outage.worked or tally[State.ARCHIVED].photos > 0)
            await self._fail_refused()

    async def _fail_refused(self) -> None:
        for claim, refusal in self.refused.take():
            await self.record_failed(claim, refusal.reason)

    async def save_outdated_records(self) -> None:
        """For returns whose record changed after their photos had come."""
        while await self.catalog.do(storing.save_outdated_records, self.catalog, self.ground, 100):
            pass

    @property
    def news(self) -> asyncio.Event:
        """Set at the next `tell`. Take it before you look, then nothing is missed."""
        return self._news

    def tell(self) -> None:
        """There may be more to claim, or nothing more will come."""
        self._news.set()
        self._news = asyncio.Event()


def restored_limits(
    catalog: Catalog, settings: LimitSettings, clock: Clock, ledger: CatalogLedger, rng: Random
) -> Limits:
    """Quota and slots as earlier runs left them."""
    period = settings.period_seconds
    past = catalog.requests.past_requests()
    now = clock.now()
    reserves = {Endpoint.PHOTO: settings.reserve_requests}
    restored: dict[str, Quota] = {
        method: Quota(
            amount,
            period,
            reserve=min(reserves.get(method, 0), amount - 1),
            restored=token_ages([request for request in past if request.method == method], now, period),
            rng=rng,
        )
        for method, amount in quotas(settings.photo_requests, settings.return_requests).items()
    }
    slots = Slots(settings.parallel_requests, rng=rng)
    # The server may still be at work for a run that was killed a moment ago.
    for request in past:
        if request.answered is None and (left := slots.cool_down + RESERVED_SECONDS - age(request.sent, now)) > 0:
            slots.hold(1, left)
    return Limits(slots, restored, ledger)
