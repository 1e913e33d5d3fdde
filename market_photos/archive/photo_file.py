"""Write a photo to disk, complete or not at all.

The order is fixed: a part file beside the target, SHA-256 while writing, fsync, rename, fsync of the folder. A file
under its final name is complete, after a power cut too. The catalogue's row follows; a file without a row is removed
and downloaded again.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import aiofiles

from market_photos import failpoints
from market_photos.archive.atomic import make_folder, open_private
from market_photos.archive.image_type import HEAD_BYTES
from market_photos.archive.layout import PART_SUFFIX
from market_photos.archive.volume import disk_errors, require_room
from market_photos.threads import to_the_end

P = TypeVar("P", bound="Part")
#: Bytes collected before a thread writes and hashes them. Most photos are smaller and take one call.
WRITE_BYTES = 1024 * 1024
#: Bytes of the end that are kept, to look for an image's end marker.
TAIL_BYTES = 64 * 1024


class Stored(NamedTuple):
    """Size and hash of a complete photo."""

    size: int
    sha256: bytes


class Part:
    """An unfinished photo, made by `part`, which removes it unless it is committed.

    `commit` writes a photo of up to WRITE_BYTES in one call of a thread; a larger one is streamed in pieces of that
    size as it arrives.
    """

    def __init__(self, path: Path, floor: int | None, make_folder: Callable[[Path], None]) -> None:
        self.path = path
        self.size = 0
        self.head = b""
        self.is_made = False
        """Whether the part file exists."""
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
        """The last TAIL_BYTES of the photo, or all of it."""
        tail = self._tail
        for piece in self._gathered:
            tail = piece[-TAIL_BYTES:] if len(piece) >= TAIL_BYTES else (tail + piece)[-TAIL_BYTES:]
        return tail

    async def write(self, chunk: bytes) -> None:
        """Add received bytes. Raises ArchiveUnwritable."""
        self.size += len(chunk)
        if len(self.head) < HEAD_BYTES:
            self.head = (self.head + chunk)[:HEAD_BYTES]
        self._gathered.append(chunk)
        self._room -= len(chunk)
        if self._room <= 0:
            with disk_errors(self.path):
                await to_the_end(self._stream())

    async def finish(self) -> bytes:
        """Write everything to the part file durably and return its SHA-256. Raises ArchiveUnwritable."""
        await to_the_end(asyncio.to_thread(self._finish))
        return self._hash.digest()

    async def prepare(self, suffix: str) -> None:
        """Do what takes long, so that `commit` with the same suffix does not. Raises ArchiveUnwritable."""
        if self._file:
            await self.finish()

    def commit(self, suffix: str) -> Stored:
        """Finish the part file and give it its final name, which is durable once the folder is synced.

        Blocks. Raises ArchiveUnwritable.
        """
        self._finish()
        target = self.path.with_name(f"{self.path.name.removesuffix(PART_SUFFIX)}{suffix}")
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
        """Write and hash the collected bytes."""
        self._tail = self.tail
        data = b"".join(self._gathered)
        self._gathered, self._room = [], WRITE_BYTES
        left = memoryview(data)
        while left:  # a write may be short, on a disk that is nearly full for one
            left = left[os.write(descriptor, left) :]
        self._hash.update(data)

    def _open(self, path: str, flags: int) -> int:
        """Open the part file if there is room; create its folder with the first photo in it."""
        self._make_folder(self.path.parent)
        failpoints.point("folder-made")
        require_room(self.path.parent, self._floor)
        descriptor = open_private(path, flags)
        self.is_made = True
        return descriptor

    async def close(self) -> None:
        """Close the part file."""
        if self._file:
            with suppress(OSError):
                await self._file.close()


@asynccontextmanager
async def part(
    path: Path, floor: int | None = 0, make_folder: Callable[[Path], None] = make_folder
) -> AsyncIterator[Part]:
    """Yield a new part file, and remove it after the block unless it was committed.

    The file is created when the first bytes are written to disk, if there is room; `floor`: see `require_room`.
    `make_folder` creates its folder.
    """
    async with discarded_at_the_end(Part(path, floor, make_folder)) as unfinished:
        yield unfinished


@asynccontextmanager
async def discarded_at_the_end(unfinished: P) -> AsyncIterator[P]:
    """Remove the part file after the block, unless it was committed, and close it."""
    try:
        yield unfinished
    finally:
        if unfinished.is_made:
            with suppress(OSError):
                unfinished.path.unlink(missing_ok=True)  # before the first await, which can be cancelled
        await unfinished.close()


def sweep(folder: Path, stem: str, *, parts_only: bool = False) -> int:
    """Remove what a killed run left of one photo, and return the number of files.

    That is its part file and, unless `parts_only`, complete files without a row. Raises ArchiveUnwritable.
    """
    with disk_errors(folder):
        try:
            leftovers = [path for path in folder.iterdir() if path.name.partition(".")[0] == stem]
        except (FileNotFoundError, NotADirectoryError):
            return 0
        if parts_only:
            leftovers = [path for path in leftovers if path.name.endswith(PART_SUFFIX)]
        for path in leftovers:
            path.unlink(missing_ok=True)
    return len(leftovers)
