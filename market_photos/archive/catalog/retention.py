"""Prune returns: find those that may go, replace them by tombstones, and hold others.

Pruning deletes the photos, return.json and the API's record, whose comments are personal data like the photos. Ids,
dates, hashes, sizes and SHA-256 stay, so that nothing is downloaded again and it is known what was there.

The order makes it crash-safe: first the tombstones, in one transaction per return that also marks its files for
removal, then the files, then the mark goes. `unfinished` finds what a killed prune left.
"""

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from market_photos import failpoints
from market_photos.archive.catalog.connection import Database
from market_photos.archive.catalog.errors import record_of
from market_photos.archive.catalog.reader import BATCH
from market_photos.archive.catalog.rules import sound


class Prunable(NamedTuple):
    """A return that may be pruned."""

    row: int
    created_at: int
    photos: int
    """Archived photos."""
    size: int
    """Bytes of the archived photos."""
    lacking: int
    """Photos that are not archived yet, and never will be after pruning."""


_LEFT = "EXISTS (SELECT 1 FROM photos WHERE return_row = r.id AND state NOT IN ('gone', 'pruned'))"
_CANDIDATES = f"""
SELECT id, created_at,
    (SELECT count(*) FROM photos WHERE return_row = r.id AND state = 'archived') photos,
    (SELECT coalesce(sum(size), 0) FROM photos WHERE return_row = r.id AND state = 'archived') size,
    (SELECT count(*) FROM photos WHERE return_row = r.id AND state IN ('pending', 'failed')) lacking,
    record
FROM returns r
WHERE id > ? AND created_at > 0 AND created_at < ? AND held_at IS NULL AND (record IS NOT NULL OR {_LEFT})
    AND {sound("returns", "r")}
ORDER BY id LIMIT {BATCH}
"""
#: True unless photos were listed after the prune: those can still be held.
_PRUNED = (
    f"SELECT 1 FROM returns r WHERE id = ? AND (pruning = 1 OR NOT {_LEFT} AND "
    "EXISTS (SELECT 1 FROM photos WHERE return_row = r.id AND state = 'pruned'))"
)


class Pruning:
    """Tombstones and holds."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def candidates(self, before: float, statuses: Collection[str] = ()) -> Iterator[Prunable]:
        """Yield returns created before this time (seconds since 1970) that are not held and not pruned yet.

        With `statuses`, only returns with one of these refund statuses; a return without a record has none. A return
        without a date is never a candidate.
        """
        last, accepted = 0, {status.upper() for status in statuses}
        while rows := self._db.rows(_CANDIDATES, last, int(before)):
            last = rows[-1]["id"]
            for *fields, record in rows:
                if not accepted or self._status(record) in accepted:
                    yield Prunable(*fields)

    def held(self, before: float) -> int:
        """Return the number of held returns that are old enough."""
        query = "SELECT count(*) n FROM returns WHERE held_at IS NOT NULL AND created_at BETWEEN 1 AND ?"
        return int(self._db.rows(query, int(before))[0]["n"])

    def undated(self) -> int:
        """Return the number of returns with photos but without a date."""
        query = f"SELECT count(*) n FROM returns r WHERE created_at <= 0 AND {_LEFT}"
        return int(self._db.rows(query)[0]["n"])

    def enable_secure_delete(self) -> None:
        """Make SQLite overwrite in the file what is deleted on this connection from now on."""
        self._db.rows("PRAGMA secure_delete = ON")

    def tombstone(self, row: int) -> bool:
        """Replace a return's photos by tombstones and mark its files for removal. Return False if it is held."""
        with self._db.transaction() as connection:
            cursor = connection.execute(
                "UPDATE returns SET pruning = 1, record = NULL, saved = 0, awaits = 0 "
                "WHERE id = ? AND held_at IS NULL",
                (row,),
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
        """Return the rows of returns that have tombstones, but may still have files."""
        query = f"SELECT id FROM returns r WHERE pruning = 1 AND {sound('returns', 'r')} ORDER BY id"
        return [row["id"] for row in self._db.rows(query)]

    def finish(self, row: int) -> None:
        """Record that the files are removed."""
        with self._db.transaction() as connection:
            connection.execute("UPDATE returns SET pruning = 0 WHERE id = ?", (row,))
        failpoints.point("pruned")

    def hold(self, row: int, mark: Callable[[], None]) -> bool:
        """Exempt a return from pruning. Return False if it is pruned or being pruned.

        `mark` writes the file of the hold, in the same transaction: a prune at the same time sees both or neither.
        """
        with self._db.transaction() as connection:
            if connection.execute(_PRUNED, (row,)).fetchone():
                return False
            connection.execute("UPDATE returns SET held_at = ? WHERE id = ?", (self._db.now(), row))
            mark()
        return True

    def release(self, row: int, unmark: Callable[[], None]) -> None:
        """End a hold. `unmark` removes its file, in the same transaction."""
        with self._db.transaction() as connection:
            connection.execute("UPDATE returns SET held_at = NULL WHERE id = ?", (row,))
            unmark()

    def _status(self, packed: bytes | None) -> str:
        return "" if packed is None else str(record_of(self._db.path, packed).get("refundStatus")).upper()
