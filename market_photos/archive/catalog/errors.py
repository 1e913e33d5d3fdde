"""Turn what SQLite reports about a catalogue into errors that say what to do."""

import sqlite3
from pathlib import Path
from typing import Any, NoReturn

from market_photos.archive import volume
from market_photos.archive.catalog.record_codec import unpack
from market_photos.errors import ArchiveUnwritable, CatalogDamaged, CatalogUnusable, MarketPhotosError

REPLACE = (
    "Run `market-photos rebuild`: it puts the file aside and makes a new catalogue from the photos on disk, and "
    "nothing is downloaded again. Or put the catalogue back from a backup."
)
#: Files that SQLite opens for a catalogue: itself, its WAL and the index of that.
OPEN_FILES = 3
#: Parts of SQLite's messages that blame the disk, not the catalogue.
_CANNOT_OPEN = "unable to open"
_DISK_TROUBLE = ("disk is full", "disk I/O error", "readonly", _CANNOT_OPEN)


class Connection(sqlite3.Connection):
    """A connection that remembers which row `rules.sound` refused: SQLite drops the text of such an error."""

    refused = ""

    def refuse(self, table: str, key: object) -> NoReturn:
        """Remember the row and make the query fail."""
        self.refused = f"row {key!r} of {table} breaks the rules of the table"
        raise ValueError(self.refused)


def damaged(path: Path, problem: str) -> CatalogDamaged:
    """Return the error for a catalogue that has this problem."""
    return CatalogDamaged(f"{path}: the catalogue cannot be used: {problem}.", REPLACE)


def unusable(path: Path, error: sqlite3.Error, connection: sqlite3.Connection | None = None) -> MarketPhotosError:
    """Return CatalogUnusable for an error of SQLite, or ArchiveUnwritable if the disk caused it.

    `connection`, on which it occurred, may know the row that caused it.
    """
    text = str(error)
    refused = connection.refused if isinstance(connection, Connection) else ""
    if refused or text.startswith("Could not decode"):
        return damaged(path, refused or text)
    if "locked" in text or "busy" in text:
        return CatalogUnusable(
            f"{path}: another program keeps the catalogue locked.",
            "Close the program that has it open (a database browser, a backup), then run the same command again.",
        )
    if _CANNOT_OPEN in text:  # SQLite does not say why
        try:
            volume.require_descriptors(path, OPEN_FILES)
        except ArchiveUnwritable as lacking:
            return lacking
    if any(sign in text for sign in _DISK_TROUBLE):
        return ArchiveUnwritable(
            f"{path}: {text}.", "Make room, or mend the volume or its permissions; the same command then goes on."
        )
    return damaged(path, text)


def record_of(path: Path, packed: bytes) -> dict[str, Any]:
    """Return the API's record that the catalogue at `path` holds as `packed`. Raises CatalogDamaged."""
    try:
        return unpack(packed)
    except ValueError as error:
        raise damaged(path, f"the record of a return is damaged: {error}") from error
