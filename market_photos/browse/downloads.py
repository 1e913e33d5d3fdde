"""Write zips of one return to download: the pack of evidence, and the photos alone. Everything here blocks.

Both are made from photos whose SHA-256 is checked, and raise EvidenceBroken where a file is not as it was archived.
"""

import zipfile
from typing import BinaryIO

from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownReturn
from market_photos.archive.place import Archive
from market_photos.export.evidence import Evidence
from market_photos.export.pack import write_pack
from market_photos.export.selection import Selection


def pack(file: BinaryIO, archive: Archive, return_: KnownReturn, language: str, now: float) -> None:
    """Write the pack of evidence that `export --return` makes. `now` is in seconds since 1970."""
    selection = Selection(return_.order, (return_.return_id,))
    write_pack(file, archive, [return_], selection, language=language, made_at=now)


def photos(file: BinaryIO, archive: Archive, return_: KnownReturn) -> None:
    """Write the archived photos, numbered in the order of the record."""
    with zipfile.ZipFile(file, "w") as zipped:
        for number, photo in enumerate(return_.photos, 1):
            if photo.state is State.ARCHIVED:
                with zipped.open(f"{number:02d}-{photo.name}", "w") as entry:
                    for chunk in Evidence(archive, photo).chunks():
                        entry.write(chunk)
