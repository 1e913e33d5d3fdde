"""The owner's retention: which returns may go, what goes, and the tombstones that stay.

Of a pruned return the photos, return.json and the API's record in the catalogue go: the buyer's words are personal
data as the photos are. What stays: ids, dates, hashes, sizes and SHA-256, so that nothing is fetched again and it can
still be said what was there.

Crash-safe by its order: first the tombstones in the catalogue (one transaction a return, which remembers that its
files are still to go), then the files, then the note that they are gone. `unfinished` finds what a killed prune left.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from market_photos import failpoints
from market_photos.archive.catalog.connection import Database
from market_photos.archive.catalog.errors import record_of
from market_photos.archive.catalog.reader import BATCH
from market_photos.archive.catalog.rules import sound


class Prunable(NamedTuple):
    """A return that may go."""

    row: int
    month: str
    order: int
    return_id: int
    created_at: int
    photos: int
    """Archived photos."""
    size: int
    """Their bytes."""
    lacking: int
    """Photos that are not archived, and then never will be."""


_LEFT = "EXISTS (SELECT 1 FROM photos WHERE return_row = r.id AND state NOT IN ('gone', 'pruned'))"
_CANDIDATES = f"""
SELECT id, month, order_id, return_id, created_at, record,
    (SELECT count(*) FROM photos WHERE return_row = r.id AND state = 'archived') photos,
    (SELECT coalesce(sum(size), 0) FROM photos WHERE return_row = r.id AND state = 'archived') size,
    (SELECT count(*) FROM photos WHERE return_row = r.id AND state IN ('pending', 'failed')) lacking
FROM returns r
WHERE id > ? AND created_at > 0 AND created_at < ? AND held_at IS NULL AND (record IS NOT NULL OR {_LEFT})
    AND {sound("returns", "r")}
ORDER BY id LIMIT {BATCH}
"""
#: Photos that were listed after the prune are left to be kept.
_PRUNED = (
    f"SELECT 1 FROM returns r WHERE id = ? AND (pruning = 1 OR NOT {_LEFT} AND "
    "EXISTS (SELECT 1 FROM photos WHERE return_row = r.id AND state = 'pruned'))"
)


class Pruning:
    def __init__(self, database: Database) -> None:
        self._db = database

    def candidates(self, before: float, statuses: Collection[str] = ()) -> Iterator[Prunable]:
        """Returns created before this moment (seconds since 1970) that are not held and still have something.

        `statuses`: only with one of these refund statuses; a return whose record is unknown has none. Returns without
        a date are never candidates.
        """
        last, wanted = 0, {status.upper() for status in statuses}
        while rows := self._db.rows(_CANDIDATES, last, int(before)):
            last = rows[-1]["id"]
            yield from (_prunable(row) for row in rows if not wanted or self._status(row) in wanted)

    def held(self, before: float) -> int:
        """Returns that would be old enough, but are held."""
        query = "SELECT count(*) n FROM returns WHERE held_at IS NOT NULL AND created_at BETWEEN 1 AND ?"
        return int(self._db.rows(query, int(before))[0]["n"])

    def undated(self) -> int:
        """Returns with photos that no age can be told of."""
        query = f"SELECT count(*) n FROM returns r WHERE created_at <= 0 AND {_LEFT}"
        return int(self._db.rows(query)[0]["n"])

    def enable_secure_delete(self) -> None:
        """From now on, what is deleted from the catalogue is overwritten in its file as well."""
        self._db.rows("PRAGMA secure_delete = ON")

    def tombstone(self, row: int) -> bool:
        """Tombstones for a return; its files are now to go. False where it was put on hold meanwhile."""
        with self._db.transaction() as connection:
            cursor = connection.execute(
                "UPDATE returns SET pruning = 1, record = NULL, saved = 0 WHERE id = ? AND held_at IS NULL", (row,)
            )
            if cursor.rowcount:
                connection.execute(
                    "UPDATE photos SET state = 'pruned', changed_at = ?, note = NULL, failures = 0, not_before = 0 "
                    "WHERE return_row = ? AND state NOT IN ('gone', 'pruned')",
                    (self._db.now(), row),
                )
        failpoints.point("tombstoned")
        return cursor.rowcount > 0

    def unfinished(self) -> list[int]:
        """Returns (rows) whose tombstones stand, but whose files may still be there."""
        query = f"SELECT id FROM returns r WHERE pruning = 1 AND {sound('returns', 'r')} ORDER BY id"
        return [row["id"] for row in self._db.rows(query)]

    def finish(self, row: int) -> None:
        """The files are gone."""
        with self._db.transaction() as connection:
            connection.execute("UPDATE returns SET pruning = 0 WHERE id = ?", (row,))
        failpoints.point("pruned")

    def hold(self, row: int, mark: Callable[[], None]) -> bool:
        """Keep a return from pruning. False where it is pruned, or is being pruned.

        `mark` writes the file that says so, in the same transaction: a prune beside it is before or after both.
        """
        with self._db.transaction() as connection:
            if connection.execute(_PRUNED, (row,)).fetchone():
                return False
            connection.execute("UPDATE returns SET held_at = ? WHERE id = ?", (self._db.now(), row))
            mark()
        return True

    def release(self, row: int, unmark: Callable[[], None]) -> None:
        """End that. `unmark` removes the file, in the same transaction."""
        with self._db.transaction() as connection:
            connection.execute("UPDATE returns SET held_at = NULL WHERE id = ?", (row,))
            unmark()

    def _status(self, row: sqlite3.Row) -> str:
        packed = row["record"]
        return "" if packed is None else str(record_of(self._db.path, packed).get("refundStatus")).upper()


def _prunable(row: sqlite3.Row) -> Prunable:
    return Prunable(
        row["id"],
        row["month"],
        row["order_id"],
        row["return_id"],
        row["created_at"],
        row["photos"],
        row["size"],
        row["lacking"],
    )
