"""Catalogues on a medium that cannot be written: a backup, a volume mounted read-only, another user's archive.

SQLite reads a catalogue in WAL mode with the help of an index, `-shm`, which it creates beside it. Where it cannot,
the catalogue is read without the index if there is no WAL, and otherwise from a copy.
"""

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from market_photos.archive import lock
from market_photos.archive.layout import LOCK_NAME
from market_photos.archive.volume import disk_errors


def is_writable(folder: Path) -> bool:
    """Whether files can be created in the folder."""
    return os.access(folder, os.W_OK | os.X_OK)


def readable_uri(path: Path) -> str:
    """Return the URI that opens the catalogue at `path` for reading. Blocks. Raises ArchiveUnwritable, OSError."""
    wal, index = (path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm"))
    uri = f"{path.absolute().as_uri()}?mode=ro"
    if is_writable(path.parent) or index.exists() or lock.held_by(path.with_name(LOCK_NAME)):
        return uri
    if not wal.exists() or not wal.stat().st_size:
        # A catalogue that is called immutable is read without locks: nothing may be writing to it.
        return f"{uri}&immutable=1"
    stats = (path.stat(), wal.stat())
    copy = _copy(path, wal, tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats))
    return f"{copy.as_uri()}?mode=ro"


@cache
def _copy(path: Path, wal: Path, version: tuple[tuple[int, int, int], ...]) -> Path:
    """A copy of the catalogue with its WAL in a temporary folder, which is there until the process ends.

    `version` tells one state of the files from the next.
    """
    folder = Path(tempfile.mkdtemp(prefix="market-photos-"))  # 0700
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with disk_errors(folder):
        shutil.copyfile(wal, folder / wal.name)
        return shutil.copyfile(path, folder / path.name)
