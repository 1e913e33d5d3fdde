"""Read and clear the folders of a store without following links; only regular files are opened.

`photos` and `set-aside` themselves may be links to another volume.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from io import FileIO
from pathlib import Path

#: The largest file that is read at once, bytes: a tombstone of 300 000 photos.
MAX_BYTES = 64 * 1024 * 1024


def identity(stat: os.stat_result) -> tuple[int, int]:
    """Return device and inode number. No other file has the same ones while this file is open."""
    return stat.st_dev, stat.st_ino


def open_file(path: Path, folder: int | None = None) -> FileIO:
    """Open a regular file for reading; `folder` is the open one that a relative path begins at.

    Raises OSError, also if it is a link, a pipe or a device.
    """
    if not stat.S_ISREG(os.lstat(path, dir_fd=folder).st_mode):  # first, as opening a device may have effects
        raise OSError(0, "not a regular file", str(path))
    return open(path, "rb", buffering=0, opener=partial(_without_links, folder=folder))


def open_within(store: Path, path: Path) -> FileIO:
    """Open a regular file for reading; `path` is relative to the store's folder.

    Raises OSError, also if it or a folder on the path is a link, a pipe or a device.
    """
    with opened_folder(store, path.parent) as folder:
        if folder is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(store / path))
        return open_file(Path(path.name), folder)


def _without_links(path: str, flags: int, folder: int | None) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)


def content(path: Path) -> bytes:
    """Return the content of a regular file. Raises OSError, also if it is larger than MAX_BYTES."""
    with open_file(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise OSError(0, "too large", str(path))
        return file.read()


def names(folder: Path | int) -> list[str]:
    """Return the names in a folder, sorted; none if the folder is missing. Raises OSError."""
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        return sorted(entry.name for entry in found)
    return []


def entries(folder: Path | int) -> dict[str, os.stat_result]:
    """Return the status of each name in a folder, sorted by name. Raises OSError.

    A file that is removed meanwhile is left out.
    """
    status: dict[str, os.stat_result] = {}
    with suppress(FileNotFoundError), os.scandir(folder) as found:
        for entry in sorted(found, key=lambda entry: entry.name):
            with suppress(FileNotFoundError):
                status[entry.name] = entry.stat(follow_symlinks=False)
    return status


def folders(parent: Path) -> list[tuple[str, bool]]:
    """Return the names in a folder, sorted, and whether each is a real folder; none if the folder is missing.

    Raises OSError.
    """
    with suppress(FileNotFoundError), os.scandir(parent) as found:
        return sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in found)
    return []


def obstacle(store: Path, folder: Path) -> Path | None:
    """Return the first part of the path `folder` that exists and is no real folder. Raises OSError.

    `folder` is relative to the store's.
    """
    path = store / folder.parts[0]
    for part in folder.parts[1:]:
        path /= part
        with suppress(FileNotFoundError):
            if not stat.S_ISDIR(path.lstat().st_mode):
                return path
    return None


@contextmanager
def opened_folder(store: Path, folder: Path) -> Iterator[int | None]:
    """Yield a descriptor of a folder (relative to the store's), for calls with `dir_fd`; None if it is missing.

    Raises OSError if a link or a file is in its place.
    """
    with ExitStack() as opened:
        descriptor: int | None = None
        try:
            for number, part in enumerate(folder.parts):
                flags = os.O_RDONLY | os.O_DIRECTORY | (os.O_NOFOLLOW if number else 0)
                descriptor = os.open(part if number else store / part, flags, dir_fd=descriptor)
                opened.callback(os.close, descriptor)
        except FileNotFoundError:
            descriptor = None
        yield descriptor


def remove_files(folder: int, names: Iterable[str]) -> list[str]:
    """Remove these names from an open folder; return those that are folders, which stay. Raises OSError."""
    kept = []
    for name in names:
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                kept.append(name)
            else:
                os.unlink(name, dir_fd=folder)
    return kept
