"""Prune, hold and release, as their owner asks for them."""

import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from market_photos import failpoints
from market_photos.archive import atomic, layout, lock, tree, volume
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownReturn
from market_photos.clock import Clock, iso
from market_photos.errors import ArchiveUnwritable, UsageError
from market_photos.maintenance import return_folder
from market_photos.text import human_bytes, one_line

#: How the name of a catalogue begins that rebuild put aside.
DAMAGED_NAME = f"{layout.CATALOG_NAME}.damaged-"


@dataclass
class Doomed:
    """What would go from one store."""

    campaign: int
    returns: int = 0
    photos: int = 0
    size: int = 0
    lacking: int = 0
    oldest: int = 0
    newest: int = 0
    held: int = 0
    undated: int = 0
    unfinished: int = 0
    """Returns that an earlier prune, cut short, has left half done."""
    set_aside: dict[str, int] = field(default_factory=dict)
    """Damaged catalogues that rebuild put aside, and their sizes: they hold the records of buyers."""

    @property
    def is_empty(self) -> bool:
        return not (self.returns or self.unfinished or self.set_aside)

    def lines(self) -> list[str]:
        lines = [f"Store {self.campaign}: nothing to prune"]
        if self.returns:
            lines[0] = (
                f"Store {self.campaign}: {self.photos:,} photos ({human_bytes(self.size)}) of {self.returns:,} "
                f"returns, the oldest of {iso(self.oldest)[:10]}, the newest of {iso(self.newest)[:10]}"
            )
        if self.lacking:
            lines.append(f"  {self.lacking:,} photos that were never fetched will never be")
        if self.unfinished:
            lines.append(f"  {self.unfinished:,} returns of a prune that was cut short: their files go now")
        for name, size in self.set_aside.items():
            lines.append(
                f"  {one_line(name)} ({human_bytes(size)}), put aside by rebuild: holds buyers' records, goes too"
            )
        if self.held:
            lines.append(f"  {self.held:,} returns of that age are on hold and stay")
        if self.undated:
            lines.append(f"  {self.undated:,} returns have no date and stay")
        return lines

    def as_json(self) -> dict[str, object]:
        return {
            **self.__dict__,
            "oldest": iso(self.oldest) if self.returns else None,
            "newest": iso(self.newest) if self.returns else None,
        }


class Prune:
    """One prune of one store, under its lock from the first look to the last file."""

    def __init__(
        self, folder: Path, catalog: Catalog, before: float, statuses: tuple[str, ...], clock: Clock
    ) -> None:
        self._folder = folder
        self._catalog = catalog
        self._before = before
        self._statuses = statuses
        self._clock = clock
        self.left: list[str] = []
        """What could not be removed, in words."""

    def plan(self) -> Doomed:
        pruning = self._catalog.pruning
        doomed = Doomed(
            self._catalog.campaign,
            held=pruning.held(self._before),
            undated=pruning.undated(),
            unfinished=len(pruning.unfinished()),
            set_aside=set_aside_catalogs(self._folder),
        )
        for one in pruning.candidates(self._before, self._statuses):
            doomed.oldest = min(doomed.oldest or one.created_at, one.created_at)
            doomed.newest = max(doomed.newest, one.created_at)
            doomed.returns += 1
            doomed.photos += one.photos
            doomed.size += one.size
            doomed.lacking += one.lacking
        return doomed

    def carry_out(self) -> int:
        """How many returns. Raises ArchiveUnwritable, CatalogUnusable; the same command then goes on."""
        pruning, count = self._catalog.pruning, 0
        pruning.enable_secure_delete()
        if not self.plan().is_empty:
            return_folder.forget_views(self._folder)
        for row in pruning.unfinished():
            self._clear(row)
            count += 1
        for one in pruning.candidates(self._before, self._statuses):
            if pruning.tombstone(one.row):
                self._clear(one.row)
                count += 1
        self._forget_set_aside_catalogs()
        if count:
            # Once more, for pages may have been looked at meanwhile.
            return_folder.forget_views(self._folder)
        return count

    def _clear(self, row: int) -> None:
        known = self._catalog.reader.get(row)
        folder = known.folder
        try:
            _require_no_obstacle(self._folder, folder)
        except ArchiveUnwritable as error:
            self.left.append(error.message)  # its files are still to go: the next prune tries again
            return
        photos = known.photos
        pruned = [photo for photo in photos if photo.state is State.PRUNED]
        if pruned:
            return_folder.write_tombstone(
                self._folder / folder, known.created_at, int(self._clock.now().wall), pruned
            )
        failpoints.point("pruning")
        has_others = any(photo.state not in (State.PRUNED, State.GONE) for photo in photos)
        kept = return_folder.forget_aside(self._folder, folder)
        kept += return_folder.empty(self._folder, folder, [photo.stem for photo in pruned], keep_record=has_others)
        self.left += [f"{self._folder / path}: is a folder where a file should be." for path in kept]
        self._catalog.pruning.finish(row)

    def _forget_set_aside_catalogs(self) -> None:
        with volume.disk_errors(self._folder):
            for name in set_aside_catalogs(self._folder):
                (self._folder / name).unlink(missing_ok=True)
            atomic.sync_folder(self._folder)


def set_aside_catalogs(store: Path) -> dict[str, int]:
    """Return the files that `rebuild` put aside, and their sizes. Raises ArchiveUnwritable."""
    with volume.disk_errors(store):
        found = {name: status for name, status in tree.entries(store).items() if name.startswith(DAMAGED_NAME)}
    return {name: status.st_size for name, status in found.items() if stat.S_ISREG(status.st_mode)}


@contextmanager
def opened(
    archive: Path, campaigns: Sequence[int], *, before: float, statuses: tuple[str, ...], clock: Clock, command: str
) -> Iterator[list[Prune]]:
    """The stores to prune, each locked. Raises AlreadyRunning, CatalogUnusable."""
    with ExitStack() as held:
        prunes = []
        for campaign in campaigns:
            folder = layout.store_folder(archive, campaign)
            held.enter_context(lock.Lock(folder / layout.LOCK_NAME, command, clock))
            catalog = held.enter_context(Catalog(folder, campaign, clock))
            prunes.append(Prune(folder, catalog, before, statuses, clock))
        yield prunes


def set_hold(
    archive: Path,
    campaigns: Sequence[int],
    return_id: int,
    order: int | None,
    *,
    is_held: bool,
    clock: Clock,
    command: str,
) -> tuple[int, KnownReturn]:
    """Puts the one return with these numbers on hold, or releases it; beside a run, too.

    Raises UsageError where there is no such return, more than one, or where it is pruned already.
    """
    campaign, found = _the_one(archive, campaigns, return_id, order, clock)
    store = layout.store_folder(archive, campaign)
    folder = store / found.folder
    with Catalog(store, campaign, clock) as catalog:
        _require_no_obstacle(store, found.folder)
        if not is_held:
            catalog.pruning.release(found.row, partial(return_folder.unmark_held, folder))
        elif not catalog.pruning.hold(
            found.row, partial(return_folder.mark_held, folder, command, iso(clock.now().wall))
        ):
            raise UsageError(
                f"Return {return_id} of store {campaign} is pruned, or is being pruned now: it cannot be held.",
                "Its photos are gone, or go just now.",
            )
    return campaign, found


def _require_no_obstacle(store: Path, folder: Path) -> None:
    with volume.disk_errors(store / folder):
        obstacle = tree.obstacle(store, folder)
    if obstacle:
        raise ArchiveUnwritable(
            f"{obstacle}: is a link or a file where a folder of the archive should be; no link is followed.",
            "Move it aside, or put the folder back; then run the same command again.",
        )


def _the_one(
    archive: Path, campaigns: Sequence[int], return_id: int, order: int | None, clock: Clock
) -> tuple[int, KnownReturn]:
    found = []
    for campaign in campaigns:
        with Catalog(layout.store_folder(archive, campaign), campaign, clock, read_only=True) as catalog:
            found += [(campaign, known) for known in catalog.reader.numbered(order, [return_id])]
    if not found:
        of_order = f" of order {order}" if order is not None else ""
        raise UsageError(f"The archive knows no return {return_id}{of_order}.", "Check the numbers.")
    if len(found) > 1:
        choices = "; ".join(f"--campaign {campaign} --order {known.order}" for campaign, known in found)
        raise UsageError(f"There are {len(found)} returns {return_id}.", f"Say which: {choices}")
    return found[0]
