"""A listing records its pages in order, each once; two listings of a store do not disturb each other."""

import asyncio
import datetime as dt
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.errors import ServerUnavailable
from market_photos.market.requests import ApiRequest
from market_photos.model import ReturnRef
from market_photos.reporting.report import Counters
from market_photos.sync.listing import MAX_BARREN, Lister
from market_photos.sync.plan import Backfill, Nightly, OneReturn, Plan
from tests.records import page, record
from tests.unit.worlds import CAMPAIGN, ToldClock

#: Returns on a page.
SIZE = 3
SERVER = 1_795_000_000
DAY = 86_400


def body(number: int, following: str | None) -> bytes:
    return page([record(number * SIZE + one, 1) for one in range(SIZE)], following)


class Pages:
    """A client with ready pages, which records when each was requested."""

    def __init__(self, *following: str | None) -> None:
        self._following = following
        self.asked = asyncio.Event()
        self.tokens: list[str | None] = []
        self.change: Callable[[bytes], bytes] = lambda content: content
        self.first_days: list[str | None] = []
        self.on_read: Callable[[], None] = lambda: None

    async def read(self, ask: ApiRequest, admission: object) -> bytes:
        self.tokens.append(dict(ask.query).get("pageToken"))
        self.first_days.append(dict(ask.query).get("fromDate"))
        self.on_read()
        self.asked.set()
        number = len(self.tokens) - 1
        return self.change(body(number, self._following[number]))


def with_depth(content: bytes, levels: int) -> bytes:
    """The body with a list of so many levels in its first record."""
    name = b'"orderId":'
    return content.replace(name, b'"deep":' + b"[" * levels + b"]" * levels + b"," + name, 1)


def a_store(catalog: Catalog, client: Any, clock: ToldClock) -> Any:
    """The part of a store that a lister needs."""
    return SimpleNamespace(
        campaign=CAMPAIGN,
        title="7",
        catalog=catalog,
        client=client,
        clock=clock,
        rng=Random(1),
        counters=Counters(),
        started_at=clock.now().wall,
        settings=SimpleNamespace(sync=SimpleNamespace(overlap_days=3, first_sync_from=None)),
        limits=SimpleNamespace(admission=lambda _: None),
    )


async def listed(store: Any, plan: Plan) -> None:
    await Lister(store, lambda: None).run(plan)


@pytest.fixture
def catalog(tmp_path: Path) -> Any:
    with Catalog(tmp_path, CAMPAIGN, ToldClock()) as catalog:
        yield catalog


@pytest.mark.parametrize(
    ("known", "server", "first_day", "moved_to"),
    [
        (SERVER - DAY, SERVER, "2026-11-13", SERVER),  # three days' overlap and one for time zones
        (SERVER + 9 * DAY, SERVER, None, SERVER),  # set by a clock that was ahead: all is listed, and it is mended
        (SERVER - DAY, None, "2026-11-13", SERVER - DAY),  # not told: it stays
        (None, None, None, None),
    ],
)
async def test_the_watermark_follows_the_servers_clock(
    catalog: Catalog, known: float | None, server: float | None, first_day: str | None, moved_to: float | None
) -> None:
    """The wall clock of this machine has no influence."""
    if known is not None:
        catalog.returns.move_watermark(known)
    client = Pages(None)
    await listed(a_store(catalog, client, ToldClock(wall=SERVER + 400 * DAY, server=server)), Nightly(full=False))
    assert client.first_days == [first_day]
    assert catalog.returns.watermark() == moved_to


async def test_a_watermark_found_to_be_ahead_lists_the_days_before_it_again(catalog: Catalog) -> None:
    """The server's time became known only with the answers of the listing itself."""
    catalog.returns.move_watermark(SERVER + 9 * DAY)
    clock = ToldClock()
    client = Pages(None, None)
    client.on_read = lambda: setattr(clock, "server", SERVER)
    await listed(a_store(catalog, client, clock), Nightly(full=False))
    assert client.first_days == ["2026-11-23", None]
    assert catalog.returns.watermark() == SERVER


@pytest.mark.parametrize(("server", "is_finished"), [(SERVER, False), (SERVER + 13 * DAY, True), (None, False)])
async def test_a_window_is_finished_by_the_servers_clock(
    catalog: Catalog, server: float | None, is_finished: bool
) -> None:
    """A window that was finished by a clock that was ahead is listed again."""
    november = dt.date(2026, 11, 1), dt.date(2026, 11, 30)
    clock = ToldClock(wall=SERVER + 400 * DAY, server=server)
    for runs in (1, 2):
        client = Pages(None)
        await listed(a_store(catalog, client, clock), Backfill(*november))
        assert len(client.tokens) == (0 if is_finished and runs == 2 else 1)
        clock.pass_time(1)


async def test_a_listing_in_circles_keeps_what_it_brought(catalog: Catalog) -> None:
    """A repeated token ends it; the page with that token is recorded, and the watermark stays."""
    store = a_store(catalog, Pages("two", "three", "two", None), ToldClock(server=SERVER))
    with pytest.raises(ServerUnavailable, match="in circles"):
        await listed(store, Nightly(full=True))
    assert store.counters.pages == 3
    assert catalog.photos.tally()[State.PENDING].photos == 3 * SIZE
    assert catalog.returns.watermark() is None


@pytest.mark.parametrize(
    ("levels", "is_kept"),
    [
        (499, True),
        (500, False),
        (700, False),
        (999, False),
        (1300, False),
        (1599, False),
        (9997, False),
        (200_000, False),
    ],
)
async def test_a_record_that_is_too_deep_spoils_only_itself(catalog: Catalog, levels: int, is_kept: bool) -> None:
    """At the same depth on every interpreter: it is named, its neighbours are kept, the listing is not complete."""
    client = Pages(None)
    client.change = lambda content: with_depth(content, levels)
    store = a_store(catalog, client, ToldClock(server=SERVER))
    await listed(store, Nightly(full=True))
    assert (store.counters.returns, store.counters.unreadable) == ((SIZE, 0) if is_kept else (SIZE - 1, 1))
    assert is_kept or "its record is nested more than 500 levels deep" in store.counters.problems[0]
    assert is_kept or catalog.returns.watermark() is None


@pytest.mark.parametrize(("levels", "is_kept"), [(499, True), (1300, False), (9997, False)])
async def test_a_single_return_that_is_too_deep_is_named(catalog: Catalog, levels: int, is_kept: bool) -> None:
    """`fetch` of that return names it as well."""
    client = Pages(None)
    client.change = lambda _: with_depth(json.dumps({"result": record(1, 1)}, separators=(",", ":")).encode(), levels)
    store = a_store(catalog, client, ToldClock())
    await listed(store, OneReturn(ReturnRef(1, 1)))
    assert (store.counters.returns, store.counters.unreadable) == ((1, 0) if is_kept else (0, 1))
    assert is_kept or "nested more than 500 levels deep" in store.counters.problems[0]


class Endless(Pages):
    """The same page for ever, or an empty one, each time with another token."""

    async def read(self, ask: ApiRequest, admission: object) -> bytes:
        self.tokens.append(dict(ask.query).get("pageToken"))
        return self.change(body(0, f"token {len(self.tokens)}"))


@pytest.mark.parametrize("rows", [0, SIZE])
async def test_ever_new_tokens_without_new_returns_end_the_listing(catalog: Catalog, rows: int) -> None:
    """What was listed is kept, the watermark stays, and the pages are bounded."""
    client = Endless()
    if not rows:
        client.change = lambda content: page([], json.loads(content)["result"]["paging"]["nextPageToken"])
    store = a_store(catalog, client, ToldClock())
    with pytest.raises(ServerUnavailable, match="nothing new"):
        await listed(store, Nightly(full=True))
    assert len(client.tokens) <= MAX_BARREN + 2
    assert catalog.photos.tally()[State.PENDING].photos == rows
    assert catalog.returns.watermark() is None


async def test_a_long_listing_with_gaps_is_not_cut(catalog: Catalog) -> None:
    """Empty pages, fewer in a row than the bound, do not end it, however many there are in all."""
    following = [f"token {number}" for number in range(3 * (MAX_BARREN // 2))]
    client = Pages(*following, None)
    client.change = lambda content: content if len(client.tokens) % 200 == 0 else without_rows(content)
    store = a_store(catalog, client, ToldClock())
    await listed(store, Nightly(full=True))
    assert store.counters.pages == len(following) + 1


def without_rows(content: bytes) -> bytes:
    return page([], json.loads(content)["result"].get("paging", {}).get("nextPageToken"))


class Windows:
    """A client that serves one page for each range of dates, and runs `meanwhile` before it answers."""

    def __init__(self, pages: dict[str | None, bytes]) -> None:
        self._pages = pages
        self.asked: list[str | None] = []
        self.meanwhile: Callable[[str | None], Awaitable[None]] | None = None

    async def read(self, ask: ApiRequest, admission: object) -> bytes:
        first_day = dict(ask.query).get("fromDate")
        self.asked.append(first_day)
        if self.meanwhile:
            await self.meanwhile(first_day)
        return self._pages[first_day]


async def test_a_refresh_beside_a_main_listing_lists_nothing_twice(catalog: Catalog) -> None:
    """Each listing has its own number, so a return that the other has listed does not count as moved."""
    returns = page([record(number, 1) for number in range(SIZE)], None)
    client = Windows({"2026-10-31": returns, "2026-11-13": returns})
    catalog.returns.move_watermark(SERVER - DAY)
    store = a_store(catalog, client, ToldClock(server=SERVER))

    async def refresh_first(first_day: str | None) -> None:
        if first_day == "2026-10-31":
            await Lister(store, lambda: None, is_refresh=True).refresh()

    client.meanwhile = refresh_first
    await listed(store, Backfill(dt.date(2026, 11, 1), dt.date(2026, 11, 12)))
    assert client.asked == ["2026-10-31", "2026-11-13"]


async def test_an_unreadable_record_leaves_only_its_own_window_unfinished(catalog: Catalog) -> None:
    """Neither the next window nor the listing beside a refresh inherits the count."""
    good, bad = page([record(1, 1)], None), page([{"id": "odd"}], None)
    client = Windows({"2026-09-30": bad, "2026-08-31": good, "2026-11-13": bad})
    catalog.returns.move_watermark(SERVER - DAY)
    store = a_store(catalog, client, ToldClock(server=SERVER))

    async def refresh_during_september(first_day: str | None) -> None:
        if first_day == "2026-08-31":
            await Lister(store, lambda: None, is_refresh=True).refresh()

    client.meanwhile = refresh_during_september
    await listed(store, Backfill(dt.date(2026, 9, 1), dt.date(2026, 10, 31)))
    assert catalog.returns.finished_windows() == {("2026-09-01", "2026-09-30")}
    assert store.counters.unreadable == 2
    assert catalog.returns.watermark() == SERVER - DAY


async def test_progress_shows_the_main_listing_while_a_refresh_lists(catalog: Catalog) -> None:
    """A refresh shows its dates apart from those of the main listing, and leaves them alone."""
    catalog.returns.move_watermark(SERVER - DAY)
    client = Windows({None: page([], None), "2026-11-13": page([], None)})
    store = a_store(catalog, client, ToldClock(server=SERVER))
    shown: list[tuple[str, str]] = []

    async def look(first_day: str | None) -> None:
        if first_day is None:
            await Lister(store, lambda: None, is_refresh=True).refresh()
        shown.append((store.counters.listing, store.counters.refreshing))

    client.meanwhile = look
    await listed(store, Nightly(full=True))
    main = "the beginning to now"
    assert shown == [(main, "2026-11-14 to now"), (main, "")]
    assert store.counters.listing == ""
