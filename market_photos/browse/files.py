"""Serve photos and their previews with safe headers.

A path is built from the catalogue (`KnownPhoto.path`), never from the request. Only images of a few kinds, known by
their first bytes, are shown; everything else that was served as a photo (SVG, HTML) can only be downloaded.
"""

from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownPhoto
from market_photos.archive.image_type import HEAD_BYTES, sniff
from market_photos.archive.layout import PHOTOS
from market_photos.browse import thumbs
from market_photos.browse.security import FILE_CSP

#: Takes the path of a photo, the path of its preview and the longest edge in pixels; returns the preview's path.
Make = Callable[[Path, Path, int], Path]
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


def find(folder: Path, photo: KnownPhoto) -> Path | None:
    """Return the photo's path, or None if it is not a regular file inside the store's folder of photos."""
    if not photo.path:
        return None
    path = folder / photo.path
    try:
        inside = path.resolve(strict=True).is_relative_to((folder / PHOTOS).resolve(strict=True))
    except OSError:
        return None
    return path if inside and path.is_file() and not path.is_symlink() else None


def flaw(folder: Path, photo: KnownPhoto) -> str:
    """Return how the file of an archived photo differs from what was archived: `missing`, `size` or empty."""
    if photo.state is not State.ARCHIVED:
        return ""
    path = find(folder, photo)
    try:
        return "missing" if path is None else "size" if path.stat().st_size != photo.size else ""
    except OSError:
        return "missing"


def kind_of(path: Path) -> str:
    """Return the suffix that fits the file's first bytes, empty for an unknown format. Raises OSError."""
    with path.open("rb") as file:
        return sniff(file.read(HEAD_BYTES))


def original(path: Path, photo: KnownPhoto, *, download: bool) -> web.StreamResponse:
    """Return the file unchanged. Raises OSError."""
    media = SHOWN.get(kind_of(path), "")
    headers = {"Content-Security-Policy": FILE_CSP, "Cache-Control": "private, no-cache"}
    if media and not download:
        headers["Content-Type"] = media
        headers["Content-Disposition"] = "inline"
    else:
        name = f"{photo.key.order}-{photo.key.return_id}-{path.name}"
        headers["Content-Type"] = "application/octet-stream"
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return web.FileResponse(path, headers=headers)


def preview(make: Make, folder: Path, path: Path, photo: KnownPhoto, edge: int) -> web.StreamResponse:
    """Return a preview whose longest edge is at most `edge` pixels, or the original if it is small.

    `folder` contains the previews of the store. Raises OSError, and what `make` raises.
    """
    digest = photo.sha256.hex()
    made = make(path, thumbs.cached(folder, digest, thumbs.THUMB), thumbs.THUMB)
    if edge > thumbs.THUMB:
        if path.stat().st_size <= SHOWN_WHOLE_BYTES and kind_of(path) in SHOWN:
            return original(path, photo, download=False)
        made = make(path, thumbs.cached(folder, digest, edge), edge)
    headers = {
        "Content-Type": "image/jpeg",
        "Content-Security-Policy": FILE_CSP,
        "Cache-Control": "private, max-age=3600",
    }
    return web.FileResponse(made, headers=headers)
