"""Photos that are on disk while the catalogue says pending: after a kill, or where the catalogue is an older copy.

Under its final name a photo is complete, so its file is recorded as it is. Every run writes a stamp into the store's
lock file, and the catalogue keeps the last stamps: a catalogue that does not know the stamp beside it is older than
the last run. It was put back from a backup, or a new one was created after a loss.
"""

import secrets
from pathlib import Path

from market_photos.archive import image_type, layout, volume
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import Archived, Claim
from market_photos.archive.hashing import file_sha256
from market_photos.archive.lock import Lock

NOTE = "it was on disk already, and the catalogue did not know"
#: Stamps that a catalogue keeps, so that a lock file from a backup raises no alarm.
KEPT_STAMPS = 64
#: Pending photos that are looked up on disk before a run: an older copy lacks the first of the queue.
PROBES = 20
BATCH = 500


def stamp(catalog: Catalog, lock: Lock) -> None:
    """Write a new stamp, first into the catalogue, so that a kill in between raises no alarm. Blocks."""
    mark = secrets.token_hex(8)
    kept = _stamps(catalog)[-KEPT_STAMPS + 1 :]
    catalog.returns.set_meta("stamps", " ".join([*kept, mark]))
    lock.leave_stamp(mark)


def accept(catalog: Catalog, lock: Lock) -> None:
    """Write the last run's stamp into a new catalogue whose requests include that run's. Blocks."""
    catalog.returns.set_meta("stamps", lock.stamp)


def is_older(catalog: Catalog, lock: Lock) -> bool:
    """Return whether the catalogue is older than the last run, by that run's stamp or by photos on disk.

    Photos that were in flight when a run was killed do not count. Blocks.
    """
    if lock.stamp and lock.stamp not in _stamps(catalog):
        return True
    folder = catalog.path.parent
    return any(_file_of(folder, claim) for claim in catalog.photos.untried(PROBES))


def adopt_all(catalog: Catalog) -> int:
    """Record every pending photo that is on disk as archived; return how many. Blocks."""
    last = adopted = 0
    while claims := catalog.photos.pending_after(last, BATCH):
        adopted += sum(adopt(catalog, claim) for claim in claims)
        last = claims[-1].row
    return adopted


def adopt(catalog: Catalog, claim: Claim) -> bool:
    """Record the photo as archived if it is on disk; return whether it was. Blocks. Raises ArchiveUnwritable."""
    path = _file_of(catalog.path.parent, claim)
    if path is None:
        return False
    with volume.disk_errors(path):
        found = Archived(path.suffix, path.stat().st_size, file_sha256(path), "", NOTE)
    return catalog.photos.adopt(claim, found)


def is_on_disk(folder: Path, claim: Claim) -> bool:
    """Return whether the photo is on disk. Takes some microseconds. `folder` is the store's."""
    return _file_of(folder, claim) is not None


def _file_of(folder: Path, claim: Claim) -> Path | None:
    place = folder / layout.return_folder(claim.month, claim.key.of_return)
    stem = layout.photo_stem(claim.key)
    with volume.disk_errors(place):
        try:
            found = [path for path in place.iterdir() if path.stem == stem and layout.is_suffix(path.suffix)]
        except FileNotFoundError:
            return None
        photos = [path for path in found if path.suffix != layout.PART_SUFFIX and _is_photo(path)]
    return min(photos, default=None)


def _is_photo(path: Path) -> bool:
    """Return whether the file holds a photo. One that was emptied, for example, is downloaded again."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return not image_type.choose("", file.read(image_type.HEAD_BYTES)).not_a_photo


def _stamps(catalog: Catalog) -> list[str]:
    return (catalog.returns.meta("stamps") or "").split()
