"""A photo on its way out of the archive: checked, byte by byte, against what was recorded when it was fetched."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from market_photos.archive.snapshot import KnownPhoto
from market_photos.archive.suffix import HEAD_BYTES, sniff
from market_photos.clock import iso
from market_photos.errors import EvidenceBroken

#: Bytes read at a time.
CHUNK = 256 * 1024

_REPAIR = (
    "No pack was made. Run `market-photos verify --full --repair`: it lists what is wrong, puts changed files aside "
    "and queues them; then `market-photos sync`, and export again. Or put the file back from a backup."
)


class Evidence:
    """One photo's file. After `chunks` has run to its end, `kind` is what its first bytes say it is (`.jpg`)."""

    def __init__(self, archive: Path, photo: KnownPhoto) -> None:
        if not photo.path or photo.sha256 is None or photo.size is None:
            raise EvidenceBroken(f"{photo.key}: is archived, but the catalogue has no file or hash of it.", _REPAIR)
        self.path = archive / photo.path
        self.size = photo.size
        self._sha256 = photo.sha256
        self._fetched_at = photo.changed_at
        self.kind = ""

    def chunks(self) -> Iterator[bytes]:
        """The file's bytes. Raises EvidenceBroken: missing, unreadable, or (at the end) not what was fetched."""
        digest, size = hashlib.sha256(), 0
        with self._readable() as file:
            while chunk := self._read(file):
                if not size:
                    self.kind = sniff(chunk[:HEAD_BYTES])
                digest.update(chunk)
                size += len(chunk)
                yield chunk
        if digest.digest() != self._sha256:
            raise EvidenceBroken(
                f"{self.path}: is not what was fetched at {iso(self._fetched_at)}: {size:,} bytes with SHA-256 "
                f"{digest.hexdigest()}, but the catalogue has {self.size:,} bytes with {self._sha256.hex()}.",
                _REPAIR,
            )

    @contextmanager
    def _readable(self) -> Iterator[BinaryIO]:
        try:
            file = open(self.path, "rb", opener=_unfollowed)  # noqa: SIM115 - closed below; only opening is tried
        except OSError as error:
            raise self._unreadable(error) from error
        with file:
            yield file

    def _read(self, file: BinaryIO) -> bytes:
        try:
            return file.read(CHUNK)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> EvidenceBroken:
        if error.errno == errno.ENOENT:
            return EvidenceBroken(f"{self.path}: is missing, but the catalogue has it as archived.", _REPAIR)
        return EvidenceBroken(f"{self.path}: cannot be read: {error.strerror}.", f"Mend that first. {_REPAIR}")


def _unfollowed(path: str, flags: int) -> int:
    """A link is no evidence; a pipe in the place of a photo must not hang us."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
