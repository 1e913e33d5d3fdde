"""The last steps of a photo: its file, its return's record beside it, its row, and which photo comes next.

One call of the catalogue's thread does them all: a way to a thread and back costs as much as most of the steps. The
order is that of files.py: what the row says is durably on disk before the row is.
"""

from pathlib import Path

from market_photos import failpoints
from market_photos.archive import atomic, layout, photo_file, volume
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import Archived, Claim, Turn
from market_photos.archive.catalog.record_codec import render
from market_photos.archive.held_folder import Ground
from market_photos.errors import MarketPhotosError


def take_in(
    catalog: Catalog,
    store: Path,
    claim: Claim,
    part: photo_file.Part,
    found: Archived,
    *,
    method: str,
    only: tuple[int, int] | None = None,
) -> tuple[Archived, Turn]:
    """What was recorded, and the next turn; see `Catalog.turn`. `store`: the folder of the store.

    `found`: what is known before the file is there; its size and hash are set here. Blocks. Raises ArchiveUnwritable
    or CatalogUnusable; if return.json alone is the trouble, after the photo has been recorded.
    """
    target = store / layout.photo_path(claim.month, claim.key, found.suffix)
    size, sha256 = part.commit(target)
    has_record, trouble = False, None
    try:
        has_record = _write_record(catalog, claim.return_row, target.parent)
    except MarketPhotosError as error:
        trouble = error
    with volume.disk_errors(target):
        atomic.sync_folder(target.parent)
    failpoints.point("folder-synced")
    archived = found._replace(size=size, sha256=sha256)
    turn = catalog.turn(claim, archived, method, only, has_record=has_record)
    if trouble:
        raise trouble
    return archived, turn


def save_outdated_records(catalog: Catalog, ground: Ground, most: int) -> int:
    """Writes return.json of up to `most` returns whose record changed after their photos had come; how many it were.

    Blocks. Raises ArchiveUnwritable or CatalogUnusable.
    """
    rows = catalog.returns.outdated_records(most)
    for row, month, order, return_id in rows:
        folder = ground.folder / layout.return_folder(month, order, return_id)
        ground.make_folder(folder)
        if _write_record(catalog, row, folder):
            with volume.disk_errors(folder):
                atomic.sync_folder(folder)
            catalog.returns.record_saved(row)
    return len(rows)


def _write_record(catalog: Catalog, row: int, folder: Path) -> bool:
    """Writes return.json where the one on disk is not up to date; whether it did. The folder is yet to be synced."""
    record = catalog.returns.unsaved_record(row)
    if record is None:
        return False
    atomic.write_atomically(folder / layout.RECORD_NAME, render(record), sync_name=False)
    return True
