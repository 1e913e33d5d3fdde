"""Create files and folders so that a crash or a power cut leaves all of them or nothing."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from market_photos import failpoints
from market_photos.archive.layout import PART_SUFFIX
from market_photos.archive.volume import disk_errors


@contextmanager
def replacing(target: Path, *, sync: bool = True, part: Path | None = None) -> Iterator[BinaryIO]:
    """Yield a new file that replaces the target when the block ends, or is removed after an error.

    Its mode is 0600. With `sync`, its content is on disk before it gets its name. `part` is its name until then, if
    only one process writes it; the default is unique, and several may replace the same file at once. Raises OSError.
    """
    part = part or target.with_name(f"{target.name}.{secrets.token_hex(4)}{PART_SUFFIX}")
    try:
        with open(part, "wb", opener=open_private) as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def write_atomically(target: Path, content: bytes, *, sync_name: bool = True) -> None:
    """Write a small file of the archive. Raises ArchiveUnwritable.

    Without `sync_name` its name is durable only after the caller's `sync_folder`.
    """
    with disk_errors(target):
        with replacing(target, part=target.with_name(f"{target.name}{PART_SUFFIX}")) as file:
            file.write(content)
            file.flush()
            failpoints.point("record-written")
        failpoints.point("record-renamed")
        if sync_name:
            sync_folder(target.parent)


def open_private(path: str, flags: int) -> int:
    """Open a file as `open` does, with mode 0600 if it is new, and follow no link. Raises OSError."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, within: Path | None = None) -> None:
    """Create a folder and its parents durably, with mode 0700. Raises ArchiveUnwritable.

    `within` is a parent that must exist; it is never created.
    """
    with disk_errors(folder):
        _make_folder(folder, within)


def _make_folder(folder: Path, within: Path | None) -> None:
    if folder.is_dir():
        return
    if folder == within:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    _make_folder(folder.parent, within)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
    sync_folder(folder.parent)
