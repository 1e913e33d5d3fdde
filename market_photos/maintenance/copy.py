"""Copy a store to another archive, with its history. The source stays as it is.

The catalogue is written last, so a copy that was cut short has none, and the same command continues: a file that is
there with the same SHA-256 is not copied again. At the end every photo of the copy is read back.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from market_photos.archive import layout, lock, volume
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.archive.files import StoreFiles
from market_photos.archive.hashing import in_threads
from market_photos.archive.photo_file import Stored
from market_photos.archive.place import Archive, Place
from market_photos.clock import Clock
from market_photos.errors import EvidenceBroken, ExitCode
from market_photos.maintenance.holding import held_store
from market_photos.maintenance.integrity import Problem
from market_photos.maintenance.verify import verify_store
from market_photos.market.requests import quotas
from market_photos.settings import Limits

#: Folders that are copied at the same time: mostly they wait for the storage.
THREADS = 8
#: The times of all returns, in seconds since 1970.
_ALWAYS = (-(2**62), 2**62)


@dataclass
class CopyResult:
    """What was copied of one store."""

    campaign: int
    is_there_already: bool = False
    """Whether the target had the store before."""
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
    """Copy a store and call `report` for each problem of the copy. Blocks.

    Raises AlreadyRunning where a run is at work on the store; EvidenceBroken where a photo of the source is not as it
    was archived; CatalogUnusable, ArchiveUnwritable.
    """
    result = CopyResult(campaign)
    folder = layout.store_folder(source.catalogs, campaign)
    if holder := lock.holder_of(folder):
        raise lock.already_running(folder / layout.LOCK_NAME, str(holder))
    if campaign in target.stores() and volume.is_there(_catalog_of(target, campaign)):
        result.is_there_already = True
        return result
    with (
        Catalog(folder, campaign, clock, read_only=True) as catalog,
        held_store(target, campaign, command, clock, is_rebuilt=True) as (held_folder, place),
    ):
        catalog.check()
        copier = _Copier(source.files(campaign), target.files(campaign), place)
        for copied in in_threads(lambda job: copier.copy(*job), _jobs(catalog), THREADS):
            result.files += copied.files
            result.size += copied.size
        catalog.backup(held_folder.folder / layout.CATALOG_NAME)
        with Catalog(held_folder.folder, campaign, clock, held_folder=held_folder) as new:
            # Nobody knows what is sent from the source meanwhile.
            for endpoint, quota in quotas(limits.photo_requests, limits.return_requests).items():
                new.requests.assume(endpoint, [0.0] * quota)
            new.returns.set_meta("stamps", place.stamp)
            place.leave_stamp(place.stamp)
            place.finish(new.backup)
    target.fetch([campaign])
    verified = verify_store(target, campaign, clock, full=True, repair=False, command=command, report=report)
    result.photos, result.exit_code = verified.photos, verified.exit_code
    return result


def _catalog_of(archive: Archive, campaign: int) -> Path:
    return layout.store_folder(archive.fetch([campaign]), campaign) / layout.CATALOG_NAME


def _jobs(catalog: Catalog) -> Iterator[tuple[Path, dict[str, bytes]]]:
    """Yield the folder of each return with photos, and the SHA-256 of those that are archived, by name."""
    for known in catalog.reader.created(*_ALWAYS):
        archived = [photo for photo in known.photos if photo.state is State.ARCHIVED]
        yield known.folder, {photo.name: photo.sha256 for photo in archived}


class _Copier:
    """Copies the files of returns. Every thread may use it."""

    def __init__(self, source: StoreFiles, target: StoreFiles, place: Place) -> None:
        """`place` is that of the target."""
        self._source = source
        self._target = target
        self._place = place

    def copy(self, folder: Path, hashes: dict[str, bytes]) -> _Copied:
        """Copy what a return's folder holds, photos by their SHA-256. Raises EvidenceBroken, ArchiveUnwritable."""
        count = size = 0
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
