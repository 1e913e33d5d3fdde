"""Photos that are there while the catalogue says pending: after a kill, or where the catalogue is an older copy.

Under its final name a photo is complete, so its file is recorded as it is. Every run writes a stamp into the store's
lock, and the catalogue keeps the last stamps: a catalogue that does not know the stamp beside it is older than the
last run. It was put back from a backup, or a new one was created after a loss.
"""

import secrets
from pathlib import Path

from market_photos.archive import layout
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import Archived, Claim
from market_photos.archive.place import Place

NOTE = "it was on disk already, and the catalogue did not know"
#: Stamps that a catalogue keeps, so that a lock file from a backup raises no alarm.
KEPT_STAMPS = 64
#: Pending photos that are looked up before a run: an older copy lacks the first of the queue.
PROBES = 20
BATCH = 500


def stamp(catalog: Catalog, place: Place) -> None:
    """Write a new stamp, first into the catalogue, so that a kill in between raises no alarm. Blocks."""
    mark = secrets.token_hex(8)
    kept = _stamps(catalog)[-KEPT_STAMPS + 1 :]
    catalog.returns.set_meta("stamps", " ".join([*kept, mark]))
    place.leave_stamp(mark)


def accept(catalog: Catalog, stamp: str) -> None:
    """Write the last run's stamp into a new catalogue whose requests include that run's. Blocks."""
    catalog.returns.set_meta("stamps", stamp)


def is_older(catalog: Catalog, place: Place) -> bool:
    """Return whether the catalogue is older than the last run, by that run's stamp or by photos that are there.

    Photos that were in flight when a run was killed do not count. Blocks.
    """
    if place.stamp and place.stamp not in _stamps(catalog):
        return True
    return any(find(place, claim) for claim in catalog.photos.untried(PROBES))


def adopt_all(catalog: Catalog, place: Place) -> int:
    """Record every pending photo that is there as archived; return how many. Blocks."""
    last = adopted = 0
    while claims := catalog.photos.pending_after(last, BATCH):
        adopted += sum(adopt(catalog, place, claim) for claim in claims)
        last = claims[-1].row
    return adopted


def adopt(catalog: Catalog, place: Place, claim: Claim) -> bool:
    """Record the photo as archived if it is there; return whether it was. Blocks. Raises ArchiveUnwritable."""
    path = find(place, claim)
    if path is None:
        return False
    try:
        stored = place.stored(path)
    except FileNotFoundError:  # removed since it was found
        return False
    return catalog.photos.adopt(claim, Archived(path.suffix, *stored, "", NOTE))


def find(place: Place, claim: Claim) -> Path | None:
    """Return the path of a claimed photo that is there already. Takes some microseconds."""
    return place.find(layout.return_folder(claim.month, claim.key.of_return), layout.photo_stem(claim.key))


def _stamps(catalog: Catalog) -> list[str]:
    return (catalog.returns.meta("stamps") or "").split()
