"""Delete the photos and records of old returns."""

import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from market_photos import failpoints
from market_photos.archive import atomic, layout, tree, volume
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.archive.files import StoreFiles
from market_photos.archive.place import Archive
from market_photos.clock import Clock, iso
from market_photos.errors import ArchiveUnwritable
from market_photos.maintenance import return_folder
from market_photos.maintenance.holding import changed_catalog
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


class Prune:
    """The prune of one store, whose lock is held from the plan to the last file."""

    def __init__(
        self, files: StoreFiles, catalog: Catalog, before: float, statuses: tuple[str, ...], clock: Clock
    ) -> None:
        self._files = files
        self._folder = catalog.path.parent
        self._catalog = catalog
        self._before = before
        self._statuses = statuses
        self._clock = clock
        self.left: list[str] = []
        """Messages about what could not be removed."""

    def plan(self) -> PrunePlan:
        """Return what would be deleted. Raises ArchiveUnwritable, CatalogUnusable."""
        pruning = self._catalog.pruning
        plan = PrunePlan(
            self._catalog.campaign,
            held=pruning.held(self._before),
            undated=pruning.undated(),
            unfinished=len(pruning.unfinished()),
            set_aside=_damaged_catalogs(self._folder),
        )
        for candidate in pruning.candidates(self._before, self._statuses):
            plan.oldest = min(plan.oldest or candidate.created_at, candidate.created_at)
            plan.newest = max(plan.newest, candidate.created_at)
            plan.returns += 1
            plan.photos += candidate.photos
            plan.size += candidate.size
            plan.lacking += candidate.lacking
        return plan

    def carry_out(self) -> int:
        """Delete, and return the number of returns.

        Raises ArchiveUnwritable, CatalogUnusable; the same command then continues.
        """
        pruning, count = self._catalog.pruning, 0
        pruning.enable_secure_delete()
        if not self.plan().is_empty:
            return_folder.remove_views(self._folder)
        for row in pruning.unfinished():
            self._remove_files(row)
            count += 1
        for candidate in pruning.candidates(self._before, self._statuses):
            if pruning.tombstone(candidate.row):
                self._remove_files(candidate.row)
                count += 1
        with volume.disk_errors(self._folder):
            for name in _damaged_catalogs(self._folder):
                (self._folder / name).unlink(missing_ok=True)
            atomic.sync_folder(self._folder)
        if count:
            return_folder.remove_views(self._folder)  # again: browse may have made some meanwhile
        return count

    def _remove_files(self, row: int) -> None:
        """Remove the files of a return that has a tombstone in the catalogue."""
        known = self._catalog.reader.get(row)
        try:
            self._files.require_real_folders(known.folder)
        except ArchiveUnwritable as error:
            self.left.append(error.message)  # the return stays unfinished: the next prune tries again
            return
        pruned = [photo for photo in known.photos if photo.state is State.PRUNED]
        if pruned:
            return_folder.write_tombstone(self._files, known, int(self._clock.now().wall))
        failpoints.point("pruning")
        has_others = any(photo.state not in (State.PRUNED, State.GONE) for photo in known.photos)
        stems = {photo.stem for photo in pruned}
        if not has_others:
            stems.add(Path(layout.RECORD_NAME).stem)
        left = self._files.remove_set_aside(known.folder)
        left += self._files.remove_stems(known.folder, stems)
        self.left += [f"{self._folder / path}: is a folder where a file should be." for path in left]
        self._catalog.pruning.finish(row)


def _damaged_catalogs(store: Path) -> dict[str, int]:
    """Return the files that rebuild has set aside, with their sizes. Raises ArchiveUnwritable."""
    with volume.disk_errors(store):
        found = {name: status for name, status in tree.entries(store).items() if name.startswith(DAMAGED_NAME)}
    return {name: status.st_size for name, status in found.items() if stat.S_ISREG(status.st_mode)}


@contextmanager
def locked_stores(
    archive: Archive,
    campaigns: Iterable[int],
    *,
    before: float,
    statuses: tuple[str, ...],
    clock: Clock,
    command: str,
) -> Iterator[list[Prune]]:
    """Yield the prunes of these stores, each locked. Raises AlreadyRunning, CatalogUnusable."""
    with ExitStack() as stack:
        prunes = []
        for campaign in campaigns:
            catalog = stack.enter_context(changed_catalog(archive, campaign, command, clock))
            prunes.append(Prune(archive.files(campaign), catalog, before, statuses, clock))
        yield prunes
