"""Zips of one return to download: the pack of evidence, and the photos alone. Everything here blocks.

Both are made from photos whose SHA-256 is checked, and raise EvidenceBroken where a file is not as it was archived.
"""

import tempfile
import zipfile
from pathlib import Path
from typing import BinaryIO, cast

from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownReturn
from market_photos.export.evidence import Evidence
from market_photos.export.pack import write_pack
from market_photos.export.selection import Selection


def pack(archive: Path, return_: KnownReturn, language: str, now: float) -> BinaryIO:
    """Return a temporary file with the pack of evidence that `export --return` makes, at its beginning."""
    file = _temporary()
    selection = Selection(return_.order, (return_.return_id,))
    write_pack(file, archive, [return_], selection, language=language, made_at=now)
    return _rewound(file)


def photos(archive: Path, return_: KnownReturn) -> BinaryIO:
    """Return a temporary file with the archived photos, numbered in the order of the record, at its beginning."""
    file = _temporary()
    with zipfile.ZipFile(file, "w") as zipped:
        for number, photo in enumerate(return_.photos, 1):
            if photo.state is State.ARCHIVED:
                with zipped.open(f"{number:02d}-{photo.name}", "w") as entry:
                    for chunk in Evidence(archive, photo).chunks():
                        entry.write(chunk)
    return _rewound(file)


def _temporary() -> BinaryIO:
    return cast("BinaryIO", tempfile.TemporaryFile())


def _rewound(file: BinaryIO) -> BinaryIO:
    file.seek(0)
    return file
