"""Draw previews of photos when they are first requested, and keep them under the SHA-256 of the photo.

Each preview is drawn by a separate process (`draw`): its start takes 36 ms beside 80 ms for a phone's photo, and a
hostile picture harms only that process. A photo that cannot be drawn is remembered until it changes.
"""

import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from market_photos.archive.atomic import replacing
from market_photos.archive.files import Opened
from market_photos.archive.layout import THUMBNAILS
from market_photos.draw import Unshowable, drawn

FOLDER = THUMBNAILS
#: Longest edges in pixels: of a picture in a list, and of the large one on a photo's page.
THUMB, LARGE = 480, 1800
#: Photos that cannot be drawn and are remembered; the oldest is forgotten first.
MAX_REFUSED = 10_000
#: Bytes of a photo that are copied at once.
CHUNK = 256 * 1024


class NotDrawn(Exception):
    """The photo has no preview yet."""


def cached(store_folder: Path, sha256: str, edge: int) -> Path:
    """Return the path of a preview."""
    return store_folder / FOLDER / sha256[:2] / f"{sha256}-{edge}.jpg"


class Thumbnails:
    """Draws previews. Safe to call from several threads."""

    def __init__(self) -> None:
        self._refused: dict[tuple[Path, str], str] = {}
        """Why a photo cannot be drawn, by the path of its preview and its version."""

    def kept(self, photo: Opened, target: Path, edge: int) -> Path:
        """Return `target` if the preview exists. Raises NotDrawn, Unshowable."""
        if target.exists():
            return target
        if reason := self._refused.get((target, photo.version)):
            raise Unshowable(reason)
        raise NotDrawn

    def make(self, photo: Opened, target: Path, edge: int) -> Path:
        """Return `target` with the preview, drawn if it does not exist.

        Reads the photo, from its beginning on. Blocks. Raises Unshowable, OSError, ArchiveUnwritable.
        """
        with suppress(NotDrawn):
            return self.kept(photo, target, edge)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.parent.parent.chmod(0o700)
        with NamedTemporaryFile(dir=target.parent, prefix=".drawing-") as copy:  # the photo may be in a bucket
            photo.seek(0)
            shutil.copyfileobj(photo, copy, CHUNK)
            copy.flush()
            photo.seek(0)
            try:
                content = drawn(Path(copy.name), edge)
            except Unshowable as error:
                self._refused[target, photo.version] = str(error)
                if len(self._refused) > MAX_REFUSED:
                    self._refused.pop(next(iter(self._refused)), None)
                raise
        with replacing(target, sync=False) as file:
            file.write(content)
        return target
