"""A new catalogue from the tree, when the old one is lost or damaged. Nothing that is on disk is fetched again.

What the tree cannot tell, and what then holds:
- how far the listing had come: the next sync lists everything;
- which photos were gone: they are asked for once more;
- what was sent in the last period: the whole quota counts as spent at the time of the rebuild. The times of the
  files say nothing certain, as the clock may have been wrong, and requests that failed leave no file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from market_photos import failpoints
from market_photos.archive import atomic, layout, lock, tree, volume
from market_photos.archive.catalog import adoption
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.opening import owner_of
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.restore import RestoredReturn
from market_photos.archive.hashing import in_threads
from market_photos.clock import Clock, iso
from market_photos.errors import CatalogDamaged, ExitCode, UsageError
from market_photos.maintenance.salvage import salvage
from market_photos.market.requests import quotas
from market_photos.settings import Limits
from market_photos.text import one_line

#: The catalogue while it is made; its leftovers are thrown away.
UNFINISHED_NAME = f"{layout.CATALOG_NAME}.rebuilding"
#: What belongs to an SQLite file.
COMPANIONS = ("", "-wal", "-shm")
BATCH = 100


@dataclass
class Rebuilt:
    """What a rebuild brought back for one store."""

    campaign: int
    set_aside: list[Path] = field(default_factory=list)
    """Where the damaged catalogue is now."""
    returns: int = 0
    photos: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    unexplained: list[tuple[Path, str]] = field(default_factory=list)

    def lines(self) -> list[str]:
        on_disk, lacking, pruned = (self.photos[state] for state in (State.ARCHIVED, State.PENDING, State.PRUNED))
        lines = [f"Store {self.campaign}: the damaged catalogue is now {path}." for path in self.set_aside[:1]]
        lines.append(
            f"Store {self.campaign}: a new catalogue of {self.returns:,} returns: {on_disk:,} photos are here, "
            f"{lacking:,} are lacking{f', {pruned:,} pruned' * bool(pruned)}."
        )
        return lines + [f"  left as it is: {one_line(str(path))}: {why}" for path, why in self.unexplained]


def rebuild_store(archive: Path, campaign: int, limits: Limits, clock: Clock, command: str) -> Rebuilt:
    """Blocks.

    Raises UsageError where the catalogue is in order; AlreadyRunning, CatalogUnusable, ArchiveUnwritable.
    """
    folder = layout.store_folder(archive, campaign)
    if not folder.is_dir():
        raise UsageError(f"{archive}: there is no store {campaign}.", "Check the number, and directory in [archive].")
    with lock.Lock(folder / layout.LOCK_NAME, command, clock) as held:
        rebuilt = Rebuilt(campaign, _out_of_the_way(folder, campaign, clock))
        _throw_away(folder)
        with Catalog(folder, campaign, clock, name=UNFINISHED_NAME) as catalog:
            run = catalog.runs.begin(command)
            adoption.accept(catalog, held)
            _fill(catalog, folder, rebuilt)
            for method, amount in quotas(limits.photo_requests, limits.return_requests).items():
                catalog.requests.assume(method, [0.0] * amount)
            found = {state.value: count for state, count in rebuilt.photos.items()}
            catalog.runs.end(run, ExitCode.COMPLETE, {"returns": rebuilt.returns, **found})
        with volume.disk_errors(folder):
            (folder / UNFINISHED_NAME).rename(folder / layout.CATALOG_NAME)
            atomic.sync_folder(folder)
        failpoints.point("rebuilt")
    return rebuilt


def copies(archive: Path, stores: Iterable[int]) -> dict[int, UsageError]:
    """Return the folders that are copies of another store's, which is in the archive as well, with what to say."""
    owners = {store: owner_of(archive / str(store) / layout.CATALOG_NAME) for store in stores}
    owned = {owner for store, owner in owners.items() if owner == str(store)}
    return {
        store: UsageError(
            f"{archive / str(store)}: is a copy of store {owner}, and is left alone.",
            f"Move it out of the archive. If it is a store of its own: rebuild --campaign {store}.",
        )
        for store, owner in owners.items()
        if owner != str(store) and owner in owned
    }


def _out_of_the_way(folder: Path, campaign: int, clock: Clock) -> list[Path]:
    """Renames a damaged catalogue. Raises UsageError where it is in order."""
    path = folder / layout.CATALOG_NAME
    if path.exists() and path.stat().st_size:
        try:
            with Catalog(folder, campaign, clock, read_only=True) as catalog:
                catalog.check()
        except CatalogDamaged:
            pass
        else:
            raise UsageError(
                f"{path}: is in order; there is nothing to rebuild.",
                "If it is the wrong one, move it aside together with its -wal and -shm, then run this again.",
            )
    mark = iso(clock.now().wall).replace(":", "")
    moved = []
    with volume.disk_errors(folder):
        for companion in COMPANIONS:
            old = folder / f"{layout.CATALOG_NAME}{companion}"
            if old.exists():
                moved.append(old.rename(folder / f"{layout.CATALOG_NAME}.damaged-{mark}{companion}"))
        atomic.sync_folder(folder)
    return moved


def _throw_away(folder: Path) -> None:
    with volume.disk_errors(folder):
        for companion in COMPANIONS:
            (folder / f"{UNFINISHED_NAME}{companion}").unlink(missing_ok=True)


def _fill(catalog: Catalog, folder: Path, rebuilt: Rebuilt) -> None:
    batch: list[RestoredReturn] = []
    salvaged = in_threads(lambda path: salvage(catalog.campaign, path), _return_folders(folder, rebuilt))
    for one in salvaged:
        rebuilt.unexplained += [(path.relative_to(folder), why) for path, why in one.unexplained]
        batch += [one.found] if one.found else []
        if len(batch) >= BATCH:
            _add(catalog, batch, rebuilt)
            failpoints.point("rebuilding")
    _add(catalog, batch, rebuilt)


def _add(catalog: Catalog, batch: list[RestoredReturn], rebuilt: Rebuilt) -> None:
    twice = catalog.restoring.add(batch)
    for one in batch:
        if one in twice:
            folder = layout.return_folder(one.month, one.order, one.return_id)
            rebuilt.unexplained.append((folder, "this return has a folder in another month, too"))
            continue
        rebuilt.returns += 1
        for photo in one.photos:
            rebuilt.photos[photo.state] += 1
    batch.clear()


def _return_folders(folder: Path, rebuilt: Rebuilt) -> Iterator[Path]:
    photos = folder / layout.PHOTOS
    for month, is_folder in _folders(photos):
        if not is_folder or not layout.is_month(month):
            rebuilt.unexplained.append((Path(layout.PHOTOS, month), "not one of ours"))
            continue
        for name, is_inner_folder in _folders(photos / month):
            if is_inner_folder and layout.parse_return_folder(name):
                yield photos / month / name
            else:
                rebuilt.unexplained.append((Path(layout.PHOTOS, month, name), "not one of ours"))


def _folders(parent: Path) -> list[tuple[str, bool]]:
    with volume.disk_errors(parent):
        return tree.folders(parent)
