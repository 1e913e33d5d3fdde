"""Handle requests for pages, photos and zips. Files and catalogues are read in threads."""

import asyncio
import contextlib
import logging
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from weakref import WeakValueDictionary

from aiohttp import web

from market_photos.archive.catalog.reader import KnownPhoto
from market_photos.archive.files import Opened
from market_photos.browse import downloads, files, thumbs, views
from market_photos.browse.file_stream import FileStream, close_in
from market_photos.browse.index_refresher import IndexRefresher
from market_photos.browse.query import RESULTS, TAGS, Query
from market_photos.browse.security import FILE_CSP
from market_photos.browse.stores import Stores
from market_photos.browse.views import Views
from market_photos.browse.words import language_of, own_address, remember_choices
from market_photos.clock import Clock
from market_photos.draw import Unshowable
from market_photos.pages import LANGUAGES, Wording, templates
from market_photos.settings import Limits

log = logging.getLogger(__name__)
T = TypeVar("T")
STATIC = Path(__file__).parent / "static"
ROOM = "market_photos.browse"
#: Threads for what is read of photos: in a bucket that may take long, and no list waits for it.
FILE_THREADS = 8


class Site:
    """The pages of an archive, and the threads that read and draw for them."""

    def __init__(self, stores: Stores, index_refresher: IndexRefresher, limits: Limits, clock: Clock) -> None:
        self.stores = stores
        self.index_refresher = index_refresher
        self._views = Views(stores, index_refresher, limits, clock)
        self._clock = clock
        self._readers = ThreadPoolExecutor(4, thread_name_prefix="browse-read")
        self._files = ThreadPoolExecutor(FILE_THREADS, thread_name_prefix="browse-file")
        self._painters = ThreadPoolExecutor(2, thread_name_prefix="browse-thumbs")
        self._thumbnails = thumbs.Thumbnails()
        self._drawing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._templates = templates(ROOM)
        self._templates.globals |= {
            "TAGS": list(TAGS),
            "RESULTS": RESULTS,
            "return_address": views.return_address,
            "photo_address": views.photo_address,
            "tone": views.tone,
            "hours_to_decide": partial(views.hours_to_decide, clock),
        }
        for name in self._templates.list_templates():
            self._templates.get_template(name)  # compile now, not during the first request

    def close(self) -> None:
        """Wait for the threads, without starting what is queued."""
        for threads in (self._readers, self._files, self._painters):
            threads.shutdown(cancel_futures=True)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of pages, previews, photos and zips."""
        ids = "/{campaign:[0-9]{1,19}}/{order:[0-9]{1,19}}/{return_id:[0-9]{1,19}}"
        photo = f"{ids}/{{stem:[A-Za-z0-9_~-]{{1,255}}}}"
        pages = (
            ("/awaiting", "awaiting.html", self._views.awaiting, self._readers),
            (RESULTS, "results.html", self._views.results, self._readers),
            ("/runs", "runs.html", self._views.runs, self._readers),
            (f"/return{ids}", "return.html", self._views.return_, self._files),
            (f"/photo{photo}", "photo.html", self._views.photo, self._files),
        )
        return [
            web.get("/", self._start),
            *(
                web.get(path, partial(self._page, template=name, values=values, threads=threads))
                for path, name, values, threads in pages
            ),
            web.get(f"/thumb{photo}", partial(self._preview, edge=thumbs.THUMB)),
            web.get(f"/large{photo}", partial(self._preview, edge=thumbs.LARGE)),
            web.get(f"/file{photo}", self._file),
            web.get(f"/pack{ids}", self._pack),
            web.get(f"/photos{ids}", self._photos),
        ]

    async def _start(self, request: web.Request) -> web.StreamResponse:
        """Lead to the returns that await a decision if there are some, else to the newest returns."""
        count = 0 if request.query else await self._read(self._views.awaiting_count)
        address = "/awaiting" if count else own_address(request.rel_url.with_path(RESULTS, keep_query=True))
        response = web.Response(status=302, headers={"Location": address})
        remember_choices(request, response)
        return response

    async def _preview(self, request: web.Request, edge: int) -> web.StreamResponse:
        _, photo = await self._read(partial(self._views.find_photo, request))
        kept = thumbs.cached(self.stores.views(photo.key.campaign), photo.sha256.hex(), edge)
        is_kept = await self._read(kept.exists)
        if photo.path and is_kept:
            return files.picture(kept)
        try:
            opened = await self._read_file(partial(self.stores.open, photo))
            if opened is None:
                return web.FileResponse(STATIC / "missing.svg")
            return await self._drawn(request, opened, photo, edge)
        except (Unshowable, OSError) as error:
            log.info("no preview of %s: %s", photo.key, error)
            text = self._templates.get_template("undrawn.svg").render(w=language_of(request))
            headers = {"Content-Security-Policy": FILE_CSP}
            return web.Response(text=text, content_type="image/svg+xml", headers=headers)

    async def _drawn(self, request: web.Request, opened: Opened, photo: KnownPhoto, edge: int) -> web.StreamResponse:
        """Return a preview. One that exists does not wait for others; previews of one photo are drawn in turn."""
        folder, digest = self.stores.views(photo.key.campaign), photo.sha256.hex()
        with contextlib.ExitStack() as closing:
            closing.callback(close_in, self._files, opened.close)
            try:
                made = await self._read_file(
                    partial(files.preview, self._thumbnails.kept, folder, opened, photo, edge)
                )
            except thumbs.NotDrawn:
                draw = partial(files.preview, self._thumbnails.make, folder, opened, photo, edge)
                async with self._drawing.setdefault(digest, asyncio.Lock()):
                    made = await asyncio.get_running_loop().run_in_executor(self._painters, draw)
            if made is not None:
                return files.picture(made)
            closing.pop_all()
        return await self._original(request, opened, photo)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        _, photo = await self._read(partial(self._views.find_photo, request))
        opened = await self._read_file(partial(self.stores.open, photo))
        if opened is None:
            raise web.HTTPNotFound
        return await self._original(request, opened, photo)

    async def _original(self, request: web.Request, opened: Opened, photo: KnownPhoto) -> web.StreamResponse:
        return await self._read_file(partial(files.original, request, opened, photo, self._files))

    async def _pack(self, request: web.Request) -> web.StreamResponse:
        """Return the pack of evidence of a return."""
        return_ = await self._read(partial(self._views.find_return, request))
        values = (self.stores.source, return_, language_of(request).language, self._clock.now().wall)
        name = f"evidence-{return_.order}-{return_.return_id}.zip"
        return await self._zip(lambda file: downloads.pack(file, *values), name)

    async def _photos(self, request: web.Request) -> web.StreamResponse:
        """Return all photos of a return."""
        return_ = await self._read(partial(self._views.find_return, request))
        name = f"photos-{return_.order}-{return_.return_id}.zip"
        return await self._zip(lambda file: downloads.photos(file, self.stores.source, return_), name)

    async def _zip(self, write: Callable[[BinaryIO], None], name: str) -> web.StreamResponse:
        headers = {"Content-Type": "application/zip", "Content-Disposition": f'attachment; filename="{name}"'}
        with contextlib.ExitStack() as closing:
            file = closing.enter_context(tempfile.TemporaryFile())
            await self._read_file(lambda: write(file))
            size = file.seek(0, 2)
            file.seek(0)
            closing.pop_all()
        return FileStream(file, size, self._files, headers=headers)

    async def _read(self, function: Callable[[], T]) -> T:
        """Read from this machine."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, function)

    async def _read_file(self, function: Callable[[], T]) -> T:
        """Read a photo, which may be in a bucket."""
        return await asyncio.get_running_loop().run_in_executor(self._files, function)

    async def _page(
        self,
        request: web.Request,
        template: str,
        values: Callable[[web.Request, Wording], dict[str, Any]],
        threads: Executor,
    ) -> web.Response:
        """Return a page. Its values are read and it is rendered in one of the threads."""
        began = time.perf_counter()
        words = language_of(request)

        def render() -> str:
            found = {"awaiting": self._views.awaiting_count(), **values(request, words)}
            return self.render(template, words, request, **found)

        text = await asyncio.get_running_loop().run_in_executor(threads, render)
        response = web.Response(text=text, content_type="text/html")
        response.headers["Server-Timing"] = f"page;dur={(time.perf_counter() - began) * 1000:.1f}"
        remember_choices(request, response)
        return response

    def render(self, template: str, words: Wording, request: web.Request, **values: Any) -> str:
        """Return the text of a page. `values` replace those that every page has."""
        every_page = {
            "query": Query(),
            "w": words,
            "indexing": self.index_refresher.progress(),
            "here": request.path,
            "awaiting": 0,
            "languages": [(name, own_address(request.rel_url.update_query(lang=name))) for name in LANGUAGES],
        }
        return self._templates.get_template(template).render(every_page | values)
