"""Make a new catalogue from the files of a store, when the old one is lost or damaged.

Nothing that is on disk is downloaded again. What the files do not tell:
- how far the listing had come: the next sync lists everything;
- which photos were gone (404): they are requested once more;
- which requests were sent in the last quota period: the whole quota counts as spent at the time of the rebuild. The
  files do not tell, as the clock may have been wrong, and failed requests leave no file.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from market_photos import failpoints
from market_photos.archive import atomic, layout, volume
from market_photos.archive.catalog import adoption
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.opening import owner_of
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.restore import RestoredReturn
from market_photos.archive.files import StoreFiles
from market_photos.archive.hashing import in_threads
from market_photos.archive.place import Archive
from market_photos.clock import Clock, iso
from market_photos.errors import CatalogDamaged, ExitCode, UsageError
from market_photos.maintenance.holding import held_store
from market_photos.maintenance.salvage import salvage
from market_photos.market.requests import quotas
from market_photos.settings import Limits
from market_photos.text import counted, one_line

#: The prefix of a damaged catalogue that was set aside.
DAMAGED_NAME = f"{layout.CATALOG_NAME}.damaged-"
#: The new catalogue until it is complete.
UNFINISHED_NAME = f"{layout.CATALOG_NAME}.rebuilding"
#: Suffixes of the files of an SQLite database.
SQLITE_SUFFIXES = ("", "-wal", "-shm")
#: Returns written in one transaction.
BATCH = 100


@dataclass
class RebuildResult:
    """What a new catalogue contains."""

    campaign: int
    set_aside: Path | None = None
    """The damaged catalogue, if there was one."""
    returns: int = 0
    photos: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    unexplained: list[tuple[Path, str]] = field(default_factory=list)
    """Files and folders that were ignored, relative to the store's folder, with the reason."""

    def lines(self) -> list[str]:
        """Return the result as text for people."""
        archived, pending, pruned = (self.photos[state] for state in (State.ARCHIVED, State.PENDING, State.PRUNED))
        lines = [f"Store {self.campaign}: the damaged catalogue is now {self.set_aside}."] if self.set_aside else []
        lines.append(
            f"Store {self.campaign}: a new catalogue of {counted(self.returns, 'return')}: "
            f"{counted(archived, 'photo')} here, {pending:,} lacking{f', {pruned:,} pruned' * bool(pruned)}."
        )
        return lines + [f"  left as it is: {one_line(str(path))}: {reason}" for path, reason in self.unexplained]


def rebuild_store(archive: Archive, campaign: int, limits: Limits, clock: Clock, command: str) -> RebuildResult:
    """Make a new catalogue for a store. Blocks.

    Raises UsageError where the catalogue is in order; AlreadyRunning, CatalogUnusable, ArchiveUnwritable.
    """
    if campaign not in archive.stores():
        raise UsageError(
            f"{archive.name}: there is no store {campaign}.", "Check the number, and directory or url in [archive]."
        )
    with suppress(CatalogDamaged):
        archive.fetch([campaign])
    with held_store(archive, campaign, command, clock, is_rebuilt=True) as (held_folder, place):
        folder = held_folder.folder
        _require_damaged(folder, campaign, clock)
        result = RebuildResult(campaign, _set_aside(folder, clock))
        with Catalog(folder, campaign, clock, name=UNFINISHED_NAME, held_folder=held_folder) as catalog:
            run = catalog.runs.begin(command)
            adoption.accept(catalog, place.stamp)
            _restore_returns(catalog, archive.files(campaign), result)
            catalog.requests.assume_sent(quotas(limits.photo_requests, limits.return_requests).items())
            counts = {state.value: count for state, count in result.photos.items()}
            catalog.runs.end(run, ExitCode.COMPLETE, {"returns": result.returns, **counts})
        with volume.disk_errors(folder):
            (folder / UNFINISHED_NAME).rename(folder / layout.CATALOG_NAME)
            atomic.sync_folder(folder)
        failpoints.point("rebuilt")
        with Catalog(folder, campaign, clock) as catalog:
            place.leave_stamp(place.stamp)
            place.finish(catalog.backup, catalog.urgency())
    return result


def copies(archive: Path, stores: Iterable[int]) -> dict[int, UsageError]:
    """Return the folders that are copies of another store in the archive, each with an error that says so."""
    owners = {store: owner_of(archive / str(store) / layout.CATALOG_NAME) for store in stores}
    originals = {owner for store, owner in owners.items() if owner == str(store)}
    return {
        store: UsageError(
            f"{archive / str(store)}: is a copy of store {owner}, and is left alone.",
            f"Move it out of the archive. If it is a store of its own: rebuild --campaign {store}.",
        )
        for store, owner in owners.items()
        if owner != str(store) and owner in originals
    }


def _require_damaged(folder: Path, campaign: int, clock: Clock) -> None:
    """Raise UsageError where the catalogue is in order."""
    path = folder / layout.CATALOG_NAME
    if not volume.is_there(path) or not path.stat().st_size:
        return
    try:
        with Catalog(folder, campaign, clock, read_only=True) as catalog:
            catalog.check()
    except CatalogDamaged:
        return
    raise UsageError(
        f"{path}: is in order; there is nothing to rebuild.",
        "If it is the wrong one, move it aside together with its -wal and -shm, then run this again.",
    )


def _set_aside(folder: Path, clock: Clock) -> Path | None:
    """Rename the files of the damaged catalogue, and delete those of an earlier rebuild; return the new path."""
    renamed = f"{DAMAGED_NAME}{iso(clock.now().wall).replace(':', '')}"
    moved = []
    with volume.disk_errors(folder):
        for suffix in SQLITE_SUFFIXES:
            old = folder / f"{layout.CATALOG_NAME}{suffix}"
            if volume.is_there(old):
                moved.append(old.rename(folder / f"{renamed}{suffix}"))
            (folder / f"{UNFINISHED_NAME}{suffix}").unlink(missing_ok=True)
        atomic.sync_folder(folder)
    return moved[0] if moved else None


def _restore_returns(catalog: Catalog, files: StoreFiles, result: RebuildResult) -> None:
    def ignore(path: Path, reason: str) -> None:
        result.unexplained.append((path, reason))

    batch: list[RestoredReturn] = []
    folders = files.return_folders(ignore)
    for salvaged in in_threads(lambda path: salvage(catalog.campaign, files, path), folders, files.at_once):
        for path, reason in salvaged.unexplained:
            ignore(path, reason)
        batch += [salvaged.found] if salvaged.found else []
        if len(batch) >= BATCH:
            _write(catalog, batch, result)
            failpoints.point("rebuilding")
    _write(catalog, batch, result)


def _write(catalog: Catalog, batch: list[RestoredReturn], result: RebuildResult) -> None:
    duplicates = catalog.restoring.add(batch)
    for restored in batch:
        if restored in duplicates:
            folder = layout.return_folder(restored.month, restored.ref)
            result.unexplained.append((folder, "this return also has a folder in another month"))
            continue
        result.returns += 1
        for photo in restored.photos:
            result.photos[photo.state] += 1
    batch.clear()
