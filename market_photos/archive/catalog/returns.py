"""Returns as listings gave them: their records, how far the listing has come, and what is saved beside the photos."""

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from market_photos import failpoints
from market_photos.archive.catalog.connection import Database
from market_photos.archive.catalog.errors import record_of
from market_photos.archive.catalog.record_codec import pack, unpack
from market_photos.archive.catalog.rules import sound
from market_photos.archive.layout import month_of
from market_photos.model import Return, ReturnRef
from market_photos.record import AWAITING, refund_status

#: Seconds by which a time on record may lie ahead of now.
AHEAD = 60


class PageResult(NamedTuple):
    """What a page changed in the catalogue."""

    returns: int
    """Returns that are new to the catalogue."""
    photos: int
    """Photos that are new to the catalogue."""
    listed: int
    """Returns of the page that are on record now."""
    repeated: int
    """Those of them that this listing had recorded before: they moved between pages meanwhile."""
    unreadable: tuple[str, ...] = ()
    """Why a return cannot be kept, one text each."""


class _Row(NamedTuple):
    """A return of a page as the catalogue keeps it."""

    listed: Return
    record: bytes | None
    status: str


class OutdatedRecord(NamedTuple):
    """A return whose return.json on disk is not up to date."""

    row: int
    month: str
    ref: ReturnRef


_ADD_RETURN = (
    "INSERT OR IGNORE INTO returns(return_id, order_id, month, created_at, record, status, awaits, listed) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_PHOTO = (
    "INSERT OR IGNORE INTO photos(return_row, item, image_hash, urgent, created_at, state, changed_at) "
    "SELECT id, ?, ?, awaits > 0, created_at, 'pending', ? FROM returns WHERE return_id = ? AND order_id = ?"
)
_MARK_LISTED = "UPDATE returns SET listed = ? WHERE return_id = ? AND order_id = ? AND listed != ?"
_KNOWN = "SELECT id, record, status FROM returns WHERE return_id = ? AND order_id = ?"
_UPDATE_RECORD = (
    # The record of a return whose photos are all pruned is personal data without a purpose.
    "UPDATE returns SET record = ?, saved = 0 WHERE return_id = ? AND order_id = ? "
    "AND EXISTS (SELECT 1 FROM photos WHERE return_row = returns.id AND state NOT IN ('pruned', 'gone') "
    "UNION ALL SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM photos WHERE return_row = returns.id AND state = 'pruned'))"
)
_UPDATE_STATUS = (
    "UPDATE returns SET status = :status, awaits = CASE WHEN :awaits THEN max(awaits, 1) ELSE 0 END, "
    # Without photos, a record is kept only for the decision.
    "record = CASE WHEN :awaits OR EXISTS (SELECT 1 FROM photos WHERE return_row = :row) THEN record END "
    "WHERE id = :row"
)
_UPDATE_URGENT = "UPDATE photos SET urgent = :awaits WHERE return_row = :row AND urgent != :awaits"
_NEXT_LISTING = (
    "INSERT INTO meta(key, value) VALUES ('listing', '1') "
    "ON CONFLICT(key) DO UPDATE SET value = CAST(value AS INTEGER) + 1 RETURNING value"
)


class Returns:
    """The tables `returns`, `windows` and `meta`. Every method blocks."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def next_listing(self) -> int:
        """Return a number that no other listing of this store has."""
        with self._db.transaction(durable=False) as connection:
            return int(connection.execute(_NEXT_LISTING).fetchall()[0]["value"])

    def record_page(self, page: Sequence[Return], listing: int = 0) -> PageResult:
        """Add the returns and photos of one page; known photos keep their state, changed records are replaced.

        `listing` comes from `next_listing`. The transaction is not durable: a power cut may undo the last pages, and
        with them all that came later, so the watermark, which moves last, is never ahead of its pages.
        """
        rows: list[_Row] = []
        unreadable: list[str] = []
        for found in page:
            status = refund_status(found.record)
            try:
                record = pack(found.record) if found.photos or status in AWAITING else None
            except ValueError as error:
                unreadable.append(f"return {found.id}: {error}")
            else:
                rows.append(_Row(found, record, status))
        now = self._db.now()
        with self._db.transaction(durable=False) as connection:
            added = connection.executemany(_ADD_RETURN, [_values(row, listing) for row in rows]).rowcount
            photos = connection.executemany(
                _ADD_PHOTO,
                [
                    (key.item, key.image_hash, now, key.return_id, key.order)
                    for row in rows
                    for key in row.listed.photos
                ],
            ).rowcount
            first_seen = self._update(connection, rows, listing) if added < len(rows) else 0
        return PageResult(added, photos, len(rows), len(rows) - added - first_seen, tuple(unreadable))

    def _update(self, connection: sqlite3.Connection, page: Sequence[_Row], listing: int) -> int:
        """Bring known returns up to date; return how many of them this listing had not recorded before."""
        for found, record, status in page:
            row, known, known_status = connection.execute(_KNOWN, (found.id, found.order)).fetchone()
            if record is not None and _differs(known, record):
                connection.execute(_UPDATE_RECORD, (record, found.id, found.order))
            if status != known_status:
                values = {"row": row, "status": status, "awaits": status in AWAITING}
                connection.execute(_UPDATE_STATUS, values)
                connection.execute(_UPDATE_URGENT, values)
        marks = [(listing, found.id, found.order, listing) for found, *_ in page]
        return connection.executemany(_MARK_LISTED, marks).rowcount

    def take_newly_awaiting(self) -> list[int]:
        """Return the rows of returns that await the seller's decision and that no call returned before."""
        query = "UPDATE returns SET awaits = 2 WHERE awaits > 0 AND awaits = 1 RETURNING id"
        with self._db.transaction() as connection:
            return [row["id"] for row in connection.execute(query).fetchall()]

    def watermark(self) -> int | None:
        """Return up to when every return has been listed without error, seconds since 1970; None before that."""
        value = self.meta("watermark")
        return int(value) if value else None

    def move_watermark(self, moment: float) -> None:
        """Set the watermark, seconds since 1970."""
        self.set_meta("watermark", str(int(moment)))

    def newest(self) -> int:
        """Return when the return that was listed last was created, seconds since 1970; 0 where there is none."""
        rows = self._db.rows(
            f"SELECT created_at FROM returns r WHERE {sound('returns', 'r')} ORDER BY id DESC LIMIT 1"
        )
        return rows[0]["created_at"] if rows else 0

    def meta(self, key: str) -> str | None:
        """Return a value of the table `meta`, None where it has none."""
        rows = self._db.rows(f"SELECT value FROM meta m WHERE key = ? AND {sound('meta', 'm')}", key)
        return rows[0]["value"] if rows else None

    def set_meta(self, key: str, value: str) -> None:
        """Set a value of the table `meta`."""
        with self._db.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO meta(key, value) VALUES (?, ?)", (key, value))

    def finished_windows(self) -> set[tuple[str, str]]:
        """Return the windows that need not be listed again, without those finished by a clock that was ahead."""
        query = f"SELECT first, last FROM windows w WHERE {sound('windows', 'w')} AND done_at <= ?"
        return {(row["first"], row["last"]) for row in self._db.rows(query, self._db.now() + AHEAD)}

    def finish_window(self, first: str, last: str) -> None:
        """Record that a window (dates, both included) need not be listed again."""
        with self._db.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO windows VALUES (?, ?, ?)", (first, last, self._db.now()))

    def unsaved_record(self, return_row: int) -> dict[str, Any] | None:
        """Return the API's record of a return whose return.json is not up to date; None where it is."""
        rows = self._db.rows(
            "SELECT record FROM returns WHERE id = ? AND saved = 0 AND record IS NOT NULL", return_row
        )
        return record_of(self._db.path, rows[0]["record"]) if rows else None

    def outdated_records(self, most: int) -> list[OutdatedRecord]:
        """Return up to `most` returns with archived photos whose return.json is not up to date."""
        rows = self._db.rows(
            "SELECT id, month, order_id, return_id FROM returns r WHERE saved = 0 AND record IS NOT NULL AND EXISTS "
            "(SELECT 1 FROM photos WHERE return_row = r.id AND +state = 'archived') "
            f"AND {sound('returns', 'r')} LIMIT ?",
            most,
        )
        return [OutdatedRecord(row, month, ReturnRef(*ref)) for row, month, *ref in rows]

    def record_saved(self, return_row: int) -> None:
        """Record that return.json is up to date. Where a power cut undoes it, the file is written once more."""
        with self._db.transaction(durable=False) as connection:
            connection.execute("UPDATE returns SET saved = 1 WHERE id = ?", (return_row,))
            failpoints.point("record-saved")


def _values(row: _Row, listing: int) -> tuple[object, ...]:
    """Return the values of `_ADD_RETURN`."""
    found, record, status = row
    month, awaits = month_of(found.created), status in AWAITING
    return found.id, found.order, month, found.created_at, record, status, awaits, listing


def _differs(known: bytes | None, record: bytes) -> bool:
    """Compare the contents: equal records may be packed differently."""
    if known is None or known == record:
        return known is None
    try:
        return unpack(known) != unpack(record)
    except ValueError:  # the known one is damaged
        return True
