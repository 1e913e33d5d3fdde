"""Handle requests for pages and photos: read in a thread, rendered in the reader's language."""

import asyncio
import contextlib
import json
import logging
import time
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
from market_photos.browse.words import choose
from market_photos.clock import Clock
from market_photos.pages import LANGUAGES, Wording, templates
from market_photos.settings import Limits

log = logging.getLogger(__name__)
T = TypeVar("T")
#: Returns per page, and photos that the card of a return shows.
PAGE_RETURNS = 24
CARD_PHOTOS = 8
STATIC = Path(__file__).parent / "static"
ROOM = "market_photos.browse"
LANGUAGE_COOKIE = "market_photos_lang"
_YEAR = 365 * 86_400


class Site:
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
        self._readers.shutdown(cancel_futures=True)
        self._painters.shutdown(cancel_futures=True)

    def routes(self) -> list[web.RouteDef]:
        one = "/{campaign:[0-9]{1,19}}/{order:[0-9]{1,19}}/{return_id:[0-9]{1,19}}"
        stem = f"{one}/{{stem:[A-Za-z0-9_~-]{{1,255}}}}"
        return [
            web.get("/", self.home),
            web.get("/runs", self.runs),
            web.get(f"/return{one}", self.a_return),
            web.get(f"/photo{stem}", self.photo),
            web.get(f"/thumb{stem}", self.thumb),
            web.get(f"/large{stem}", self.large),
            web.get(f"/file{stem}", self.file),
        ]

    async def home(self, request: web.Request) -> web.Response:
        query = parse(request.query)
        return await self._page(request, "home.html", lambda words: self._home(query, words), query=query)

    def _home(self, query: Query, words: Wording) -> dict[str, Any]:
        page = self.stores.page(query, PAGE_RETURNS)
        names = self.stores.names()
        return {
            "page": page,
            "troubles": {**self.index_refresher.troubles, **page.troubles},
            "older": query.address(after=page.after) if page.after else "",
            "names": names,
            "choices": {name: self._choices(name, query, words) for name in TAGS},
            "chosen": _chosen(query, words, names),
            "most": CARD_PHOTOS,
        }

    def _choices(self, name: str, query: Query, words: Wording) -> list[tuple[str, str]]:
        """Return the values of a filter with their labels."""
        found = self.stores.values(TAGS[name], query.store)
        if (chosen := getattr(query, name)) and chosen not in found:
            found[chosen] = 0
        return [(value, f"{words.value(name, value)} ({words.number(n)})") for value, n in found.items()]

    async def runs(self, request: web.Request) -> web.Response:
        return await self._page(request, "runs.html", lambda words: self._runs())

    def _runs(self) -> dict[str, Any]:
        found = runs.overview(self.stores, self._limits, self._clock)
        bars = charts.days(found.fetched, found.today, 30)
        return {
            "overview": found,
            "bars": bars,
            "top": charts.top([bar.value for bar in bars]),
            "most": max(bar.value for bar in bars),
            "shares": charts.shares(found.reasons),
            "now": self._clock.now().wall,
            "period_hours": self._limits.period_seconds / 3600,
        }

    async def a_return(self, request: web.Request) -> web.Response:
        def found(words: Wording) -> dict[str, Any]:
            back = self._return(request)
            return {"back": back, "raw": json.dumps(back.raw, ensure_ascii=False, indent=1)}

        return await self._page(request, "return.html", found)

    async def photo(self, request: web.Request) -> web.Response:
        def found(words: Wording) -> dict[str, Any]:
            back, photo = self._photo(request)
            place = back.photos.index(photo)
            path = files.find(self.stores.folder(photo.key.campaign), photo)
            kind = files.kind_of(path) if path else ""
            return {
                "back": back,
                "photo": photo,
                "place": place,
                "path": path,
                "kind": kind,
                "is_shown": kind in files.SHOWN or kind == ".tiff",
                "decision": back.record.decision_of(photo.key),
                "previous": back.photos[place - 1] if place else None,
                "next": back.photos[place + 1] if place + 1 < len(back.photos) else None,
            }

        return await self._page(request, "photo.html", found)

    async def thumb(self, request: web.Request) -> web.StreamResponse:
        return await self._picture(request, thumbs.THUMB)

    async def large(self, request: web.Request) -> web.StreamResponse:
        return await self._picture(request, thumbs.LARGE)

    async def _picture(self, request: web.Request, edge: int) -> web.StreamResponse:
        def found() -> tuple[Path, Path | None, KnownPhoto]:
            _, photo = self._photo(request)
            campaign = photo.key.campaign
            return self.stores.views(campaign), files.find(self.stores.folder(campaign), photo), photo

        folder, path, photo = await self._read(found)
        if path is None:
            return web.FileResponse(STATIC / "missing.svg")
        try:
            return await self._drawn(folder, path, photo, edge)
        except (thumbs.Unshowable, OSError) as error:
            log.info("no picture of %s: %s", photo.key, error)
            return self._undrawn(request)

    async def _drawn(self, folder: Path, path: Path, photo: KnownPhoto, edge: int) -> web.StreamResponse:
        """Return a preview. A stored one is returned at once; of one photo, one preview is drawn at a time."""
        with contextlib.suppress(thumbs.NotDrawn):
            return await self._read(partial(files.small, self._thumbnails.kept, folder, path, photo, edge))
        async with self._drawing.setdefault(path, asyncio.Lock()):
            draw = partial(files.small, self._thumbnails.make, folder, path, photo, edge)
            return await asyncio.get_running_loop().run_in_executor(self._painters, draw)

    def _undrawn(self, request: web.Request) -> web.Response:
        text = self._templates.get_template("undrawn.svg").render(w=language_of(request))
        return web.Response(text=text, content_type="image/svg+xml", headers={"Content-Security-Policy": FILE_CSP})

    async def file(self, request: web.Request) -> web.StreamResponse:
        def found() -> web.StreamResponse:
            _, photo = self._photo(request)
            path = files.find(self.stores.folder(photo.key.campaign), photo)
            if path is None:
                raise web.HTTPNotFound
            return files.original(path, photo, download="download" in request.query)

        return await self._read(found)

    def _return(self, request: web.Request) -> KnownReturn:
        info = request.match_info
        found = self.stores.find_return(int(info["campaign"]), int(info["order"]), int(info["return_id"]))
        if found is None:
            raise web.HTTPNotFound
        return found

    def _photo(self, request: web.Request) -> tuple[KnownReturn, KnownPhoto]:
        back = self._return(request)
        photo = next((photo for photo in back.photos if photo.stem == request.match_info["stem"]), None)
        if photo is None:
            raise web.HTTPNotFound
        return back, photo

    async def _read(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, function)

    async def _page(
        self, request: web.Request, template: str, found: Callable[[Wording], dict[str, Any]], **values: Any
    ) -> web.Response:
        began = time.perf_counter()
        words = language_of(request)

        def written() -> str:
            return self.render(template, words, request, **values, **found(words))

        response = web.Response(text=await self._read(written), content_type="text/html")
        response.headers["Server-Timing"] = f"page;dur={(time.perf_counter() - began) * 1000:.1f}"
        remember_language(request, response)
        return response

    def render(self, template: str, words: Wording, request: web.Request, **values: Any) -> str:
        known = {"query": Query(), "w": words, "indexing": self.index_refresher.progress(), "here": request.path}
        languages = [(one, own_address(request.rel_url.update_query(lang=one))) for one in LANGUAGES]
        return self._templates.get_template(template).render({**known, "languages": languages, **values})


def own_address(url: URL) -> str:
    """Return the path and query of a request as a link, without a leading `//`, which would name another host."""
    return "/" + str(url).lstrip("/")


def _chosen(query: Query, words: Wording, names: dict[int, str]) -> list[tuple[str, str]]:
    """Return the filters that are set, each with the address of the page without it."""
    found = [(f"«{query.q}»", query.address(q=""))] if query.q else []
    if query.store is not None:
        name = f"{query.store} {names.get(query.store, '')}".strip()
        found.append((f"{words('store')}: {name}", query.address(store=None)))
    for name, field in (("from", "first"), ("to", "last")):
        if day := getattr(query, field):
            found.append((f"{words(name)} {day}", query.address(**{field: None})))
    for name in TAGS:
        if value := getattr(query, name):
            found.append((f"{words(name)}: {words.value(name, value)}", query.address(**{name: ""})))
    return found


def language_of(request: web.Request) -> Wording:
    """Return the wording in the language of the request."""
    asked = request.query.get("lang", "")
    cookie = request.cookies.get(LANGUAGE_COOKIE, "")
    return Wording(choose(asked, cookie, request.headers.get("Accept-Language", "")), ROOM)


def remember_language(request: web.Request, response: web.Response) -> None:
    """Set a cookie if the request chose a language."""
    if (asked := request.query.get("lang")) in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, str(asked), max_age=_YEAR, httponly=True, samesite="Strict")
