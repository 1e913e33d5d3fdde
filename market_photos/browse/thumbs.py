"""Small pictures of photos, drawn when first asked for and kept beside the catalogue, named by the photo's SHA-256.

Each is drawn by a process of its own (`draw`): 36 ms of start-up beside the 80 ms that a phone's photo takes, and a
hostile picture costs nothing but that process. A photo that cannot be drawn is remembered until it changes.
"""

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from market_photos.archive.layout import THUMBNAILS
from market_photos.browse import draw

FOLDER = THUMBNAILS
#: Longest edge, pixels: of a picture in a list, and of the large one on a photo's page.
THUMB, LARGE = 480, 1800
#: Seconds that drawing may last by the clock: the disk is slow, or the machine has much to do.
MOST_SECONDS = 60
#: Photos that cannot be drawn and are remembered; the oldest is forgotten first.
MOST_REFUSED = 10_000
#: A photo's path, size, and time of change in nanoseconds.
Version = tuple[Path, int, int]
#: Of our environment, what a program needs to start: neither the key nor anything else that is not its business.
_ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}


class Unshowable(Exception):
    """No picture can be made of it: damaged, too costly, or of another kind."""


class NotDrawn(Exception):
    """There is no small picture yet, and nothing is known against it."""


def cached(store_folder: Path, sha256: str, edge: int) -> Path:
    """Return where the small picture of a photo is kept."""
    return store_folder / FOLDER / sha256[:2] / f"{sha256}-{edge}.jpg"


class Thumbnails:
    """Makes small pictures. Safe to call from several threads."""

    def __init__(self) -> None:
        self._refused: dict[Version, str] = {}
        """Why a photo cannot be drawn."""

    def kept(self, photo: Path, target: Path, edge: int) -> Path:
        """Return `target` where it was made before. Raises NotDrawn, Unshowable, OSError."""
        if target.exists():
            return target
        if reason := self._refused.get(_version(photo)):
            raise Unshowable(reason)
        raise NotDrawn

    def make(self, photo: Path, target: Path, edge: int) -> Path:
        """Return `target` with the small picture, made if it is not there. Blocks. Raises Unshowable, OSError."""
        with suppress(NotDrawn):
            return self.kept(photo, target, edge)
        version = _version(photo)
        try:
            content = _drawn(photo, edge)
        except Unshowable as error:
            self._refused[version] = str(error)
            if len(self._refused) > MOST_REFUSED:
                self._refused.pop(next(iter(self._refused)), None)
            raise
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.parent.parent.chmod(0o700)
        _write(target, content)
        return target


def _version(photo: Path) -> Version:
    stat = photo.stat()
    return (photo, stat.st_size, stat.st_mtime_ns)


def _drawn(photo: Path, edge: int) -> bytes:
    command = [sys.executable, "-P", "-m", draw.__name__, str(photo.absolute()), str(edge)]
    try:
        done = subprocess.run(
            command,
            env={**_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unshowable(f"drawing took more than {MOST_SECONDS} s") from error
    if done.returncode < 0:
        raise Unshowable(f"drawing was ended by signal {-done.returncode}: too much memory or time")
    if done.returncode == draw.UNSHOWABLE and done.stdout:
        raise Unshowable(done.stdout.decode("utf-8", "replace"))
    if done.returncode:
        raise OSError(f"drawing failed: {done.stdout.decode('utf-8', 'replace') or f'exit {done.returncode}'}")
    return done.stdout


def _write(target: Path, content: bytes) -> None:
    """Whole or not at all; two that make the same at once do not meet."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, suffix=".part")  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
