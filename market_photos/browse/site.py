"""Handle requests for pages and photos. Files and catalogues are read in threads."""

import asyncio
import contextlib
import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from aiohttp import web
from yarl import URL

from market_photos.archive.catalog.reader import KnownPhoto, KnownReturn
from market_photos.browse import charts, files, runs, thumbs
from market_photos.browse.index_refresher import IndexRefresher
from market_photos.browse.query import TAGS, Query, parse
from market_photos.browse.security import FILE_CSP
from market_photos.browse.stores import Stores, photo_address, return_address
from market_photos.browse.words import language_of, remember_language
from market_photos.clock import Clock
from market_photos.pages import LANGUAGES, Wording, templates
from market_photos.settings import Limits

log = logging.getLogger(__name__)
T = TypeVar("T")
#: Returns per page, and photos that the card of a return shows.
PAGE_RETURNS = 24
CARD_PHOTOS = 8
#: Values that a filter offers.
CHOICES = 50
STATIC = Path(__file__).parent / "static"
ROOM = "market_photos.browse"


class Site:
    """The pages of an archive, and the threads that read and draw for them."""

    def __init__(self, stores: Stores, index_refresher: IndexRefresher, limits: Limits, clock: Clock) -> None:
        self.stores = stores
        self.index_refresher = index_refresher
        self._limits = limits
        self._clock = clock
        self._readers = ThreadPoolExecutor(4, thread_name_prefix="browse-read")
        self._painters = ThreadPoolExecutor(2, thread_name_prefix="browse-thumbs")
        self._thumbnails = thumbs.Thumbnails()
        self._drawing: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()
        self._templates = templates(ROOM)
        self._templates.globals |= {
            "TAGS": list(TAGS),
            "return_address": return_address,
            "photo_address": photo_address,
        }
        for name in self._templates.list_templates():
            self._templates.get_template(name)  # compile now, not during the first request

    def close(self) -> None:
        """Wait for the threads, without starting what is queued."""
        self._readers.shutdown(cancel_futures=True)
        self._painters.shutdown(cancel_futures=True)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of pages, previews and photos."""
        ids = "/{campaign:[0-9]{1,19}}/{order:[0-9]{1,19}}/{return_id:[0-9]{1,19}}"
        photo = f"{ids}/{{stem:[A-Za-z0-9_~-]{{1,255}}}}"
        pages = (
            ("/", "home.html", self._home),
            ("/runs", "runs.html", self._runs),
            (f"/return{ids}", "return.html", self._return),
            (f"/photo{photo}", "photo.html", self._photo),
        )
        return [
            *(web.get(path, partial(self._page, template=name, values=values)) for path, name, values in pages),
            web.get(f"/thumb{photo}", partial(self._preview, edge=thumbs.THUMB)),
            web.get(f"/large{photo}", partial(self._preview, edge=thumbs.LARGE)),
            web.get(f"/file{photo}", self._file),
        ]

    def _home(self, request: web.Request, words: Wording) -> dict[str, Any]:
        query = parse(request.query)
        page = self.stores.page(query, PAGE_RETURNS)
        names = self.stores.names()
        return {
            "query": query,
            "page": page,
            "troubles": {**self.index_refresher.troubles, **page.troubles},
            "older": query.address(after=page.after) if page.after else "",
            "names": names,
            "choices": {name: _choices(name, query, page.values[name], words) for name in TAGS},
            "chosen": _chosen(query, words, names),
            "card_photos": CARD_PHOTOS,
        }

    def _runs(self, request: web.Request, words: Wording) -> dict[str, Any]:
        found = runs.overview(self.stores, self._limits, self._clock)
        bars = charts.days(found.downloaded, found.today, 30)
        return {
            "overview": found,
            "bars": bars,
            "top": charts.top([bar.value for bar in bars]),
            "most": max(bar.value for bar in bars),
            "shares": charts.shares(found.reasons),
            "now": self._clock.now().wall,
            "period_hours": self._limits.period_seconds / 3600,
        }

    def _return(self, request: web.Request, words: Wording) -> dict[str, Any]:
        return_ = self._find_return(request)
        return {"return_": return_, "raw": json.dumps(return_.raw, ensure_ascii=False, indent=1)}

    def _photo(self, request: web.Request, words: Wording) -> dict[str, Any]:
        return_, photo, path = self._find_photo(request)
        place = return_.photos.index(photo)
        kind = files.kind_of(path) if path else ""
        return {
            "return_": return_,
            "photo": photo,
            "place": place,
            "path": path,
            "kind": kind,
            "is_shown": kind in files.SHOWN or kind == ".tiff",
            "decision": return_.record.decision_of(photo.key),
            "previous": return_.photos[place - 1] if place else None,
            "next": return_.photos[place + 1] if place + 1 < len(return_.photos) else None,
        }

    async def _preview(self, request: web.Request, edge: int) -> web.StreamResponse:
        _, photo, path = await self._read(partial(self._find_photo, request))
        if path is None:
            return web.FileResponse(STATIC / "missing.svg")
        try:
            return await self._drawn(path, photo, edge)
        except (thumbs.Unshowable, OSError) as error:
            log.info("no preview of %s: %s", photo.key, error)
            text = self._templates.get_template("undrawn.svg").render(w=language_of(request))
            headers = {"Content-Security-Policy": FILE_CSP}
            return web.Response(text=text, content_type="image/svg+xml", headers=headers)

    async def _drawn(self, path: Path, photo: KnownPhoto, edge: int) -> web.StreamResponse:
        """Return a preview. One that exists does not wait for others; previews of one photo are drawn in turn."""
        folder = self.stores.views(photo.key.campaign)
        with contextlib.suppress(thumbs.NotDrawn):
            return await self._read(partial(files.preview, self._thumbnails.kept, folder, path, photo, edge))
        async with self._drawing.setdefault(path, asyncio.Lock()):
            draw = partial(files.preview, self._thumbnails.make, folder, path, photo, edge)
            return await asyncio.get_running_loop().run_in_executor(self._painters, draw)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        _, photo, path = await self._read(partial(self._find_photo, request))
        if path is None:
            raise web.HTTPNotFound
        return await self._read(partial(files.original, path, photo, download="download" in request.query))

    def _find_return(self, request: web.Request) -> KnownReturn:
        info = request.match_info
        found = self.stores.find_return(int(info["campaign"]), int(info["order"]), int(info["return_id"]))
        if found is None:
            raise web.HTTPNotFound
        return found

    def _find_photo(self, request: web.Request) -> tuple[KnownReturn, KnownPhoto, Path | None]:
        """Return a photo with its return and its path, which is None if there is no such file."""
        return_ = self._find_return(request)
        for photo in return_.photos:
            if photo.stem == request.match_info["stem"]:
                return return_, photo, files.find(self.stores.folder(return_.campaign), photo)
        raise web.HTTPNotFound

    async def _read(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, function)

    async def _page(
        self, request: web.Request, template: str, values: Callable[[web.Request, Wording], dict[str, Any]]
    ) -> web.Response:
        """Return a page. Its values are read and it is rendered in a thread."""
        began = time.perf_counter()
        words = language_of(request)
        text = await self._read(lambda: self.render(template, words, request, **values(request, words)))
        response = web.Response(text=text, content_type="text/html")
        response.headers["Server-Timing"] = f"page;dur={(time.perf_counter() - began) * 1000:.1f}"
        remember_language(request, response)
        return response

    def render(self, template: str, words: Wording, request: web.Request, **values: Any) -> str:
        """Return the text of a page. `values` replace those that every page has."""
        every_page = {
            "query": Query(),
            "w": words,
            "indexing": self.index_refresher.progress(),
            "here": request.path,
            "languages": [(name, own_address(request.rel_url.update_query(lang=name))) for name in LANGUAGES],
        }
        return self._templates.get_template(template).render(every_page | values)


def own_address(url: URL) -> str:
    """Return the path and query of a request as a link, without a leading `//`, which would name another host."""
    return "/" + str(url).lstrip("/")


def _choices(name: str, query: Query, counts: Counter[str], words: Wording) -> list[tuple[str, str]]:
    """Return the values of a filter with their labels, the most frequent first."""
    values = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:CHOICES])
    values |= {value: counts[value] for value in [getattr(query, name)] if value}
    return [(value, f"{words.value(name, value)} ({words.number(n)})") for value, n in values.items()]


def _chosen(query: Query, words: Wording, names: dict[int, str]) -> list[tuple[str, str]]:
    """Return the filters that are set, each with the address of the page without it."""
    found = [(f"«{query.q}»", query.address(q=""))] if query.q else []
    if query.store is not None:
        name = f"{query.store} {names.get(query.store, '')}".strip()
        found.append((f"{words('store')}: {name}", query.address(store=None)))
    for name, field in (("from", "first"), ("to", "last")):
        if day := getattr(query, field):
            without: dict[str, Any] = {field: None}
            found.append((f"{words(name)} {day}", query.address(**without)))
    for name in TAGS:
        if value := getattr(query, name):
            found.append((f"{words(name)}: {words.value(name, value)}", query.address(**{name: ""})))
    return found
