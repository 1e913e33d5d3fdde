"""Write a BagIt 1.0 bag (RFC 8493) into a zip, as a stream: memory holds only names and hashes.

    <root>/
      bagit.txt  bag-info.txt  manifest-sha256.txt  tagmanifest-sha256.txt
      data/…                       the payload

To check a bag, unzip it and run `bagit.py --validate <root>`, or `sha256sum -c manifest-sha256.txt` inside the root.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, Self
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

#: A regular file, rw-r--r--: the recipient of a pack must be able to read it.
_MODE = 0o100644 << 16


class Bag:
    """A bag: add the payload, then tag files, then call `seal`; without it the zip is no valid bag.

    Paths are relative to the bag and use `/`. `made_at` is in seconds since 1970.
    """

    def __init__(self, stream: BinaryIO, root: str, made_at: float) -> None:
        self._zip = ZipFile(stream, "w", allowZip64=True)
        self._root = root
        self._made_at = made_at
        self._payload: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Close it while the stream is open: otherwise zipfile tries when it is garbage-collected, and warns.
        with suppress(OSError, ValueError):
            self._zip.close()

    def add_photo(self, path: str, chunks: Iterable[bytes], size: int, moment: float) -> None:
        """Add an uncompressed payload file of `size` bytes; `moment`: its date in the zip, seconds since 1970."""
        self._payload[path] = self._write(path, chunks, size, moment, ZIP_STORED)

    def add_text(self, path: str, content: bytes) -> None:
        """Add a compressed payload file."""
        self._payload[path] = self._write(path, [content], len(content), self._made_at, ZIP_DEFLATED)

    def add_tag(self, path: str, chunks: Iterable[bytes]) -> None:
        """Add a tag file, which describes the payload."""
        self._tags[path] = self._write(path, chunks, 0, self._made_at, ZIP_DEFLATED)

    def seal(self, info: dict[str, str]) -> None:
        """Write the manifests and bag-info.txt, which has one line for each entry of `info`, and close the zip."""
        date = time.strftime("%Y-%m-%d", time.gmtime(self._made_at))
        info = info | {"Bagging-Date": date, "Payload-Oxum": f"{self._size}.{len(self._payload)}"}
        lines = [f"{name}: {' '.join(value.split())}\n" for name, value in info.items()]
        self.add_tag("bagit.txt", [b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"])
        self.add_tag("bag-info.txt", [line.encode() for line in lines])
        self.add_tag("manifest-sha256.txt", _manifest(self._payload))
        self.add_tag("tagmanifest-sha256.txt", _manifest(self._tags))
        self._zip.close()

    def _write(self, path: str, chunks: Iterable[bytes], size: int, moment: float, method: int) -> str:
        entry = ZipInfo(f"{self._root}/{path}", _date(moment))
        entry.compress_type = method
        entry.external_attr = _MODE
        entry.file_size = size  # decides whether zipfile uses Zip64 for this entry
        digest = hashlib.sha256()
        with self._zip.open(entry, "w") as file:
            for chunk in chunks:
                digest.update(chunk)
                file.write(chunk)
                self._size += len(chunk) if path.startswith("data/") else 0
        return digest.hexdigest()


def _manifest(hashes: dict[str, str]) -> Iterator[bytes]:
    for path, digest in sorted(hashes.items()):
        yield f"{digest}  {path}\n".encode()


def _date(moment: float) -> tuple[int, int, int, int, int, int]:
    """Return the date in UTC, within the years that a zip can store."""
    year, month, day, hour, minute, second, *_ = time.gmtime(moment)
    return (min(max(year, 1980), 2107), month, day, hour, minute, second)
