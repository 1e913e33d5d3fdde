"""Where an archive's photos are: the interface of a folder (folder.py) and of a bucket (bucket.py).

A catalogue is an SQLite file on this machine either way: beside the photos, or in the scratch folder of a bucket.
Whatever else has to know the kind of a place belongs here.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Protocol

from market_photos.archive.files import Opened, StoreFiles
from market_photos.archive.held_folder import HeldFolder
from market_photos.archive.lock import Lock
from market_photos.archive.photo_file import Part, Stored
from market_photos.archive.urgency import Urgency
from market_photos.clock import Clock
from market_photos.errors import CatalogUnusable

#: The beginning of a stamp for a store whose last run was killed or cut off, so that its catalogue may lack that run.
#: No catalogue knows such a stamp.
TAKEN_OVER = "taken-over-"


class Place(Protocol):
    """The photos and records of one store, which this process has locked.

    Paths are relative to the store's folder. Every method but `guard` and `part` blocks. Raises ArchiveUnwritable.
    """

    @property
    def stamp(self) -> str:
        """What the last run left with `leave_stamp`; empty if there was none. See catalog/adoption.py."""

    def leave_stamp(self, stamp: str) -> None:
        """Write a text for the next run that locks the store."""

    async def guard(self) -> None:
        """Wait for good; raise AlreadyRunning or ArchiveUnwritable once the store may be another process's."""

    def part(self, path: Path) -> AbstractAsyncContextManager[Part]:
        """Return a new photo, which is collected beside `path` until it is committed."""

    def write(self, path: Path, content: bytes) -> None:
        """Write a small file, or replace it. Its name is durable after `settle`."""

    def settle(self, folder: Path) -> None:
        """Make the names in a folder durable."""

    def find(self, folder: Path, stem: str) -> Path | None:
        """Return the complete photo with this name that is there although no run has recorded it."""

    def stored(self, path: Path) -> Stored:
        """Return size and hash of a photo. Raises FileNotFoundError."""

    def sweep(self, folder: Path, stem: str, *, parts_only: bool) -> int:
        """Remove what a killed run left of one photo, see `photo_file.sweep`; return the number of files."""

    def keep_safe(self, backup: Callable[[Path], None], size: int) -> None:
        """Limit what a crash would cost. `size`: bytes of photos that this run has stored so far.

        `backup` writes a copy of the catalogue to a path.
        """

    def checkpoint(self, backup: Callable[[Path], None]) -> None:
        """Make all changes to the catalogue outlast a crash of this machine. `backup`: see `keep_safe`."""

    def finish(self, backup: Callable[[Path], None], urgency: Urgency) -> None:
        """Leave the store for the next run. `backup`: see `keep_safe`."""


class Archive(Protocol):
    """An archive with any number of stores."""

    @property
    def catalogs(self) -> Path:
        """The folder of the stores' catalogues and locks on this machine."""

    @property
    def name(self) -> str:
        """Its folder or address, for people."""

    @property
    def address(self) -> str:
        """What tells it from every other archive: its folder without links, or its bucket with the storage."""

    def stores(self) -> list[int]:
        """Return the stores that have a catalogue or photos, sorted. Blocks."""

    def numbers(self) -> list[int]:
        """Return the numbers that have a folder, also where it is no store's, sorted. Blocks."""

    def fetch(self, campaigns: Iterable[int] = ()) -> Path:
        """Bring the catalogues of some stores, or of all, up to date for reading; return `catalogs`. Blocks.

        Raises CatalogUnusable, and as `fetch_each`.
        """

    def fetch_each(self, campaigns: Iterable[int] = ()) -> dict[int, CatalogUnusable]:
        """Do as `fetch` does, but return the errors of stores: one costs the others nothing. Blocks.

        Raises ArchiveUnwritable where the archive itself cannot be read, or this machine cannot keep its catalogues.
        """

    def urgency(self, campaign: int) -> Urgency | None:
        """Return what the last run left on record beside the catalogue, if anything. Blocks."""

    def has_catalog(self, campaign: int) -> bool:
        """Return whether a store has a catalogue, in a bucket a checkpoint of one. Blocks."""

    def open(self, campaign: int, path: str) -> Opened:
        """Open a file of a store for reading; it is never in memory as a whole. Opening and reading block.

        Raises OSError, also where a link or a device is on the path, and ArchiveUnwritable.
        """

    def path_of(self, campaign: int, path: str) -> Path | None:
        """Return where a file or folder of a store is on this machine; None in a bucket."""

    @property
    def takeover_seconds(self) -> float:
        """Seconds after which a store is surely free whose process has died."""

    @property
    def is_looked_at_cheaply(self) -> bool:
        """Whether a page with many returns may look into the folder of each."""

    def check(self) -> Iterator[str]:
        """Try what the place needs beside the folder of catalogues; yield what was found. Blocks.

        Raises ArchiveUnwritable.
        """

    def files(self, campaign: int) -> StoreFiles:
        """Return the files of a store."""

    @property
    def is_changed_beside_runs(self) -> bool:
        """Whether a small change to a catalogue needs no lock: a run at work has the same file open."""

    def rebuilding(
        self, campaign: int, held_folder: HeldFolder, lock: Lock, clock: Clock
    ) -> AbstractContextManager[Place]:
        """Open a store as `opened` does, whatever its catalogue is like. Blocks. Raises AlreadyRunning."""

    def prepare(self) -> None:
        """Raise ArchiveUnwritable unless a run can write to the archive. Blocks."""

    def opened(
        self, campaign: int, held_folder: HeldFolder, lock: Lock, clock: Clock
    ) -> AbstractContextManager[Place]:
        """Open a store that is locked on this machine. Blocks. Raises AlreadyRunning, CatalogUnusable."""
