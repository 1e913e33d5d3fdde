"""Copy a store to another archive, with its history. The source stays as it is.

The catalogue is written last, so a copy that was cut short has none, and the same command continues: a file that is
there with the same SHA-256 is not copied again. What is copied is what the source's catalogue lists at the beginning.
At the end every photo of the copy is read back.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from market_photos import failpoints
from market_photos.archive import atomic, layout, lock, volume
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownReturn
from market_photos.archive.files import StoreFiles
from market_photos.archive.hashing import in_threads
from market_photos.archive.photo_file import Stored
from market_photos.archive.place import Archive, Place
from market_photos.clock import Clock
from market_photos.errors import EvidenceBroken, ExitCode
from market_photos.maintenance.holding import HeldStore, held_store
from market_photos.maintenance.integrity import Problem
from market_photos.maintenance.rebuild import SQLITE_SUFFIXES
from market_photos.maintenance.verify import verify_store
from market_photos.market.requests import quotas
from market_photos.settings import Limits

#: Folders that are copied at the same time: mostly they wait for the storage.
THREADS = 8
#: The catalogue of the copy until it is complete.
UNFINISHED_NAME = f"{layout.CATALOG_NAME}.copying"
#: The times of all returns, in seconds since 1970.
_ALWAYS = (-(2**62), 2**62)


@dataclass
class CopyResult:
    """What was copied of one store."""

    campaign: int
    is_there_already: bool = False
    """Whether the target had all of the store before."""
    has_parted: bool = False
    """Whether both archives have gone on since an earlier copy, so that nothing was copied."""
    files: int = 0
    """Files that were written; others were there."""
    size: int = 0
    """Their bytes."""
    photos: int = 0
    """Photos of the copy that were read back."""
    exit_code: ExitCode = ExitCode.COMPLETE


class _Copied(NamedTuple):
    files: int
    size: int


def copy_store(
    source: Archive,
    target: Archive,
    campaign: int,
    *,
    limits: Limits,
    clock: Clock,
    command: str,
    report: Callable[[int, Problem], None],
) -> CopyResult:
    """Copy a store, or what has come to it since an earlier copy; call `report` for each problem of the copy. Blocks.

    Raises AlreadyRunning where a run is at work on the store; EvidenceBroken where a photo of the source is not as it
    was archived; CatalogUnusable, ArchiveUnwritable.
    """
    result = CopyResult(campaign)
    folder = layout.store_folder(source.catalogs, campaign)
    if holder := lock.holder_of(folder):
        raise lock.already_running(folder / layout.LOCK_NAME, str(holder))
    with Catalog(folder, campaign, clock, read_only=True) as catalog:
        catalog.check()
        _StoreCopy(source, target, catalog, limits, clock, command, result).copy()
    if result.has_parted:
        result.exit_code = ExitCode.VERIFY
        return result
    target.fetch([campaign])
    verified = verify_store(target, campaign, clock, full=True, repair=False, command=command, report=report)
    result.photos, result.exit_code = verified.photos, verified.exit_code
    return result


@dataclass
class _StoreCopy:
    """One copy of one store."""

    source: Archive
    target: Archive
    catalog: Catalog
    """The source's."""
    limits: Limits
    clock: Clock
    command: str
    result: CopyResult

    def copy(self) -> None:
        """Copy what the target lacks, unless it has a history of its own."""
        campaign = self.result.campaign
        if not self.target.has_catalog(campaign):
            with self._held(is_rebuilt=True) as held:
                self._copy(held)
            return
        with self._catalog(layout.store_folder(self.target.fetch([campaign]), campaign)) as copied:
            self.result.is_there_already = _knows_all(copied, self.catalog)
        if self.result.is_there_already:
            return
        with self._held() as held:
            with self._catalog(held.held_folder.folder) as copied:
                self.result.has_parted = not _knows_all(self.catalog, copied)
            if not self.result.has_parted:
                self._copy(held)

    def _held(self, *, is_rebuilt: bool = False) -> AbstractContextManager[HeldStore]:
        return held_store(self.target, self.result.campaign, self.command, self.clock, is_rebuilt=is_rebuilt)

    def _catalog(self, folder: Path) -> Catalog:
        return Catalog(folder, self.result.campaign, self.clock, read_only=True)

    def _copy(self, held: HeldStore) -> None:
        """Copy what the catalogue lists as of now; then put a copy of it in place."""
        folder, campaign, place = held.held_folder.folder, self.result.campaign, held.place
        with volume.disk_errors(folder):
            _remove(folder / UNFINISHED_NAME)
        self.catalog.backup(folder / UNFINISHED_NAME)
        with Catalog(folder, campaign, self.clock, name=UNFINISHED_NAME, held_folder=held.held_folder) as new:
            self._copy_files(new, place)
            # Nobody knows what is sent from the source meanwhile.
            new.requests.assume_sent(quotas(self.limits.photo_requests, self.limits.return_requests).items())
            new.returns.set_meta("stamps", place.stamp)
        with volume.disk_errors(folder):
            _remove(folder / layout.CATALOG_NAME)
            (folder / UNFINISHED_NAME).rename(folder / layout.CATALOG_NAME)
            atomic.sync_folder(folder)
        failpoints.point("copied")
        with Catalog(folder, campaign, self.clock) as new:
            place.leave_stamp(place.stamp)
            place.finish(new.backup, new.urgency())

    def _copy_files(self, catalog: Catalog, place: Place) -> None:
        files = self.source.files(self.result.campaign)
        copier = _Copier(files, self.target.files(self.result.campaign), place)
        for copied in in_threads(lambda job: copier.copy(*job), _jobs(catalog, files), THREADS):
            self.result.files += copied.files
            self.result.size += copied.size
            failpoints.point("copying")


def _remove(database: Path) -> None:
    """Remove the files of an SQLite database. Raises OSError."""
    for suffix in SQLITE_SUFFIXES:
        database.with_name(f"{database.name}{suffix}").unlink(missing_ok=True)


def _knows_all(catalog: Catalog, other: Catalog) -> bool:
    """Return whether a catalogue has all that another one has: its last run, photos, tombstones and holds."""
    runs = catalog.runs.last(-1)
    if any(run not in runs for run in other.runs.last()):
        return False
    returns = other.reader.created(*_ALWAYS, all_returns=True)
    return all(_knows(catalog.reader.find(known.order, known.return_id), known) for known in returns)


def _knows(known: KnownReturn | None, other: KnownReturn) -> bool:
    """Return whether a return has all that it has in another catalogue. A photo that was pruned since counts."""
    if known is None or other.is_held > known.is_held:
        return False
    photos = {photo.key: photo for photo in known.photos}
    for theirs in other.photos:
        ours = photos.get(theirs.key)
        if ours is None or (theirs.state is State.PRUNED and ours.state is not State.PRUNED):
            return False
        if theirs.state is State.ARCHIVED and (ours.state, ours.sha256) not in (
            (State.ARCHIVED, theirs.sha256),
            (State.PRUNED, theirs.sha256),
        ):
            return False
    return True


def _jobs(catalog: Catalog, files: StoreFiles) -> Iterator[tuple[Path, dict[str, bytes]]]:
    """Yield each folder to copy, and the SHA-256 of the photos that are archived in it, by name."""
    for known in catalog.reader.created(*_ALWAYS):
        archived = [photo for photo in known.photos if photo.state is State.ARCHIVED]
        yield known.folder, {photo.name: photo.sha256 for photo in archived}
    for folder in files.set_aside_folders():
        yield folder, {}


class _Copier:
    """Copies the files of folders. Every thread may use it."""

    def __init__(self, source: StoreFiles, target: StoreFiles, place: Place) -> None:
        """`place` is that of the target."""
        self._source = source
        self._target = target
        self._place = place

    def copy(self, folder: Path, hashes: dict[str, bytes]) -> _Copied:
        """Copy what a folder holds, photos by their SHA-256. Raises EvidenceBroken, ArchiveUnwritable."""
        count = size = 0
        with volume.disk_errors(folder):
            found, there = self._source.entries(folder), self._target.entries(folder)
        files = {name for name, entry in found.items() if entry.is_file and not name.endswith(layout.PART_SUFFIX)}
        for name in sorted(files | hashes.keys()):
            path = folder / name
            content = self._content(path, hashes.get(name))
            stored = Stored(len(content), hashlib.sha256(content).digest())
            if name in there and self._place.stored(path) == stored:
                continue
            self._place.write(path, content)
            count, size = count + 1, size + len(content)
        if count:
            self._place.settle(folder)
        return _Copied(count, size)

    def _content(self, path: Path, sha256: bytes | None) -> bytes:
        try:
            content = self._source.content(path)
        except OSError as error:
            raise EvidenceBroken(f"{path}: cannot be read: {error.strerror or 'it is missing'}.", _REPAIR) from error
        if sha256 is not None and hashlib.sha256(content).digest() != sha256:
            raise EvidenceBroken(f"{path}: is not what was archived.", _REPAIR)
        return content


_REPAIR = "Run `market-photos verify --full --repair`, then `market-photos sync`, then copy again."
