"""The values that each page shows. Everything here blocks; `site` calls it in threads."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web

from market_photos.archive.catalog.reader import KnownPhoto, KnownReturn, open_reader
from market_photos.browse import charts, files, runs
from market_photos.browse.index_refresher import IndexRefresher
from market_photos.browse.query import AWAITING_VALUE, TAGS, Query, parse
from market_photos.browse.stores import Stores, collect_troubles, place_of
from market_photos.browse.words import CHOICES, is_compact, own_address
from market_photos.clock import Clock
from market_photos.pages import Wording
from market_photos.record import AWAITING
from market_photos.reporting.awaiting import AwaitingReturn, awaiting_of, hours_left, most_urgent_first
from market_photos.settings import Limits

#: Returns per page, in cards and in the compact form; photos that a card shows; values that a filter offers.
PAGE_RETURNS = 24
COMPACT_RETURNS = 60
CARD_PHOTOS = 3
SHOWN_VALUES = 50
#: Returns on the page of those that await a decision.
SHOWN_AWAITING = 200
#: How a refundStatus is coloured; a decision of the seller's stands out by itself.
TONES = {
    "good": {"REFUNDED", "REFUNDED_BY_SHOP", "REFUNDED_WITH_BONUSES", "COMPLETE_WITHOUT_REFUND"},
    "bad": {"FAILED", "REJECTED", "CANCELLED", "PREMODERATION_DISPUTE"},
}


class Views:
    """The values of the pages of an archive."""

    def __init__(self, stores: Stores, index_refresher: IndexRefresher, limits: Limits, clock: Clock) -> None:
        self.stores = stores
        self._index_refresher = index_refresher
        self._limits = limits
        self._clock = clock

    def results(self, request: web.Request, words: Wording) -> dict[str, Any]:
        """Return the values of the list of returns."""
        query, compact = parse(request.query), is_compact(request)
        length = COMPACT_RETURNS if compact else PAGE_RETURNS
        page = self.stores.page(query, length)
        names = self.stores.names()
        newer = query.at()
        if query.after and page.returns:
            newer = self.stores.newer_page(query, place_of(page.returns[0]), length)
        return {
            "query": query,
            "page": page,
            "number": page.before // length + 1,
            "pages": max(1, -(-page.total // length)),
            "troubles": {**self._index_refresher.troubles, **page.troubles},
            "newer": query.address(after=newer.after) if query.after else "",
            "older": query.address(after=page.after) if page.after else "",
            "names": names,
            "choices": {name: _choices(name, query, page.values[name], words) for name in TAGS},
            "chosen": _chosen(query, words, names),
            "compact": compact,
            "flaw": self._flaw_in_lists(),
            "card_photos": CARD_PHOTOS,
            "forms": [(name, own_address(request.rel_url.update_query(view=name))) for name in CHOICES["view"]],
        }

    def awaiting(self, request: web.Request, words: Wording) -> dict[str, Any]:
        """Return the values of the page of returns that await the seller's decision, most urgent first."""
        troubles: dict[int, str] = {}
        found: list[AwaitingReturn] = []
        as_of: dict[int, int | None] = {}
        for campaign in self.stores.campaigns():
            with collect_troubles(troubles, campaign), open_reader(self.stores.archive, campaign) as reader:
                as_of[campaign] = reader.watermark()
                found += awaiting_of(reader, self._clock.now().wall, SHOWN_AWAITING)
        return {
            "returns": [one.return_.without_damage() for one in most_urgent_first(found)[:SHOWN_AWAITING]],
            "as_of": as_of,
            "names": self.stores.names(),
            "troubles": {**self._index_refresher.troubles, **troubles},
            "flaw": self._flaw_in_lists(),
            "card_photos": CARD_PHOTOS,
            "results": Query(refund=AWAITING_VALUE),
        }

    def awaiting_count(self) -> int:
        """Return how many returns await the seller's decision."""
        total = 0
        for campaign in self.stores.campaigns():
            with collect_troubles({}, campaign), open_reader(self.stores.archive, campaign) as reader:
                total += reader.awaiting_count()
        return total

    def runs(self, request: web.Request, words: Wording) -> dict[str, Any]:
        """Return the values of the page of runs."""
        found = runs.overview(self.stores, self._limits, self._clock)
        bars = charts.days(found.downloaded, found.today, 30)
        return {
            "overview": found,
            "bars": bars,
            "top": charts.top([bar.value for bar in bars]),
            "most": max(bar.value for bar in bars),
            "shares": charts.shares(found.reasons),
            "now": self._clock.now().wall,
        }

    def return_(self, request: web.Request, words: Wording) -> dict[str, Any]:
        """Return the values of a return's page."""
        return_ = self.find_return(request)
        return {
            "return_": return_,
            "flaw": files.Flaws(self.stores.source),
            "raw": json.dumps(return_.raw, ensure_ascii=False, indent=1),
            **self._way_back(request, return_, is_compact(request)),
        }

    def photo(self, request: web.Request, words: Wording) -> dict[str, Any]:
        """Return the values of a photo's page; with `check` in the address its file is hashed."""
        return_, photo = self.find_photo(request)
        place = return_.photos.index(photo)
        kind, is_same, is_checked = "", False, "check" in request.query
        opened = self.stores.open(photo)
        if opened:
            with opened:
                kind = files.kind_of(opened)
                is_same = is_checked and hashlib.file_digest(opened, "sha256").digest() == photo.sha256
        return {
            "results": parse(request.query),
            "return_": return_,
            "photo": photo,
            "place": place,
            "path": self.stores.address(photo) if opened else "",
            "flaw": files.Flaws(self.stores.source),
            "kind": kind,
            "is_shown": kind in files.SHOWN or kind == ".tiff",
            "is_checked": bool(opened and is_checked),
            "is_same": is_same,
            "decision": return_.record.decision_of(photo.key),
            "previous": return_.photos[place - 1] if place else None,
            "next": return_.photos[place + 1] if place + 1 < len(return_.photos) else None,
        }

    def _way_back(self, request: web.Request, return_: KnownReturn, compact: bool) -> dict[str, Any]:
        """Return the way back to the results that led here, and to the returns beside this one in them."""
        query = parse(request.query)
        position = self.stores.position(query, return_, COMPACT_RETURNS if compact else PAGE_RETURNS)
        is_awaiting = query == Query(refund=AWAITING_VALUE)
        back = "/awaiting" if is_awaiting else query.address(after=position.page_after)
        return {"results": query, "position": position, "back": f"{back}#r{return_.campaign}-{return_.row}"}

    def find_return(self, request: web.Request) -> KnownReturn:
        """Return the return of an address. Raises HTTPNotFound."""
        info = request.match_info
        found = self.stores.find_return(int(info["campaign"]), int(info["order"]), int(info["return_id"]))
        if found is None:
            raise web.HTTPNotFound
        return found

    def find_photo(self, request: web.Request) -> tuple[KnownReturn, KnownPhoto]:
        """Return a photo with its return. Raises HTTPNotFound."""
        return_ = self.find_return(request)
        for photo in return_.photos:
            if photo.stem == request.match_info["stem"]:
                return return_, photo
        raise web.HTTPNotFound

    def _flaw_in_lists(self) -> Callable[[KnownPhoto], str]:
        """Return what says how a photo of a list differs from what was archived; nothing where looking costs much."""
        source = self.stores.source
        return files.Flaws(source) if source.is_looked_at_cheaply else lambda photo: ""


def return_address(return_: KnownReturn, results: Query | None = None) -> str:
    """Return the address of a return's page, which leads back to these results."""
    path = f"/return/{return_.campaign}/{return_.order}/{return_.return_id}"
    return (results or Query()).address(path)


def photo_address(photo: KnownPhoto, page: str, results: Query | None = None) -> str:
    """Return the address of a photo's page, or of one of its pictures; `page` is the first word of the address."""
    path = f"/{page}/{photo.key.campaign}/{photo.key.order}/{photo.key.return_id}/{photo.stem}"
    return (results or Query()).address(path)


def tone(status: str) -> str:
    """Return the class of a refundStatus: `good`, `bad` or empty."""
    return next((name for name, statuses in TONES.items() if status in statuses), "")


def hours_to_decide(clock: Clock, return_: KnownReturn) -> float | None:
    """Return the hours left of the 48, an estimate; None unless a decision of the seller is awaited."""
    awaits = return_.record.refund_status in AWAITING
    return hours_left(return_.created_at, clock.now().wall) if awaits else None


def _choices(name: str, query: Query, counts: Counter[str], words: Wording) -> list[tuple[str, str]]:
    """Return the values of a filter with their labels, the most frequent first."""
    values = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:SHOWN_VALUES])
    values |= {value: counts[value] for value in [getattr(query, name)] if value}
    return [(value, f"{_label(name, value, words)} ({words.number(n)})") for value, n in values.items()]


def _label(name: str, value: str, words: Wording) -> str:
    section = "refund_filter" if (name, value) == ("refund", AWAITING_VALUE) else name
    return words.value(section, value)


def _chosen(query: Query, words: Wording, names: dict[int, str]) -> list[tuple[str, str]]:
    """Return the filters that are set, each with the address of the page without it."""
    found = [(f"«{query.q}»", query.address(q=""))] if query.q else []
    if query.store is not None:
        name = f"{query.store} {names.get(query.store, '')}".strip()
        found.append((f"{words('store')}: {name}", query.address(store=None)))
    for name, field in (("from", "first"), ("to", "last")):
        if day := getattr(query, field):
            without: dict[str, Any] = {field: None}
            found.append((f"{words(name)} {words.date(str(day))}", query.address(**without)))
    for name in TAGS:
        if value := getattr(query, name):
            found.append((f"{words(name)}: {_label(name, value, words)}", query.address(**{name: ""})))
    return found
