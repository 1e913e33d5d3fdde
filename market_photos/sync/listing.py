"""Pages of returns -> photos that the archive lacks, in the catalogue.

Invariants: a page is recorded in one transaction, in the order of the listing, while the next is on its way; the
watermark and a finished window are recorded last, and only after a listing without error.
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from market_photos import failpoints
from market_photos.archive.catalog.returns import PackedPage
from market_photos.clock import Moment, iso
from market_photos.errors import ServerUnavailable, UsageError
from market_photos.market.records import Page, PageTokenLost, parse_listing, parse_return, read_returns
from market_photos.market.refusals import Reaction, Refusal
from market_photos.market.requests import ApiRequest, Endpoint, return_request, returns_request
from market_photos.market.retry import retrying
from market_photos.sync.date_ranges import Span, day_of, fresh, is_ahead, months
from market_photos.sync.refused_photos import as_error
from market_photos.sync.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")
#: Returns that are read at one go, in a fraction of a millisecond.
SLICE = 20
#: Times that a span is listed when returns moved between its pages meanwhile.
MAX_PASSES = 3
#: Unreadable records that the summary names.
SHOWN_PROBLEMS = 10
#: Pages in a row that may bring no return that is new to the listing: the server may filter after it has cut pages.
MAX_BARREN = 500
#: Restarts of a listing whose page token is refused.
MAX_RESTARTS = 3
NO_SERVER_TIME = (
    "store %s: the server's clock is not known, as its answers give no Date or contradict each other: how far the "
    "returns are listed is not moved on, and the next run lists them again"
)


class Producer:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._listing = int(store.started_at * 1000)

    async def nightly(self, *, full: bool) -> None:
        """What was updated since the watermark; everything where `full`. Moves the watermark to the run's start.

        By the server's clock. Where that is not known the watermark stays, and the next run lists the same again.
        """
        store = self._store
        settings = store.settings.sync
        watermark = await store.catalog.do(store.catalog.returns.watermark)
        began = store.clock.now()
        if watermark is not None and is_ahead(watermark, began.server):
            self._disbelieve(watermark)
            watermark = None
        span = Span(None, None) if full else fresh(watermark, settings.overlap_days, settings.first_sync_from)
        is_listed = await self._list(span)
        reached = store.clock.at(began)  # the answers of the listing have told more of the server's clock
        if watermark is not None and not full and is_ahead(watermark, reached):
            self._disbelieve(watermark)
            is_listed = await self._list(fresh(None, 0, settings.first_sync_from))
        if reached is None:
            log.warning(NO_SERVER_TIME, store.title)
        elif is_listed:
            await store.catalog.do(store.catalog.returns.move_watermark, reached.earliest)
            failpoints.point("watermark-moved")

    def _disbelieve(self, watermark: float) -> None:
        """What was listed under a clock that was ahead may lack anything: list it all once more."""
        log.warning(
            "store %s: returns were listed up to %s, says the catalogue, but the server's clock has not come so far: "
            "a clock was wrong; everything is listed again",
            self._store.title,
            iso(watermark),
        )

    async def backfill(self, first: dt.date, last: dt.date) -> None:
        """A span in windows of a month, newest first; finished ones are not listed again."""
        catalog = self._store.catalog
        finished = await catalog.do(catalog.returns.finished_windows)
        began = self._store.clock.now()
        for window in months(first, last):
            name = (str(window.first), str(window.last))
            # A window that reaches into today is not over: it is listed again next time.
            if name not in finished and await self._list(window) and self._is_over(window, began):
                await catalog.do(catalog.returns.finish_window, *name)

    def _is_over(self, window: Span, began: Moment) -> bool:
        """Whether the window had passed when the listing began, by the server's clock."""
        server = self._store.clock.at(began)
        return server is not None and window.last is not None and window.last < day_of(server.earliest)

    async def refresh(self) -> None:
        """During a backfill: what is new, for a seller's 48 hours do not wait for an archive."""
        store = self._store
        watermark = await store.catalog.do(store.catalog.returns.watermark)
        if watermark is not None:
            return await self.nightly(full=False)
        await self._list(fresh(store.started_at, store.settings.sync.overlap_days, None))
        return None

    async def one(self, order: int, return_id: int) -> None:
        """The record of one return. Raises UsageError where the API knows no such return."""
        campaign = self._store.campaign
        try:
            page = await self._read(return_request(campaign, order, return_id), partial(parse_return, campaign))
        except Refusal as refusal:
            if refusal.reaction is not Reaction.FORGET:
                raise as_error(refusal, f"return {return_id}") from refusal
            raise UsageError(
                f"store {campaign}: the API knows no return {return_id} of order {order}.",
                "Check the three numbers: campaign, order, return.",
            ) from refusal
        packed = PackedPage(page.rows)
        packed.unreadable += page.unreadable
        await self._record(packed)

    async def _list(self, span: Span) -> bool:
        """Lists a span, again where returns moved between pages; whether everything in it could be read."""
        counters = self._store.counters
        unreadable = counters.unreadable
        counters.listing = str(span)
        try:
            for again in range(MAX_PASSES):
                self._listing += 1
                moved, found = await self._pass(span)
                # What moved may have pushed something new over a page's edge, even if this pass found nothing.
                if not moved or (again and not found):
                    break
                log.info(
                    "store %s: returns moved between pages while they were read; listing again", self._store.title
                )
        finally:
            counters.listing = ""
        return counters.unreadable == unreadable

    async def _pass(self, span: Span) -> tuple[int, int]:
        """One listing from the first page to the last: returns that moved meanwhile, photos that were new."""
        moved = found = restarts = barren = 0
        token: str | None = None
        seen: set[int] = set()
        coming = self._ask(span, token)
        try:
            while True:
                try:
                    page = await coming
                except Refusal as refusal:
                    if isinstance(refusal, PageTokenLost):
                        await self._take_in(refusal.page, goes_on=False)
                    if refusal.reaction is not Reaction.RESTART_LISTING or token is None or restarts >= MAX_RESTARTS:
                        raise as_error(refusal, "the list of returns") from refusal
                    token, seen, restarts = None, set(), restarts + 1
                    self._listing += 1
                    coming = self._ask(span, token)
                    continue
                token = page.next_token
                goes_on = token is not None and hash(token) not in seen
                if goes_on:
                    seen.add(hash(token))
                    coming = self._ask(span, token)
                new, repeated, photos = await self._take_in(page, goes_on=goes_on)
                moved, found = moved + repeated, found + photos
                barren = 0 if new else barren + 1
                if token is None:
                    return moved, found
                if not goes_on:
                    raise self._in_circles("a page token came twice")
                if barren >= MAX_BARREN:
                    raise self._in_circles(f"{barren} pages in a row brought nothing new")
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
            self._store.requests.give_back(Endpoint.RETURNS, None)

    def _ask(self, span: Span, token: str | None) -> "asyncio.Task[Page[Any]]":
        """The page on its way, while the one before is worked on."""
        return asyncio.create_task(
            self._read(returns_request(self._store.campaign, *span.asked(), token), parse_listing)
        )

    async def _take_in(self, page: Page[Any], *, goes_on: bool) -> tuple[int, int, int]:
        """In slices: what is on its way does not wait for a whole page to be read."""
        packed = PackedPage()
        packed.unreadable += page.unreadable
        for start in range(0, len(page.rows), SLICE):
            await asyncio.sleep(0)
            found, problems = read_returns(self._store.campaign, page.rows[start : start + SLICE])
            packed.unreadable += problems
            packed.add(found)
        return await self._record(packed, goes_on=goes_on)

    def _in_circles(self, why: str) -> ServerUnavailable:
        return ServerUnavailable(
            f"store {self._store.title}: the list of returns goes in circles: {why}.",
            "A fault of the server. What was listed is kept; run the same command again later.",
        )

    async def _read(self, request: ApiRequest, parse: Callable[[bytes], T]) -> T:
        """Return one page, requested again after temporary refusals. Raises Refusal."""
        store = self._store

        async def read() -> T:
            return parse(await store.client.read(request, store.admission_for()))

        return await retrying(read, f"store {store.title}", store.rng)

    async def _record(self, page: PackedPage, *, goes_on: bool = False) -> tuple[int, int, int]:
        """Returns that are new to this listing, returns that it had brought before, photos that are new."""
        store = self._store
        found = await store.record_page(page, self._listing, goes_on=goes_on)
        failpoints.point("page-recorded")
        counters = store.counters
        counters.pages += 1
        counters.returns += len(page.returns)
        counters.found += found.photos
        for problem in page.unreadable:
            log.warning("store %s: cannot be read: %s", store.title, problem)
            counters.unreadable += 1
            if len(counters.problems) < SHOWN_PROBLEMS:
                counters.problems.append(problem)
        if found.photos:
            store.tell()
        return len(page.returns) - found.repeated, found.repeated, found.photos
