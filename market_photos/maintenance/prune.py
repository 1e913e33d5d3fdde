"""Delete the photos and records of old returns."""

import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from market_photos import failpoints
from market_photos.archive import atomic, layout, lock, tree, volume
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.archive.files import StoreFiles
from market_photos.archive.place import Archive
from market_photos.clock import Clock, iso
from market_photos.errors import ArchiveUnwritable
from market_photos.maintenance import return_folder
from market_photos.maintenance.holding import changed_store
from market_photos.maintenance.rebuild import DAMAGED_NAME
from market_photos.text import counted, human_bytes, one_line


@dataclass
class PrunePlan:
    """What a prune would delete from one store. The names of the fields are those of the JSON output."""

    campaign: int
    returns: int = 0
    photos: int = 0
    size: int = 0
    """In bytes."""
    lacking: int = 0
    """Photos that were not downloaded, and will not be."""
    oldest: int = 0
    newest: int = 0
    held: int = 0
    undated: int = 0
    unfinished: int = 0
    """Returns of an earlier prune that was interrupted."""
    set_aside: dict[str, int] = field(default_factory=dict)
    """Damaged catalogues, which contain buyers' records, and their sizes in bytes."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to delete."""
        return not (self.returns or self.unfinished or self.set_aside)

    def lines(self) -> Iterator[str]:
        """Yield the plan as text for people."""
        if self.returns:
            yield (
                f"Store {self.campaign}: {counted(self.photos, 'photo')} ({human_bytes(self.size)}) "
                f"of {counted(self.returns, 'return')}, the oldest of {iso(self.oldest)[:10]}, "
                f"the newest of {iso(self.newest)[:10]}"
            )
        else:
            yield f"Store {self.campaign}: nothing to prune"
        if self.lacking:
            yield f"  {counted(self.lacking, 'photo')} not downloaded so far will not be downloaded any more"
        if self.unfinished:
            yield f"  {counted(self.unfinished, 'return')} of an interrupted prune: the files are deleted now"
        for name, size in self.set_aside.items():
            yield f"  {one_line(name)} ({human_bytes(size)}): set aside by rebuild, contains buyers' records"
        if self.held:
            yield f"  {counted(self.held, 'return')} of that age on hold: kept"
        if self.undated:
            yield f"  {counted(self.undated, 'return')} without a date: kept"

    def as_json(self) -> dict[str, object]:
        """Return the plan as a JSON object."""
        dates = {name: iso(getattr(self, name)) if self.returns else None for name in ("oldest", "newest")}
        return asdict(self) | dates


class PruneResult(NamedTuple):
    """What a prune of one store has done."""

    returns: int
    left: list[str]
    """Messages about what could not be removed."""


class Prune(NamedTuple):
    """Which returns go, and what carries it out."""

    archive: Archive
    before: float
    """Returns that were created earlier go; seconds since 1970."""
    statuses: tuple[str, ...]
    """Only returns with one of these refund statuses; all if empty."""
    clock: Clock
    command: str

    def plan(self, campaign: int) -> PrunePlan:
        """Return what would be deleted from a store.

        Raises AlreadyRunning if a run is at work on it, ArchiveUnwritable, CatalogUnusable.
        """
        folder = layout.store_folder(self.archive.catalogs, campaign)
        if holder := lock.held_by(folder / layout.LOCK_NAME):  # on another machine its lease tells, in its turn
            raise lock.already_running(folder / layout.LOCK_NAME, str(holder))
        with Catalog(folder, campaign, self.clock, read_only=True) as catalog:
            return self._plan(catalog)

    def _plan(self, catalog: Catalog) -> PrunePlan:
        pruning = catalog.pruning
        plan = PrunePlan(
            catalog.campaign,
            held=pruning.held(self.before),
            undated=pruning.undated(),
            unfinished=len(pruning.unfinished()),
            set_aside=_damaged_catalogs(catalog.path.parent),
        )
        for candidate in pruning.candidates(self.before, self.statuses):
            plan.oldest = min(plan.oldest or candidate.created_at, candidate.created_at)
            plan.newest = max(plan.newest, candidate.created_at)
            plan.returns += 1
            plan.photos += candidate.photos
            plan.size += candidate.size
            plan.lacking += candidate.lacking
        return plan

    def carry_out(self, campaign: int) -> PruneResult:
        """Delete from a store what its plan would name now.

        Raises AlreadyRunning, ArchiveUnwritable, CatalogUnusable; the same command then continues.
        """
        with changed_store(self.archive, campaign, self.command, self.clock) as store:
            catalog, pruning = store.catalog, store.catalog.pruning
            folder = catalog.path.parent
            pruning.enable_secure_delete()
            return_folder.remove_views(folder)
            for candidate in pruning.candidates(self.before, self.statuses):
                pruning.tombstone(candidate.row)
            store.keep()
            removal = _Removal(catalog, self.archive.files(campaign), int(self.clock.now().wall))
            for row in (rows := pruning.unfinished()):
                removal.remove_files(row)
            with volume.disk_errors(folder):
                for name in _damaged_catalogs(folder):
                    (folder / name).unlink(missing_ok=True)
                atomic.sync_folder(folder)
            return_folder.remove_views(folder)  # again: browse may have made some meanwhile
        return PruneResult(len(rows), removal.left)


class _Removal:
    """The removal of the files of returns that have tombstones in the catalogue."""

    def __init__(self, catalog: Catalog, files: StoreFiles, pruned_at: int) -> None:
        self._catalog = catalog
        self._files = files
        self._pruned_at = pruned_at
        self.left: list[str] = []

    def remove_files(self, row: int) -> None:
        """Remove the files of a return."""
        known = self._catalog.reader.get(row)
        try:
            self._files.require_real_folders(known.folder)
        except ArchiveUnwritable as error:
            self.left.append(error.message)  # the return stays unfinished: the next prune tries again
            return
        pruned = [photo for photo in known.photos if photo.state is State.PRUNED]
        if pruned:
            return_folder.write_tombstone(self._files, known, self._pruned_at)
        failpoints.point("pruning")
        has_others = any(photo.state not in (State.PRUNED, State.GONE) for photo in known.photos)
        stems = {photo.stem for photo in pruned}
        if not has_others:
            stems.add(Path(layout.RECORD_NAME).stem)
        left = self._files.remove_set_aside(known.folder)
        left += self._files.remove_stems(known.folder, stems)
        store = self._catalog.path.parent
        self.left += [f"{store / path}: is a folder where a file should be." for path in left]
        self._catalog.pruning.finish(row)


def _damaged_catalogs(store: Path) -> dict[str, int]:
    """Return the files that rebuild has set aside, with their sizes. Raises ArchiveUnwritable."""
    with volume.disk_errors(store):
        found = {name: status for name, status in tree.entries(store).items() if name.startswith(DAMAGED_NAME)}
    return {name: status.st_size for name, status in found.items() if stat.S_ISREG(status.st_mode)}
