"""Write what was found on disk into a new catalogue."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from market_photos.archive.catalog.connection import Database
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.record_codec import pack
from market_photos.model import ReturnRef


class RestoredPhoto(NamedTuple):
    """A photo as its file or its tombstone shows it."""

    item: int
    image_hash: str
    state: State
    changed_at: int
    suffix: str | None = None
    size: int | None = None
    sha256: bytes | None = None
    note: str | None = None


@dataclass
class RestoredReturn:
    """A return as its folder shows it."""

    month: str
    ref: ReturnRef
    created_at: int = 0
    record: dict[str, Any] | None = None
    is_saved: bool = False
    """Whether return.json holds exactly this record."""
    held_at: int | None = None
    is_pruning: bool = False
    photos: list[RestoredPhoto] = field(default_factory=list)


class Restoring:
    """Fills an empty catalogue."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, found: Sequence[RestoredReturn]) -> list[RestoredReturn]:
        """Add returns in one transaction, and return those that were added before, from another month's folder."""
        with self._db.transaction() as connection:
            return [back for back in found if not self._add(connection, back)]

    def _add(self, connection: sqlite3.Connection, found: RestoredReturn) -> bool:
        cursor = connection.execute(
            "INSERT OR IGNORE INTO returns(return_id, order_id, month, created_at, record, saved, held_at, pruning) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                found.ref.return_id,
                found.ref.order,
                found.month,
                found.created_at,
                None if found.record is None else pack(found.record),
                found.is_saved,
                found.held_at,
                found.is_pruning,
            ),
        )
        if not cursor.rowcount:
            return False
        connection.executemany(
            "INSERT OR IGNORE INTO photos(return_row, created_at, item, image_hash, state, changed_at, suffix, size, "
            "sha256, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(cursor.lastrowid, found.created_at, *photo) for photo in found.photos],
        )
        return True
