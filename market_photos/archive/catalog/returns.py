"""Returns as listings gave them: records, how far the listing has come, what is saved beside the photos."""

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

from market_photos import failpoints
from market_photos.archive.catalog.connection import Database, execute_rows
from market_photos.archive.catalog.errors import record_of
from market_photos.archive.catalog.record_codec import pack, unpack
from market_photos.archive.catalog.rules import sound
from market_photos.archive.layout import month_of
from market_photos.model import Return

#: Seconds by which a time on record may lie ahead of now.
AHEAD = 60


class PageResult(NamedTuple):
    """What a page added to the catalogue."""

    returns: int
    photos: int
    repeated: int
    """Returns that this listing had already brought: they moved between pages while we read."""


class ReturnRow(NamedTuple):
    id: int
    order: int
    month: str
    created_at: int
    record: bytes | None
    """Packed; only where there are photos."""


class PackedPage:
    """Returns ready for the catalogue.

    Packed in the event loop they are ready sooner than on the catalogue's thread: the many short steps of two busy
    threads wait for their turn each time.
    """

    def __init__(self, page: Iterable[Return] = ()) -> None:
        self.returns: list[ReturnRow] = []
        self.photos: list[tuple[int, int, int, str]] = []
        """Return, order, item, image hash."""
        self.unreadable: list[str] = []
        """What the archive cannot keep, in words."""
        self.add(page)

    def add(self, page: Iterable[Return]) -> None:
        for found in page:
            try:
                record = pack(found.record) if found.photos else None
            except ValueError as error:
                self.unreadable.append(f"return {found.id}: {error}")
                continue
            self.returns.append(ReturnRow(found.id, found.order, month_of(found.created), found.created_at, record))
            self.photos += [(key.return_id, key.order, key.item, key.image_hash) for key in found.photos]


_ADD = "INSERT OR IGNORE INTO returns(return_id, order_id, month, created_at, record, listed) VALUES {rows}"
_ADD_PHOTOS = (
    "INSERT OR IGNORE INTO photos(return_row, item, image_hash, created_at, state, changed_at) "
    "SELECT r.id, new.column3, new.column4, r.created_at, 'pending', new.column5 FROM (VALUES {rows}) new "
    "CROSS JOIN returns r ON r.return_id = new.column1 AND r.order_id = new.column2"
)
_MARK_LISTED = "UPDATE returns SET listed = ? WHERE return_id = ? AND order_id = ? AND listed != ?"
_RECORD = "SELECT record FROM returns WHERE return_id = ? AND order_id = ?"
_UPDATE_RECORD = (
    # The record of a return whose photos are all pruned is personal data without a purpose.
    "UPDATE returns SET record = ?, saved = 0 WHERE return_id = ? AND order_id = ? "
    "AND EXISTS (SELECT 1 FROM photos WHERE return_row = returns.id AND state NOT IN ('pruned', 'gone') "
    "UNION ALL SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM photos WHERE return_row = returns.id AND state = 'pruned'))"
)


class Returns:
    def __init__(self, database: Database) -> None:
        self._db = database

    def record_page(self, page: PackedPage, listing: int = 0) -> PageResult:
        """Returns and photos of one page. Known ones keep their state; a changed record is to be saved again.

        `listing`: a number of its own for each listing. A power cut may undo the last pages, and with them all that
        came after them: the watermark, which is durable and moves last, is never ahead of its pages.
        """
        now = self._db.now()
        with self._db.transaction(durable=False) as connection:
            added = execute_rows(connection, _ADD, [(*row, listing) for row in page.returns])
            photos = execute_rows(connection, _ADD_PHOTOS, [(*row, now) for row in page.photos])
            listed = self._update(connection, page, listing) if added < len(page.returns) else 0
        return PageResult(added, photos, len(page.returns) - added - listed)

    def _update(self, connection: sqlite3.Connection, page: PackedPage, listing: int) -> int:
        """Brings known returns up to date; how many of the page this listing had not brought before."""
        changed = [row for row in page.returns if row.record is not None and self._is_news(connection, row)]
        connection.executemany(_UPDATE_RECORD, [(row.record, row.id, row.order) for row in changed])
        marks = [(listing, row.id, row.order, listing) for row in page.returns]
        return connection.executemany(_MARK_LISTED, marks).rowcount

    def _is_news(self, connection: sqlite3.Connection, row: ReturnRow) -> bool:
        """Whether its record says something else: the same words may have been packed in another way."""
        known = connection.execute(_RECORD, (row.id, row.order)).fetchone()[0]
        if known is None:
            return True
        if known == row.record:
            return False
        try:
            return unpack(known) != unpack(row.record or b"")
        except ValueError:  # damaged: this one is good
            return True

    def watermark(self) -> int | None:
        """Up to when every return has been listed without error, seconds since 1970; None before the first time."""
        value = self.meta("watermark")
        return int(value) if value else None

    def move_watermark(self, moment: float) -> None:
        self.set_meta("watermark", str(int(moment)))

    def meta(self, key: str) -> str | None:
        rows = self._db.rows(f"SELECT value FROM meta m WHERE key = ? AND {sound('meta', 'm')}", key)
        return rows[0]["value"] if rows else None

    def set_meta(self, key: str, value: str) -> None:
        with self._db.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO meta(key, value) VALUES (?, ?)", (key, value))

    def finished_windows(self) -> set[tuple[str, str]]:
        """Return the windows that need not be listed again; not those finished by a clock that was ahead."""
        query = f"SELECT first, last FROM windows w WHERE {sound('windows', 'w')} AND done_at <= ?"
        return {(row["first"], row["last"]) for row in self._db.rows(query, self._db.now() + AHEAD)}

    def finish_window(self, first: str, last: str) -> None:
        with self._db.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO windows VALUES (?, ?, ?)", (first, last, self._db.now()))

    def unsaved_record(self, return_row: int) -> dict[str, Any] | None:
        """The API's record of a return whose return.json is not up to date; None where it is."""
        rows = self._db.rows(
            "SELECT record FROM returns WHERE id = ? AND saved = 0 AND record IS NOT NULL", return_row
        )
        return record_of(self._db.path, rows[0]["record"]) if rows else None

    def outdated_records(self, most: int) -> list[tuple[int, str, int, int]]:
        """(row, month, order, return) of returns with archived photos whose return.json is not up to date."""
        rows = self._db.rows(
            "SELECT id, month, order_id, return_id FROM returns r WHERE saved = 0 AND record IS NOT NULL AND EXISTS "
            "(SELECT 1 FROM photos WHERE return_row = r.id AND +state = 'archived') "
            f"AND {sound('returns', 'r')} LIMIT ?",
            most,
        )
        return [tuple(row) for row in rows]

    def record_saved(self, return_row: int) -> None:
        """Where a power cut undoes it, return.json is written once more."""
        with self._db.transaction(durable=False) as connection:
            connection.execute("UPDATE returns SET saved = 1 WHERE id = ?", (return_row,))
            failpoints.point("record-saved")
