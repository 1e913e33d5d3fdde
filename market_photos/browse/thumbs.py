"""Draw previews of photos when they are first requested, and keep them under the SHA-256 of the photo.

Each preview is drawn by a separate process (`draw`): its start takes 36 ms beside 80 ms for a phone's photo, and a
hostile picture harms only that process. A photo that cannot be drawn is remembered until it changes.
"""

from contextlib import suppress
from pathlib import Path

from market_photos.archive.atomic import replacing
from market_photos.archive.layout import THUMBNAILS
from market_photos.draw import Unshowable, drawn

FOLDER = THUMBNAILS
#: Longest edges in pixels: of a picture in a list, and of the large one on a photo's page.
THUMB, LARGE = 480, 1800
#: Photos that cannot be drawn and are remembered; the oldest is forgotten first.
MAX_REFUSED = 10_000
#: A photo's path, size, and time of change in nanoseconds.
Version = tuple[Path, int, int]


class NotDrawn(Exception):
    """The photo has no preview yet."""


def cached(store_folder: Path, sha256: str, edge: int) -> Path:
    """Return the path of a preview."""
    return store_folder / FOLDER / sha256[:2] / f"{sha256}-{edge}.jpg"


class Thumbnails:
    """Draws previews. Safe to call from several threads."""

    def __init__(self) -> None:
        self._refused: dict[Version, str] = {}
        """Why a photo cannot be drawn."""

    def kept(self, photo: Path, target: Path, edge: int) -> Path:
        """Return `target` if the preview exists. Raises NotDrawn, Unshowable, OSError."""
        if target.exists():
            return target
        if reason := self._refused.get(_version(photo)):
            raise Unshowable(reason)
        raise NotDrawn

    def make(self, photo: Path, target: Path, edge: int) -> Path:
        """Return `target` with the preview, drawn if it does not exist. Blocks. Raises Unshowable, OSError."""
        with suppress(NotDrawn):
            return self.kept(photo, target, edge)
        version = _version(photo)
        try:
            content = drawn(photo, edge)
        except Unshowable as error:
            self._refused[version] = str(error)
            if len(self._refused) > MAX_REFUSED:
                self._refused.pop(next(iter(self._refused)), None)
            raise
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.parent.parent.chmod(0o700)
        with replacing(target, sync=False) as file:
            file.write(content)
        return target


def _version(photo: Path) -> Version:
    stat = photo.stat()
    return (photo, stat.st_size, stat.st_mtime_ns)
