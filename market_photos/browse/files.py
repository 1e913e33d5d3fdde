"""Which bytes of the archive go out, and as what.

A path is made of what the catalogue has (`stores.Photo.path`), never of what was asked for. The bytes tell what may
be shown: a picture of one of a few kinds. All else (SVG, HTML, whatever came as a photo) is only ever a download.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from market_photos.archive.layout import PHOTOS
from market_photos.archive.suffix import HEAD_BYTES, sniff
from market_photos.browse import thumbs
from market_photos.browse.security import FILE_CSP
from market_photos.browse.stores import Photo

#: The small picture of a photo, at a path, with a longest edge: `Thumbnails.kept` or `Thumbnails.make`.
Make = Callable[[Path, Path, int], Path]
#: What every browser draws and none runs, by the first bytes.
SHOWN = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
}
#: Originals up to so many bytes are shown as they are; larger ones as a smaller picture.
SHOWN_WHOLE_BYTES = 3_000_000


def find(folder: Path, photo: Photo) -> Path | None:
    """The photo's file; None where there is none, or it is not a plain file inside the store's photos."""
    if photo.path is None:
        return None
    path = folder / photo.path
    try:
        inside = path.resolve(strict=True).is_relative_to((folder / PHOTOS).resolve(strict=True))
    except OSError:
        return None
    return path if inside and path.is_file() and not path.is_symlink() else None


def kind_of(path: Path) -> str:
    """The suffix of what the bytes are; empty where they are no image that we know. Raises OSError."""
    with path.open("rb") as file:
        return sniff(file.read(HEAD_BYTES))


def original(path: Path, photo: Photo, *, download: bool) -> web.StreamResponse:
    """The file as it was served once. Raises OSError."""
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


def small(make: Make, folder: Path, path: Path, photo: Photo, edge: int) -> web.StreamResponse:
    """Return a picture of the photo, its longest edge at most `edge`. Raises what `make` raises, OSError.

    `folder`: where the pictures of the store are kept, see `Stores.views`.
    """
    digest = photo.sha256 or hashlib.sha256(f"{path}{path.stat().st_mtime_ns}".encode()).hexdigest()
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
