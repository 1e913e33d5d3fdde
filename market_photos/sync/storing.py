"""Put a photo on disk and on record: its file, its return's record beside it, its row.

One call on the catalogue's thread does all of it, as each change of threads costs as much as most of the steps. The
row is written last, when all that it says is durably on disk.
"""

from pathlib import Path

from market_photos import failpoints
from market_photos.archive import layout, photo_file
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import Archived, Claim
from market_photos.archive.catalog.record_codec import render
from market_photos.archive.place import Place
from market_photos.errors import MarketPhotosError
from market_photos.model import Wanted


def store_photo(
    catalog: Catalog,
    place: Place,
    claim: Claim,
    part: photo_file.Part,
    found: Archived,
    *,
    only: Wanted | None = None,
) -> tuple[Archived, Claim | None]:
    """Archive the photo and claim the next one; return what was recorded, and that claim.

    `found` has no size and hash yet; `only`: see `Photos.claim`. Blocks. Raises ArchiveUnwritable or CatalogUnusable;
    if return.json alone cannot be written, after the photo has been recorded.
    """
    folder = layout.return_folder(claim.month, claim.key.of_return)
    size, sha256 = part.commit(found.suffix)
    is_record_saved, record_error = False, None
    try:
        is_record_saved = _write_record(catalog, place, claim.return_row, folder)
    except MarketPhotosError as error:
        record_error = error
    place.settle(folder)
    failpoints.point("folder-synced")
    archived = found._replace(size=size, sha256=sha256)
    following = catalog.store_and_claim_next(claim, archived, only, is_record_saved=is_record_saved)
    if record_error:
        raise record_error
    return archived, following


def save_outdated_records(catalog: Catalog, place: Place, most: int) -> int:
    """Write return.json of up to `most` returns whose record changed after their photos came; return how many.

    Blocks. Raises ArchiveUnwritable or CatalogUnusable.
    """
    outdated = catalog.returns.outdated_records(most)
    for row, month, ref in outdated:
        folder = layout.return_folder(month, ref)
        if _write_record(catalog, place, row, folder):
            place.settle(folder)
            catalog.returns.record_saved(row)
    return len(outdated)


def _write_record(catalog: Catalog, place: Place, row: int, folder: Path) -> bool:
    """Write return.json unless it is up to date; return whether it was written. Its name is not durable yet."""
    record = catalog.returns.unsaved_record(row)
    if record is None:
        return False
    place.write(folder / layout.RECORD_NAME, render(record))
    return True
