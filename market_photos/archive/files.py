"""The files of a store as the owner's upkeep sees them: in a folder (folder_files.py), a bucket (bucket_files.py)."""

import io
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """A name in a folder."""

    size: int
    modified: float
    """Seconds since 1970."""
    is_file: bool = True
    """Whether it is a regular file: no folder, link or device."""


class Opened(io.BufferedReader):
    """A file that is open for reading."""

    def __init__(self, raw: io.RawIOBase, size: int, version: str, buffer_size: int) -> None:
        super().__init__(raw, buffer_size)
        self.size = size
        """In bytes."""
        self.version = version
        """Changes with the content."""


class StoreFiles(Protocol):
    """Files below a store, by paths relative to it. Follows no link. Methods block and raise ArchiveUnwritable."""

    def return_folders(self, report_unknown: Callable[[Path, str], None]) -> Iterator[Path]:
        """Yield the folders that are named like returns, by month and name; report everything else in `photos`."""

    def has_folder(self, folder: Path) -> bool:
        """Return whether a folder exists."""

    def entries(self, folder: Path) -> dict[str, Entry]:
        """Return the names in a folder, sorted. Raises OSError."""

    def exists(self, path: Path) -> bool:
        """Return whether something has this name."""

    def content(self, path: Path) -> bytes:
        """Return the content of a small regular file. Raises OSError."""

    def head(self, path: Path, size: int) -> bytes:
        """Return the first bytes of a regular file. Raises OSError."""

    def sha256(self, path: Path) -> bytes:
        """Return the SHA-256 of a regular file, which is read. Raises OSError."""

    @property
    def keeps_sha256(self) -> bool:
        """Whether the SHA-256 of most files is known without reading them."""

    def kept_sha256(self, path: Path) -> bytes:
        """Return the SHA-256 that is kept with a regular file, or what `sha256` does. Raises OSError."""

    @property
    def at_once(self) -> int | None:
        """How many files are best read at the same time; None means one per core."""

    def require_real_folders(self, folder: Path) -> None:
        """Raise ArchiveUnwritable where a link or a file stands in place of a folder on the path."""

    def write(self, path: Path, content: bytes) -> None:
        """Write a small file durably, or replace it."""

    def remove(self, path: Path) -> None:
        """Remove a file, if it exists."""

    def remove_stems(self, folder: Path, stems: Collection[str]) -> list[Path]:
        """Remove the files with these names, whatever their suffix; return folders found instead, which stay."""

    def set_aside(self, path: Path, day: str) -> None:
        """Keep a file in `set-aside/<day>`, where no sync touches it. Overwrites nothing.

        It may still be in its old place, too: `remove` it when the catalogue no longer needs it there.
        """

    def set_aside_folders(self) -> Iterator[Path]:
        """Yield the folders below `set-aside`, with what verify has set aside."""

    def remove_set_aside(self, folder: Path) -> list[Path]:
        """Remove what verify has set aside of a return; return the folders found instead of files, which stay."""
