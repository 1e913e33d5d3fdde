"""Read an object of a bucket as a file."""

import io
from typing import TYPE_CHECKING

from market_photos.archive.files import Opened
from market_photos.archive.objects import Bucket

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Bytes of one request. Most photos are smaller.
PIECE_BYTES = 1024 * 1024


def open_object(bucket: Bucket, key: str) -> Opened:
    """Open an object for reading. Blocks. Raises FileNotFoundError, ArchiveUnwritable."""
    file = _ObjectFile(bucket, key)
    return Opened(file, file.size, file.version, PIECE_BYTES)


class _ObjectFile(io.RawIOBase):
    """An object that is read in pieces.

    Each piece is a request of its own: a slow reader keeps none waiting until it times out, and where the reader
    stops, nothing more is fetched.
    """

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket = bucket
        self._key = key
        self._at = 0
        first = bucket.piece(key, 0, PIECE_BYTES)
        self._first = first.content
        self.size = first.size
        self.version = first.etag.strip('"')

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read the next piece. Raises OSError, also where the object has changed since, and ArchiveUnwritable."""
        view = memoryview(buffer)
        content = self._piece(min(len(view), self.size - self._at))
        view[: len(content)] = content
        self._at += len(content)
        return len(content)

    def _piece(self, size: int) -> bytes:
        if size <= 0:
            return b""
        if self._at < len(self._first):
            return self._first[self._at : self._at + size]
        found = self._bucket.piece(self._key, self._at, size)
        if found.etag.strip('"') != self.version:
            raise OSError(0, "it was replaced while it was read", self._key)
        return found.content
