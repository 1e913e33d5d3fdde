"""Photos and their states: the queue of the run.

Pending photos of returns that await the seller's decision are claimed before all others, then those of the newest
return, and those that failed in earlier runs last. A photo has
exactly one state, so the number of discovered photos is the sum over the states. `archived` is recorded only after
the file is durably under its final name.
"""

import sqlite3
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from market_photos import failpoints
from market_photos.archive.catalog.connection import Database
from market_photos.archive.catalog.rules import ALL, sound
from market_photos.model import PhotoKey, Wanted

#: Failed runs after which a photo is reported every night but no longer requested.
MAX_FAILURES = 10
#: The longest pause before a failed photo is requested again, seconds.
LONGEST_PAUSE = 12 * 3600
#: Seconds after which `sync --full` requests a photo that is gone once more.
RECHECK_GONE_AFTER = 30 * 86_400


class State(StrEnum):
    """The state of a photo."""

    ARCHIVED = "archived"
    PENDING = "pending"
    FAILED = "failed"
    PRUNED = "pruned"
    GONE = "gone"


class Claim(NamedTuple):
    """A photo that one worker downloads."""

    row: int
    return_row: int
    key: PhotoKey
    month: str
    failures: int = 0
    """Earlier runs in which it failed."""
    request: int = 0
    """The number of its request where that is on record already, else 0."""


class Archived(NamedTuple):
    """A stored photo as the catalogue records it."""

    suffix: str
    size: int
    sha256: bytes
    content_type: str
    note: str


class Tally(NamedTuple):
    """The number of photos in a state, and their bytes."""

    photos: int = 0
    size: int = 0


class FailedPhoto(NamedTuple):
    """A failed photo, for reports."""

    key: PhotoKey
    reason: str
    failures: int
    """Runs in which it failed."""
    not_before: int
    """When it is requested again, seconds since 1970."""


_SOUND = f"{sound('photos', 'p')} AND {sound('returns', 'r')}"
_CLAIM = "SELECT p.id, p.return_row, p.item, p.image_hash, p.failures, r.order_id, r.return_id, r.month "
#: The planner would take the index over all states and sort a million rows for each claim.
_NEXT = (
    f"{_CLAIM} FROM photos p INDEXED BY photo_queue CROSS JOIN returns r ON r.id = p.return_row "
    f"WHERE p.state = 'pending' AND {_SOUND} ORDER BY p.failures, p.urgent DESC, p.created_at DESC, p.id LIMIT :most"
)
_OLDEST = (
    f"{_CLAIM} FROM photos p INDEXED BY photo_queue CROSS JOIN returns r ON r.id = p.return_row "
    f"WHERE p.state = 'pending' AND p.failures = 0 AND {_SOUND} "
    "ORDER BY p.urgent, p.created_at, p.id DESC LIMIT :most"
)
#: The rows of the returns that a run is restricted to. The search for an order alone reads a whole index.
_WANTED = (
    "(SELECT id FROM returns WHERE return_id = :return AND order_id = :order "
    "UNION ALL SELECT id FROM returns WHERE :return IS NULL AND order_id = :order)"
)
_NEXT_WANTED = (
    f"{_CLAIM} FROM returns r CROSS JOIN photos p ON r.id = p.return_row "
    f"WHERE r.id IN {_WANTED} AND +p.state = 'pending' AND {_SOUND} ORDER BY p.id LIMIT :most"
)
_UNFINISHED = (
    f"{_CLAIM} FROM photos p JOIN returns r ON r.id = p.return_row "
    "WHERE p.id IN (SELECT photo FROM requests) AND +p.state != 'archived' "
    f"AND {_SOUND}"
)
_UNTRIED = (
    f"{_CLAIM} FROM photos p INDEXED BY photo_queue CROSS JOIN returns r ON r.id = p.return_row "
    "WHERE p.state = 'pending' AND p.id NOT IN (SELECT photo FROM requests WHERE photo IS NOT NULL) "
    f"AND {_SOUND} ORDER BY p.failures, p.urgent DESC, p.created_at DESC, p.id LIMIT ?"
)
_PENDING_AFTER = (
    f"{_CLAIM} FROM photos p CROSS JOIN returns r ON r.id = p.return_row "
    f"WHERE p.id > ? AND +p.state = 'pending' AND {_SOUND} ORDER BY p.id LIMIT ?"
)


class Photos:
    """The table `photos`. Every method but `release` blocks."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._claimed: set[int] = set()

    def claim(self, only: Wanted | None = None, *, oldest: bool = False) -> Claim | None:
        """Claim the pending photo of the newest return that is not claimed; return None where there is none.

        `only` restricts it to the photos of one return or order. `oldest` prefers the photo of the oldest return that
        never failed. A claim lives in memory: it ends with `release`, a recorded outcome or the process.
        """
        queries = [_NEXT_WANTED] if only else [_OLDEST, _NEXT] if oldest else [_NEXT]
        for query in queries:
            for row in self._db.rows(query, {**_numbers(only), "most": len(self._claimed) + 1}):
                if row["id"] not in self._claimed:
                    self._claimed.add(row["id"])
                    return self._claim(row)
        return None

    def _claim(self, row: sqlite3.Row) -> Claim:
        return Claim(row["id"], row["return_row"], self._key(row), row["month"], row["failures"])

    def _key(self, row: sqlite3.Row) -> PhotoKey:
        return PhotoKey(self._db.campaign, row["order_id"], row["return_id"], row["item"], row["image_hash"])

    def release(self, claim: Claim) -> None:
        """End a claim; the photo stays pending."""
        self._claimed.discard(claim.row)

    def record_archived(self, claim: Claim, stored: Archived) -> None:
        """Record a photo whose file is durably under its final name."""
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE photos SET state = 'archived', changed_at = ?, suffix = ?, size = ?, sha256 = ?, "
                "content_type = ?, note = ?, failures = 0, not_before = 0 WHERE id = ?",
                (self._db.now(), *stored, claim.row),
            )
            failpoints.point("row-written")
        self._claimed.discard(claim.row)

    def record_gone(self, claim: Claim, reason: str) -> None:
        """Record that the API no longer has the photo."""
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE photos SET state = 'gone', changed_at = ?, note = ? WHERE id = ?",
                (self._db.now(), reason, claim.row),
            )
        self._claimed.discard(claim.row)

    def record_failed(self, claim: Claim, reason: str) -> None:
        """Record that the photo failed in this run; a later run requests it again after its pause."""
        with self._db.transaction() as connection:
            failures = connection.execute("SELECT failures FROM photos WHERE id = ?", (claim.row,)).fetchone()[0] + 1
            now = self._db.now()
            connection.execute(
                "UPDATE photos SET state = 'failed', changed_at = ?, note = ?, failures = ?, not_before = ? "
                "WHERE id = ?",
                (now, reason, failures, now + pause_after(failures), claim.row),
            )
        self._claimed.discard(claim.row)

    def adopt(self, claim: Claim, found: Archived) -> bool:
        """Record a photo on disk as archived; return whether it was recorded.

        Not one that is pruned or archived, nor one that is another than the photo that was archived once: `verify
        --repair` found that one changed.
        """
        state, sha256 = self._db.rows("SELECT state, sha256 FROM photos WHERE id = ?", claim.row)[0]
        if state in {State.PRUNED, State.ARCHIVED} or sha256 not in {None, found.sha256}:
            return False
        self.record_archived(claim, found)
        return True

    def untried(self, most: int) -> list[Claim]:
        """Return the first `most` pending photos of the queue without a request on record."""
        return [self._claim(row) for row in self._db.rows(_UNTRIED, most)]

    def pending_after(self, last: int, most: int) -> list[Claim]:
        """Return up to `most` pending photos whose row is higher than `last`, in the order of their rows."""
        return [self._claim(row) for row in self._db.rows(_PENDING_AFTER, last, most)]

    def requeue(self, *, everything: bool = False, only: Wanted | None = None) -> int:
        """Make failed photos whose pause is over pending again; return how many.

        `everything` includes those that were given up and those that have been gone for RECHECK_GONE_AFTER; `only`
        restricts it to one return or order, and includes the same.
        """
        statement = (
            f"UPDATE photos AS p SET state = 'pending', changed_at = :now WHERE {_due(everything, only)} "
            f"AND {sound('photos', 'p')}"
        )
        with self._db.transaction() as connection:
            return connection.execute(statement, self._due_values(only)).rowcount

    def _due_values(self, only: Wanted | None) -> dict[str, int | None]:
        limits = {"most": MAX_FAILURES, "gone": RECHECK_GONE_AFTER, "pause": LONGEST_PAUSE}
        return {"now": self._db.now(), **_numbers(only), **limits}

    def shelve(self) -> int:
        """Make pending photos that failed in earlier runs failed again; return how many."""
        statement = "UPDATE photos SET state = 'failed', changed_at = ? WHERE state = 'pending' AND failures > 0"
        with self._db.transaction() as connection:
            return connection.execute(statement, (self._db.now(),)).rowcount

    def unfinished(self) -> list[Claim]:
        """Return photos with a request on record that are not archived: a killed run may have left parts of them."""
        return [self._claim(row) for row in self._db.rows(_UNFINISHED)]

    def tally(self, only: Wanted | None = None) -> dict[State, Tally]:
        """Return photos and bytes by state, of one return or order where `only` is given."""
        query = f"SELECT state, photos, size FROM tallies WHERE state != '{ALL}'"
        if only:
            query = (
                f"SELECT state, count(*), coalesce(sum(size), 0) FROM photos WHERE return_row IN {_WANTED} "
                "GROUP BY state"
            )
        found = {state: Tally(photos, size) for state, photos, size in self._db.rows(query, _numbers(only))}
        return {state: found.get(state, Tally()) for state in State}

    def lacking(self, listed: Path, *, everything: bool = False, only: Wanted | None = None) -> int:
        """Return how many photos a run would request, of this catalogue and the one at `listed` (of a dry run).

        `everything` and `only` are those of `requeue`.
        """
        queue = f"({_due(everything, only)}) OR state = 'pending'{_OF_WANTED if only else ''}"
        known = self._db.rows(f"SELECT count(*) n FROM photos WHERE {queue}", self._due_values(only))[0]["n"]
        with self._db.attached(listed, "listed"):
            new = self._db.rows(
                "SELECT count(*) n FROM listed.photos p JOIN listed.returns r ON r.id = p.return_row "
                "WHERE NOT EXISTS (SELECT 1 FROM main.photos p2 JOIN main.returns r2 ON r2.id = p2.return_row "
                "WHERE r2.return_id = r.return_id AND r2.order_id = r.order_id "
                "AND p2.item = p.item AND p2.image_hash = p.image_hash)"
            )[0]["n"]
        return int(known + new)

    def given_up(self) -> int:
        """Return how many photos failed in so many runs that they are no longer requested."""
        query = "SELECT count(*) n FROM photos WHERE state = 'failed' AND failures >= ?"
        return int(self._db.rows(query, MAX_FAILURES)[0]["n"])

    def failures(self, most: int, only: Wanted | None = None) -> list[FailedPhoto]:
        """Return the `most` newest failed photos, of one return or order where `only` is given."""
        query = (
            f"SELECT p.item, p.image_hash, r.order_id, r.return_id, p.note, p.failures, p.not_before FROM photos p "
            f"JOIN returns r ON r.id = p.return_row WHERE p.state = 'failed'{_OF_WANTED if only else ''} "
            f"AND {_SOUND} ORDER BY p.created_at DESC LIMIT :most"
        )
        return [
            FailedPhoto(self._key(row), row["note"], row["failures"], row["not_before"])
            for row in self._db.rows(query, {**_numbers(only), "most": most})
        ]


_OF_WANTED = f" AND return_row IN {_WANTED}"


def _numbers(only: Wanted | None) -> dict[str, int | None]:
    """Return the named values of `_WANTED`."""
    order, return_id = only or (None, None)
    return {"order": order, "return": return_id}


def _due(everything: bool, only: Wanted | None) -> str:
    """Return the SQL condition of photos that `requeue` makes pending.

    A `not_before` further ahead than the longest pause was set by a wrong clock, and is ignored.
    """
    if not (everything or only):
        return "state = 'failed' AND failures < :most AND not_before NOT BETWEEN :now + 1 AND :now + :pause"
    again = "(state = 'failed' OR state = 'gone' AND changed_at NOT BETWEEN :now - :gone + 1 AND :now + :pause)"
    return again + (_OF_WANTED if only else "")


def pause_after(failures: int) -> int:
    """Return the seconds before a photo is requested again after so many failed runs.

    None after the first three, so that a person may repeat the command; then 1 h, 2 h … at most LONGEST_PAUSE, so
    that a nightly run still tries every night.
    """
    return 0 if failures <= 3 else min(LONGEST_PAUSE, 2 ** (failures - 4) * 3600)
