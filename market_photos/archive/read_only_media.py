"""Read catalogues on read-only media: a backup, a volume mounted read-only, another user's archive.

To read a catalogue in WAL mode, SQLite creates an index beside it, `-shm`. Where it cannot, a catalogue without a WAL
is read without the index, and one with a WAL from a copy.
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
    """Return whether files can be created in the folder."""
    return os.access(folder, os.W_OK | os.X_OK)


def readable_uri(path: Path) -> str:
    """Return the URI that opens the catalogue at `path` for reading. Blocks. Raises ArchiveUnwritable, OSError."""
    wal, index = (path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm"))
    uri = f"{path.absolute().as_uri()}?mode=ro"
    if is_writable(path.parent) or index.exists() or lock.held_by(path.with_name(LOCK_NAME)):
        return uri
    if not wal.exists() or not wal.stat().st_size:
        # An immutable catalogue is read without locks, so nothing may write to it.
        return f"{uri}&immutable=1"
    stats = (path.stat(), wal.stat())
    copy = _copy(path, wal, tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats))
    return f"{copy.as_uri()}?mode=ro"


@cache
def _copy(path: Path, wal: Path, version: tuple[tuple[int, int, int], ...]) -> Path:
    """Return a copy of the catalogue and its WAL in a temporary folder that is removed when the process ends.

    `version` identifies the state of the files, for the cache.
    """
    folder = Path(tempfile.mkdtemp(prefix="market-photos-"))  # 0700
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with disk_errors(folder):
        shutil.copyfile(wal, folder / wal.name)
        return shutil.copyfile(path, folder / path.name)
