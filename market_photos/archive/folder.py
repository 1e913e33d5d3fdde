"""An archive in a folder of this machine."""

import asyncio
import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

from market_photos.archive import atomic, image_type, layout, photo_file, tree, volume
from market_photos.archive.files import Opened
from market_photos.archive.folder_files import FolderFiles
from market_photos.archive.hashing import file_sha256
from market_photos.archive.held_folder import HeldFolder
from market_photos.archive.lock import Lock
from market_photos.archive.stores import known_stores, numbered_folders
from market_photos.archive.urgency import Urgency
from market_photos.clock import Clock
from market_photos.errors import CatalogUnusable
from market_photos.settings import Archive as ArchiveSettings

log = logging.getLogger(__name__)


class FolderPlace:
    """The photos of a store beside its catalogue. See place.Place."""

    def __init__(self, held_folder: HeldFolder, lock: Lock, floor: int | None) -> None:
        """`floor`: bytes that stay free on the disk, see `volume.require_room`."""
        self._held_folder = held_folder
        self._folder = held_folder.folder
        self._lock = lock
        self._floor = floor
        self.leave_stamp = lock.leave_stamp

    @property
    def stamp(self) -> str:
        return self._lock.stamp

    async def guard(self) -> None:
        """Wait for good: the system keeps the lock as long as the process lives."""
        await asyncio.Event().wait()

    def part(self, path: Path) -> AbstractAsyncContextManager[photo_file.Part]:
        part_path = self._folder / path.with_name(f"{path.name}{layout.PART_SUFFIX}")
        return photo_file.part(part_path, self._floor, self._held_folder.make_folder)

    def write(self, path: Path, content: bytes) -> None:
        self._held_folder.make_folder(self._folder / path.parent)
        atomic.write_atomically(self._folder / path, content, sync_name=False)

    def settle(self, folder: Path) -> None:
        with volume.disk_errors(self._folder / folder):
            atomic.sync_folder(self._folder / folder)

    def find(self, folder: Path, stem: str) -> Path | None:
        with volume.disk_errors(self._folder / folder):
            try:
                names = [path for path in (self._folder / folder).iterdir() if path.stem == stem]
            except FileNotFoundError:
                return None
            photos = [path for path in names if _is_photo(path)]
        return folder / min(photos).name if photos else None

    def stored(self, path: Path) -> photo_file.Stored:
        with volume.disk_errors(self._folder / path):
            return photo_file.Stored((self._folder / path).stat().st_size, file_sha256(self._folder / path))

    def sweep(self, folder: Path, stem: str, *, parts_only: bool) -> int:
        return photo_file.sweep(self._folder / folder, stem, parts_only=parts_only)

    def keep_safe(self, backup: Callable[[Path], None], size: int) -> None:
        """Do nothing: a crash does not touch the catalogue."""

    def checkpoint(self, backup: Callable[[Path], None]) -> None:
        """Do nothing: each change is on the disk."""

    def finish(self, backup: Callable[[Path], None], urgency: Urgency) -> None:
        """Do nothing: the next run finds the catalogue where it is."""


def _is_photo(path: Path) -> bool:
    """Return whether the file holds a photo. One that was emptied, for example, is downloaded again."""
    if path.suffix == layout.PART_SUFFIX or not layout.is_suffix(path.suffix):
        return False
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return not image_type.choose("", file.read(image_type.HEAD_BYTES)).not_a_photo


class FolderArchive:
    """See place.Archive."""

    def __init__(self, settings: ArchiveSettings) -> None:
        self._settings = settings
        self.catalogs = settings.catalogs
        self.name = str(settings.directory)

    @property
    def address(self) -> str:
        return os.path.realpath(self.catalogs)

    def stores(self) -> list[int]:
        return known_stores(self.catalogs)

    def numbers(self) -> list[int]:
        return numbered_folders(self.catalogs)

    def fetch(self, campaigns: Iterable[int] = ()) -> Path:
        """Return the folder: a catalogue is beside its photos."""
        return self.catalogs

    def fetch_each(self, campaigns: Iterable[int] = ()) -> dict[int, CatalogUnusable]:
        """Do nothing, as `fetch`."""
        return {}

    def urgency(self, campaign: int) -> Urgency | None:
        """Return None: the catalogue itself is at hand."""
        return None

    def has_catalog(self, campaign: int) -> bool:
        return volume.is_there(layout.store_folder(self.catalogs, campaign) / layout.CATALOG_NAME)

    def open(self, campaign: int, path: str) -> Opened:
        file = tree.open_within(layout.store_folder(self.catalogs, campaign), Path(path))
        status = os.fstat(file.fileno())
        version = f"{status.st_mtime_ns:x}-{status.st_size:x}"
        return Opened(file, status.st_size, version, io.DEFAULT_BUFFER_SIZE)

    def path_of(self, campaign: int, path: str) -> Path | None:
        return layout.store_folder(self.catalogs, campaign) / path

    takeover_seconds = 3.0  # the system may close a dead process's connections before it frees its locks
    is_changed_beside_runs = True
    is_looked_at_cheaply = True

    def files(self, campaign: int) -> FolderFiles:
        return FolderFiles(layout.store_folder(self.catalogs, campaign))

    def check(self) -> Iterator[str]:
        """Yield nothing: the folder of catalogues is all."""
        return iter(())

    def prepare(self) -> None:
        volume.require_marker(self.catalogs, self._settings.marker)
        atomic.make_folder(self.catalogs)
        volume.require_room(self.catalogs, self._settings.min_free_bytes)
        if share := volume.network_share(self.catalogs):
            log.warning("%s is on a network share (%s), where the catalogue is not safe", self.catalogs, share)

    @contextmanager
    def opened(self, campaign: int, held_folder: HeldFolder, lock: Lock, clock: Clock) -> Iterator[FolderPlace]:
        yield FolderPlace(held_folder, lock, self._settings.min_free_bytes)

    rebuilding = opened
