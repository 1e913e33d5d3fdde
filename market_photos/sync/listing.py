"""List returns page by page into the catalogue, where their new photos become the queue.

A page is recorded in one transaction before the next one is requested. The watermark and finished windows are
recorded last, and only after a listing in which everything could be read.
"""

import datetime as dt
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from market_photos import failpoints
from market_photos.archive.catalog.returns import PageResult
from market_photos.clock import Moment, iso
from market_photos.errors import ServerUnavailable, UsageError
from market_photos.market.records import Page, PageTokenLost, parse_listing, parse_return, read_returns
from market_photos.market.refusals import Reaction, Refusal
from market_photos.market.requests import ApiRequest, return_request, returns_request
from market_photos.market.retry import retrying
from market_photos.model import Return, ReturnRef
from market_photos.sync.date_ranges import DateRange, day_of, fresh, is_ahead, months
from market_photos.sync.plan import Backfill, Nightly, OneOrder, OneReturn, Plan
from market_photos.sync.refused_photos import as_error
from market_photos.sync.store import Store

log = logging.getLogger(__name__)

T = TypeVar("T")
#: Times that a range is listed while returns move between its pages.
MAX_PASSES = 3
#: Unreadable records that the summary names.
SHOWN_PROBLEMS = 10
#: Pages in a row without a return that is new to the listing: the server may filter after it has cut the pages.
MAX_BARREN = 500
#: Restarts of a listing whose page token is refused.
MAX_RESTARTS = 3
NO_SERVER_TIME = (
    "store %s: the server's clock is not known, as its answers give no Date or contradict each other: the next run "
    "lists the same returns again"
)


class Lister:
    """Lists returns of one store. Each lister numbers its passes and counts its unreadable records by itself."""

    def __init__(self, store: Store, new_photos: Callable[[], None], *, is_refresh: bool = False) -> None:
        """`new_photos` is called when a page brought some. `is_refresh`: beside the main listing of a run."""
        self._store = store
        self._new_photos = new_photos
        self._is_refresh = is_refresh
        self._listing = 0
        self._unreadable = 0

    async def run(self, plan: Plan) -> None:
        """List what the plan wants. Raises MarketPhotosError."""
        try:
            match plan:
                case Nightly(full):
                    await self._nightly(full=full)
                case Backfill(first, last):
                    await self._backfill(first, last)
                case OneReturn(ref):
                    await self._one_return(ref)
                case OneOrder(ref):
                    await self._list(DateRange(None, None), order=ref.order)
        finally:
            self._show("")

    async def refresh(self) -> None:
        """List fresh returns during a backfill: a seller has 48 hours for them. Raises MarketPhotosError."""
        store = self._store
        try:
            if await store.catalog.do(store.catalog.returns.watermark) is not None:
                await self._nightly(full=False)
            else:
                await self._list(fresh(store.started_at, store.settings.sync.overlap_days, None))
        finally:
            self._show("")

    async def _nightly(self, *, full: bool) -> None:
        """List what was updated since the watermark, or everything; move the watermark to the start of the listing.

        The watermark follows the server's clock. Where that is not known it stays.
        """
        store = self._store
        settings = store.settings.sync
        watermark = await store.catalog.do(store.catalog.returns.watermark)
        began = store.clock.now()
        if watermark is not None and is_ahead(watermark, began.server):
            self._warn_of_watermark(watermark)
            watermark = None
        dates = DateRange(None, None) if full else fresh(watermark, settings.overlap_days, settings.first_sync_from)
        is_complete = await self._list(dates)
        reached = store.clock.at(began)  # the answers of the listing may have shown the server's clock
        if watermark is not None and not full and is_ahead(watermark, reached):
            self._warn_of_watermark(watermark)
            is_complete = await self._list(fresh(None, 0, settings.first_sync_from))
        if reached is None:
            log.warning(NO_SERVER_TIME, store.title)
        elif is_complete:
            await store.catalog.do(store.catalog.returns.move_watermark, reached.earliest)
            failpoints.point("watermark-moved")

    def _warn_of_watermark(self, watermark: float) -> None:
        log.warning(
            "store %s: the catalogue says that returns are listed up to %s, which is ahead of the server's clock: a "
            "clock was wrong; everything is listed again",
            self._store.title,
            iso(watermark),
        )

    async def _backfill(self, first: dt.date, last: dt.date) -> None:
        """List the months of a range, newest first, without those that are finished."""
        catalog = self._store.catalog
        finished = await catalog.do(catalog.returns.finished_windows)
        began = self._store.clock.now()
        for window in months(first, last):
            name = (str(window.first), str(window.last))
            # A window that is not over yet is listed again by the next run.
            if name not in finished and await self._list(window) and self._is_over(window, began):
                await catalog.do(catalog.returns.finish_window, *name)

    def _is_over(self, window: DateRange, began: Moment) -> bool:
        """Return whether the window had passed when the listing began, by the server's clock."""
        server = self._store.clock.at(began)
        return server is not None and window.last is not None and window.last < day_of(server.earliest)

    async def _one_return(self, ref: ReturnRef) -> None:
        """Record one return. Raises UsageError where the API does not know it."""
        campaign = self._store.campaign
        try:
            page = await self._read(return_request(campaign, *ref), partial(parse_return, campaign))
        except Refusal as refusal:
            if refusal.reaction is not Reaction.FORGET:
                raise as_error(refusal, f"return {ref.return_id}") from refusal
            raise UsageError(
                f"The API knows no return {ref.return_id} of order {ref.order}.",
                "Check the three numbers: campaign, order, return.",
            ) from refusal
        await self._record(page.rows, list(page.unreadable))

    async def _list(self, dates: DateRange, *, order: int | None = None) -> bool:
        """List a range, or an order, again where returns moved between pages; return whether all could be read."""
        self._show(str(dates) if order is None else f"order {order}")
        self._unreadable = 0
        for number in range(MAX_PASSES):
            moved, found = await self._pass(dates, order)
            # What moved may have pushed a new return over a page's edge, even if this pass found nothing.
            if not moved or (number and not found):
                break
            log.info("store %s: returns moved between pages while they were read; listing again", self._store.title)
        return not self._unreadable

    async def _pass(self, dates: DateRange, order: int | None) -> tuple[int, int]:
        """List from the first page to the last; return how many returns moved meanwhile, how many photos are new."""
        moved = found = barren = restarts = 0
        token: str | None = None
        seen: set[int] = set()
        await self._begin_listing()
        while True:
            try:
                request = returns_request(self._store.campaign, *dates.padded(), token, order=order)
                page = await self._read(request, parse_listing)
            except Refusal as refusal:
                if isinstance(refusal, PageTokenLost):
                    await self._record_page(refusal.page)
                if refusal.reaction is not Reaction.RESTART_LISTING or token is None or restarts >= MAX_RESTARTS:
                    raise as_error(refusal, "the list of returns", of_store=True) from refusal
                token, seen, restarts = None, set(), restarts + 1
                await self._begin_listing()
                continue
            result = await self._record_page(page)
            moved, found = moved + result.repeated, found + result.photos
            barren = 0 if result.listed > result.repeated else barren + 1
            token = page.next_token
            if token is None:
                return moved, found
            if hash(token) in seen:
                raise self._in_circles("a page token came twice")
            if barren >= MAX_BARREN:
                raise self._in_circles(f"{barren} pages in a row brought nothing new")
            seen.add(hash(token))

    async def _begin_listing(self) -> None:
        self._listing = await self._store.catalog.do(self._store.catalog.returns.next_listing)

    async def _read(self, request: ApiRequest, parse: Callable[[bytes], T]) -> T:
        """Return one page, requested again after temporary refusals. Raises Refusal."""
        store = self._store

        async def read() -> T:
            return parse(await store.client.read(request, store.limits.admission(request.endpoint)))

        return await retrying(read, f"store {store.title}", store.rng)

    async def _record_page(self, page: Page[Any]) -> PageResult:
        returns, problems = read_returns(self._store.campaign, page.rows)
        return await self._record(returns, [*page.unreadable, *problems])

    async def _record(self, returns: list[Return], problems: list[str]) -> PageResult:
        """Record returns in the catalogue; log and count what could not be read."""
        store, counters = self._store, self._store.counters
        result = await store.catalog.do(store.catalog.returns.record_page, returns, self._listing)
        failpoints.point("page-recorded")
        counters.pages += 1
        counters.returns += result.listed
        counters.found += result.photos
        for problem in [*problems, *result.unreadable]:
            log.warning("store %s: cannot be read: %s", store.title, problem)
            self._unreadable += 1
            counters.unreadable += 1
            if len(counters.problems) < SHOWN_PROBLEMS:
                counters.problems.append(problem)
        if result.photos:
            self._new_photos()
        return result

    def _in_circles(self, why: str) -> ServerUnavailable:
        return ServerUnavailable(
            f"The list of returns goes in circles: {why}.",
            "A fault of the server. What was listed is kept; run the same command again later.",
        )

    def _show(self, dates: str) -> None:
        """Show what is being listed until the listing ends; a refresh shows only while there is no main listing."""
        if self._is_refresh:
            self._store.counters.refreshing = dates
        else:
            self._store.counters.listing = dates
