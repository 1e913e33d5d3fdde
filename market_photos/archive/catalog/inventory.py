"""What the catalogue says should be on disk: read by verify, mended by its repair."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from market_photos.archive import layout
from market_photos.archive.catalog.connection import Database
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.rules import sound
from market_photos.archive.catalog.schema import record_of
from market_photos.model import PhotoKey

#: Returns read at a time.
BATCH = 500


class KnownPhoto(NamedTuple):
    row: int
    key: PhotoKey
    state: State
    suffix: str
    size: int
    sha256: bytes

    @property
    def stem(self) -> str:
        return layout.photo_stem(self.key)

    @property
    def name(self) -> str:
        return f"{self.stem}{self.suffix}"


class KnownReturn(NamedTuple):
    row: int
    month: str
    order: int
    return_id: int
    is_saved: bool
    """Whether return.json should be there and up to date."""
    is_held: bool

    @property
    def folder(self) -> Path:
        """Relative to the store's folder."""
        return layout.return_folder(self.month, self.order, self.return_id)


_RETURN = "SELECT id, month, order_id, return_id, saved AND record IS NOT NULL, held_at IS NOT NULL FROM returns r "
_PHOTO = (
    "SELECT p.id, p.item, p.image_hash, p.state, p.suffix, p.size, p.sha256, r.order_id, r.return_id FROM photos p "
    "JOIN returns r ON r.id = p.return_row "
)
_SOUND_RETURN = sound("returns", "r")
_SOUND_PHOTO = f"{sound('photos', 'p')} AND {_SOUND_RETURN}"


class Inventory:
    def __init__(self, database: Database) -> None:
        self._db = database

    def find(self, order: int, return_id: int) -> KnownReturn | None:
        rows = self._db.rows(f"{_RETURN} WHERE return_id = ? AND order_id = ? AND {_SOUND_RETURN}", return_id, order)
        return _known_return(rows[0]) if rows else None

    def returns_of(self, return_id: int, order: int | None) -> list[KnownReturn]:
        """Those with this number; of that order only, where it is given."""
        query = f"{_RETURN} WHERE return_id = ? AND order_id = coalesce(?, order_id) AND {_SOUND_RETURN}"
        rows = self._db.rows(query, return_id, order)
        return [_known_return(row) for row in rows]

    def archived_returns(self) -> Iterator[KnownReturn]:
        """Every return that has archived photos; while others write."""
        last = 0
        query = (
            f"{_RETURN} WHERE id > ? AND EXISTS "
            f"(SELECT 1 FROM photos WHERE return_row = r.id AND +state = 'archived') "
            f"AND {_SOUND_RETURN} ORDER BY id LIMIT {BATCH}"
        )
        while rows := self._db.rows(query, last):
            last = rows[-1]["id"]
            yield from map(_known_return, rows)

    def photos(self, return_row: int) -> list[KnownPhoto]:
        query = f"{_PHOTO} WHERE p.return_row = ? AND {_SOUND_PHOTO}"
        return [self._photo(row) for row in self._db.rows(query, return_row)]

    def photo(self, row: int) -> KnownPhoto:
        """As it is now."""
        return self._photo(self._db.rows(f"{_PHOTO} WHERE p.id = ? AND {_SOUND_PHOTO}", row)[0])

    def record(self, return_row: int) -> dict[str, Any] | None:
        """The API's record of a return whose return.json should be up to date."""
        rows = self._db.rows(
            "SELECT record FROM returns WHERE id = ? AND saved = 1 AND record IS NOT NULL", return_row
        )
        return record_of(self._db.path, rows[0]["record"]) if rows else None

    def queue_again(self, photo_row: int, why: str) -> None:
        """An archived photo is to be fetched once more."""
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE photos SET state = 'pending', changed_at = ?, note = ?, failures = 0, not_before = 0 "
                "WHERE id = ? AND state = 'archived'",
                (self._db.now(), why, photo_row),
            )

    def save_again(self, return_row: int) -> None:
        """The next run writes return.json once more."""
        with self._db.transaction() as connection:
            connection.execute("UPDATE returns SET saved = 0 WHERE id = ?", (return_row,))

    def _photo(self, row: sqlite3.Row) -> KnownPhoto:
        key = PhotoKey(self._db.campaign, row["order_id"], row["return_id"], row["item"], row["image_hash"])
        state = State(row["state"])
        return KnownPhoto(row["id"], key, state, row["suffix"] or "", row["size"] or 0, row["sha256"] or b"")


def _known_return(row: sqlite3.Row) -> KnownReturn:
    number, month, order, return_id, is_saved, is_held = row
    return KnownReturn(number, month, order, return_id, bool(is_saved), bool(is_held))
