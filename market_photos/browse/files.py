"""Serve photos and their previews with safe headers, and say how files differ from what was archived.

A path is built from the catalogue (`KnownPhoto.path`), never from the request. Only images of a few kinds, known by
their first bytes, are shown; everything else that was served as a photo (SVG, HTML) can only be downloaded.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path

from aiohttp import web

from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownPhoto
from market_photos.archive.files import Entry, Opened
from market_photos.archive.image_type import HEAD_BYTES, sniff
from market_photos.archive.place import Archive
from market_photos.browse import thumbs
from market_photos.browse.file_stream import FileStream
from market_photos.browse.security import FILE_CSP

#: Takes a photo, the path of its preview and the longest edge in pixels; returns the preview's path.
Make = Callable[[Opened, Path, int], Path]
#: Formats that every browser shows and that cannot contain scripts.
SHOWN = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
}
#: Originals of at most this size are shown on a photo's page; of larger ones a preview.
SHOWN_WHOLE_BYTES = 3_000_000


class Flaws:
    """How the photos of one page differ from what was archived. The folder of each return is listed once."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._listed: dict[tuple[int, str], Mapping[str, Entry]] = {}

    def __call__(self, photo: KnownPhoto) -> str:
        """Return `missing`, `size` or, where nothing is wrong, an empty text. Blocks. Raises ArchiveUnwritable."""
        if photo.state is not State.ARCHIVED:
            return ""
        entry = self._entries(photo).get(photo.name)
        if entry is None or not entry.is_file:
            return "missing"
        return "" if entry.size == photo.size else "size"

    def _entries(self, photo: KnownPhoto) -> Mapping[str, Entry]:
        place = photo.key.campaign, photo.folder
        if place not in self._listed:
            try:
                self._listed[place] = self._archive.files(photo.key.campaign).entries(Path(photo.folder))
            except OSError:
                self._listed[place] = {}
        return self._listed[place]


def kind_of(photo: Opened) -> str:
    """Return the suffix that fits the first bytes, empty for an unknown format; they can be read again.

    Raises OSError, ArchiveUnwritable.
    """
    return sniff(photo.peek(HEAD_BYTES)[:HEAD_BYTES])


def original(request: web.Request, opened: Opened, photo: KnownPhoto, threads: Executor) -> web.StreamResponse:
    """Return the file unchanged, or the part that the request wants; it is read in `threads`, and closed in the end.

    With `download` in the address it is saved, not shown. Raises OSError, ArchiveUnwritable.
    """
    tag = f'"{opened.version}"'
    headers = {"Content-Security-Policy": FILE_CSP, "Cache-Control": "private, no-cache", "ETag": tag}
    if any(known.value in ("*", opened.version) for known in request.if_none_match or ()):
        opened.close()
        return web.Response(status=304, headers=headers)
    try:
        start, stop, _ = request.http_range.indices(opened.size)
    except ValueError:  # not a range of bytes
        start, stop = opened.size, opened.size
    if request.headers.get("If-Range", tag) != tag:
        start, stop = 0, opened.size
    is_part = (start, stop) != (0, opened.size)
    if is_part and start >= stop:
        opened.close()
        return web.Response(status=416, headers={"Content-Range": f"bytes */{opened.size}"})
    headers |= {"Accept-Ranges": "bytes", **_shown_as(request, kind_of(opened), photo)}
    if is_part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{opened.size}"
    opened.seek(start)
    return FileStream(opened, stop - start, threads, status=206 if is_part else 200, headers=headers)


def _shown_as(request: web.Request, kind: str, photo: KnownPhoto) -> dict[str, str]:
    """Return the headers that make a browser show the file, or only save it."""
    if kind in SHOWN and "download" not in request.query:
        return {"Content-Type": SHOWN[kind], "Content-Disposition": "inline"}
    name = f"{photo.key.order}-{photo.key.return_id}-{photo.name}"
    return {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f'attachment; filename="{name}"',
    }


def preview(make: Make, folder: Path, opened: Opened, photo: KnownPhoto, edge: int) -> Path | None:
    """Return a preview whose longest edge is at most `edge` pixels, or None if the original is small enough.

    `folder` contains the previews of the store. Raises OSError, and what `make` raises.
    """
    digest = photo.sha256.hex()
    made = make(opened, thumbs.cached(folder, digest, thumbs.THUMB), thumbs.THUMB)
    if edge > thumbs.THUMB:
        if opened.size <= SHOWN_WHOLE_BYTES and kind_of(opened) in SHOWN:
            return None
        made = make(opened, thumbs.cached(folder, digest, edge), edge)
    return made


def picture(preview: Path) -> web.StreamResponse:
    """Return a preview."""
    headers = {
        "Content-Type": "image/jpeg",
        "Content-Security-Policy": FILE_CSP,
        "Cache-Control": "private, max-age=3600",
    }
    return web.FileResponse(preview, headers=headers)
