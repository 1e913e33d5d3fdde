"""From bytes to a file that is whole.

One order, always: a part file beside the target, the bytes hashed on the way, flush and fsync, rename, fsync of the
folder. Whoever sees a file under its final name sees all of it, after a power cut too. The row in the catalogue
follows; a file that has none is swept away and fetched again.
"""

import asyncio
import errno
import hashlib
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import aiofiles

from market_photos import failpoints
from market_photos.archive.image_type import HEAD_BYTES
from market_photos.archive.layout import PART_SUFFIX
from market_photos.errors import ArchiveUnwritable

T = TypeVar("T")
#: Bytes gathered before a thread is called to write and hash them. Most photos are smaller, and go in one call.
WRITE_BYTES = 1024 * 1024
#: Bytes of the end that are kept to look for an image's end marker.
TAIL_BYTES = 64 * 1024
#: Where the settings name no floor: this many bytes or this share of the volume, whichever is less.
DEFAULT_FLOOR_BYTES = 1_000_000_000
DEFAULT_FLOOR_SHARE = 0.05

_HINTS = {
    errno.ENOSPC: "The disk (or its inodes, or your quota on it) is full. Make room; the same command then goes on.",
    errno.EDQUOT: "Your disk quota is used up. Make room; the same command then goes on.",
    errno.EROFS: "The volume is mounted read-only. Look for disk errors in the system log; mount it writable.",
    errno.EACCES: "Give the user that runs this the right to read and to write there.",
    errno.EPERM: "Give the user that runs this the right to read and to write there.",
    errno.EIO: "The disk reports errors. Look at the system log and back the archive up before you go on.",
}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns any OSError into ArchiveUnwritable that names the path and says what to do."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "Check the volume; the same command then goes on.")
        raise ArchiveUnwritable(f"{path}: {error.strerror or error}", hint) from error


def make_folder(folder: Path, within: Path | None = None) -> None:
    """Creates the folder and its parents, durably, closed to others. Raises ArchiveUnwritable.

    `within`: a parent that must be there; it is never created.
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


def identity(stat: os.stat_result) -> tuple[int, int]:
    """Device and number: no other file has the same as long as this one is open."""
    return stat.st_dev, stat.st_ino


def is_there(path: Path) -> bool:
    """Whether the file exists. Raises ArchiveUnwritable where that cannot be told, as Path.exists may not."""
    with disk_errors(path):
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(target: Path, content: bytes, *, sync: bool = True) -> None:
    """A small file, whole or not at all. Raises ArchiveUnwritable.

    `sync`: its name is durable as well; without it, when somebody else syncs the folder.
    """
    part = target.with_name(target.name + PART_SUFFIX)
    with disk_errors(target):
        try:
            with open(part, "wb", opener=private) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            failpoints.point("record-written")
            part.replace(target)
            failpoints.point("record-renamed")
            if sync:
                sync_folder(target.parent)
        finally:
            part.unlink(missing_ok=True)


def private(path: str, flags: int) -> int:
    """An opener for `open`: a file that is new is its owner's alone, and no link is followed. Raises OSError."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def require_marker(folder: Path, marker: str | None) -> None:
    """Raises ArchiveUnwritable where the file that says "the right volume is mounted here" is not in the folder."""
    if marker is None:
        return
    if not is_there(folder / marker):
        raise ArchiveUnwritable(
            f"{folder}: there is no {marker} in it, so this is not the archive's volume, or it is not mounted. "
            "Nothing was written.",
            f"Mount the volume. On a new one, once: mkdir -p {folder} && touch {folder / marker}",
        )


def require_room(folder: Path, floor: int | None) -> None:
    """Raises ArchiveUnwritable where less than `floor` bytes are free (None: the default floor)."""
    with disk_errors(folder):
        usage = shutil.disk_usage(folder)
    needed = min(DEFAULT_FLOOR_BYTES, int(usage.total * DEFAULT_FLOOR_SHARE)) if floor is None else floor
    if usage.free < needed:
        raise ArchiveUnwritable(
            f"{folder}: {usage.free / 1e6:,.0f} MB are free, less than the floor of {needed / 1e6:,.0f} MB.",
            "Make room, or lower min_free_bytes in [archive]; the same command then goes on.",
        )


class Stored(NamedTuple):
    """A photo under its final name."""

    size: int
    sha256: bytes


class Part:
    """An unfinished photo. Made by `part`, which removes it unless it was committed.

    A thread is called for work that is worth the way, not for each step: `commit` does all that there is to do for a
    photo that fits into WRITE_BYTES; a larger one is streamed, in pieces of that size.
    """

    def __init__(self, path: Path, floor: int | None, make_folder: Callable[[Path], None]) -> None:
        self.path = path
        self.size = 0
        self.head = b""
        self.is_made = False
        """Whether there is a file of that name, to be removed."""
        self._floor = floor
        self._make_folder = make_folder
        self._tail = b""
        self._hash = hashlib.sha256()
        self._gathered: list[bytes] = []
        self._room = WRITE_BYTES
        self._file: aiofiles.threadpool.binary.AsyncFileIO | None = None  # of a photo that is streamed
        self._is_finished = False

    @property
    def tail(self) -> bytes:
        """The last TAIL_BYTES, or all if there are less."""
        tail = self._tail
        for piece in self._gathered:  # what is older than the last TAIL_BYTES is never copied
            tail = piece[-TAIL_BYTES:] if len(piece) >= TAIL_BYTES else (tail + piece)[-TAIL_BYTES:]
        return tail

    async def write(self, chunk: bytes) -> None:
        """Raises ArchiveUnwritable."""
        self.size += len(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head = (self.head + chunk)[:HEAD_BYTES]
        self._gathered.append(chunk)
        self._room -= len(chunk)
        if self._room <= 0:
            with disk_errors(self.path):
                await to_the_end(self._stream())

    async def finish(self) -> bytes:
        """Everything on disk, durably, still under the part's name; the SHA-256 of it. Raises ArchiveUnwritable."""
        await to_the_end(asyncio.to_thread(self._finish))
        return self._hash.digest()

    async def finish_streamed(self) -> None:
        """What `commit` would wait long for: a large photo's way to the disk. Raises ArchiveUnwritable."""
        if self._file:
            await self.finish()

    def commit(self, target: Path) -> Stored:
        """Finished, if it is not yet, and under its final name; durably so once the folder is synced.

        Blocks. Raises ArchiveUnwritable.
        """
        self._finish()
        with disk_errors(target):
            self.path.replace(target)
        self.is_made = False
        failpoints.point("renamed")
        return Stored(self.size, self._hash.digest())

    async def _stream(self) -> None:
        if self._file is None:
            self._file = await aiofiles.open(self.path, "wb", buffering=0, opener=self._open)
            failpoints.point("part-opened")
        await asyncio.to_thread(self._put, self._file.fileno())
        failpoints.point("part-written")

    def _finish(self) -> None:
        if self._is_finished:
            return
        with disk_errors(self.path):
            if self._file:
                self._put_rest(self._file.fileno())
            else:
                with open(self.path, "wb", buffering=0, opener=self._open) as file:
                    failpoints.point("part-opened")
                    self._put_rest(file.fileno())
        self._is_finished = True
        failpoints.point("part-finished")

    def _put_rest(self, descriptor: int) -> None:
        self._put(descriptor)
        failpoints.point("part-written")
        os.fsync(descriptor)

    def _put(self, descriptor: int) -> None:
        """What was gathered, written and hashed."""
        self._tail = self.tail
        data = b"".join(self._gathered)
        self._gathered, self._room = [], WRITE_BYTES
        left = memoryview(data)
        while left:  # a write may be short, on a disk that is nearly full for one
            left = left[os.write(descriptor, left) :]
        self._hash.update(data)

    def _open(self, path: str, flags: int) -> int:
        """Opens it, in its folder, which comes with its first photo, if there is room."""
        self._make_folder(self.path.parent)
        failpoints.point("folder-made")
        require_room(self.path.parent, self._floor)
        descriptor = private(path, flags)
        self.is_made = True
        return descriptor

    async def close(self) -> None:
        if self._file:
            with suppress(OSError):
                await self._file.close()


async def to_the_end(work: Awaitable[T]) -> T:
    """Its result. Who is cancelled meanwhile leaves when it is done, for a thread cannot be called back.

    Otherwise that thread might make the part after it was removed, or write to a descriptor that is another file's.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


@asynccontextmanager
async def part(
    path: Path, floor: int | None = 0, make_folder: Callable[[Path], None] = make_folder
) -> AsyncIterator[Part]:
    """A new part file; on leaving it is gone, or committed.

    It is made with the first bytes that are written to disk, if there is room then; `floor`: see `require_room`.
    `make_folder` creates the folder that it is in.
    """
    unfinished = Part(path, floor, make_folder)
    try:
        yield unfinished
    finally:
        if unfinished.is_made:
            with suppress(OSError):
                path.unlink(missing_ok=True)  # first, for it cannot be cancelled
        await unfinished.close()


def sweep(folder: Path, stem: str, *, parts_only: bool = False) -> int:
    """Remove what a killed run left of one photo: its part, and unless `parts_only` files that never got a row."""
    with disk_errors(folder):
        try:  # no is_dir(): from 3.14 on it takes a folder that cannot be looked at for none
            leftovers = [path for path in folder.iterdir() if path.name.partition(".")[0] == stem]
        except (FileNotFoundError, NotADirectoryError):
            return 0
        if parts_only:
            leftovers = [path for path in leftovers if path.name.endswith(PART_SUFFIX)]
        for path in leftovers:
            path.unlink(missing_ok=True)
    return len(leftovers)
