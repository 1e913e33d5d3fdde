"""Bring an index up to date with its catalogue, also while a sync writes to the catalogue.

New returns are found by their row numbers, and photos that changed state by `changed_at`. A record that changed
leaves no such trace, so from time to time every return is compared, which takes seconds for 300 000. Newer ones are
written first: the first page is right before the index is complete.
"""

import json
import sqlite3
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from market_photos.archive.catalog.record_codec import unpack
from market_photos.archive.catalog.schema import open_catalog
from market_photos.archive.layout import CATALOG_NAME
from market_photos.browse import index
from market_photos.browse.query import folded, key, tag, unkey
from market_photos.clock import MOSCOW_OFFSET
from market_photos.errors import CatalogUnusable
from market_photos.record import ReturnRecord, read_record
from market_photos.text import without_controls

#: Returns written in one transaction.
BATCH = 500
#: From this number of returns on, pages show the progress: writing them takes seconds.
SHOW_PROGRESS_FROM = 2000
#: SQLite instructions between two checks of `stopped`.
STOP_CHECK_INTERVAL = 500_000
#: How far to look back beyond the last `changed_at`: it counts whole seconds, and commits may be late.
OVERLAP_SECONDS = 5
#: Days in the chart of photos per day.
PLOTTED_DAYS = 30
#: Value of the filter by state for returns without photos.
NO_PHOTOS = "none"

Progress = Callable[[float], None]
Stopped = Callable[[], bool]


def fingerprint(folder: Path) -> list[list[int]]:
    """Return a value that changes whenever the catalogue does. Raises CatalogUnusable where there is none."""
    path = folder / CATALOG_NAME
    try:
        found = [path.stat()]
    except OSError as error:
        raise CatalogUnusable(
            f"{path}: {error.strerror}.", "If the archive was moved, start browse again."
        ) from error
    wal = path.with_name(f"{CATALOG_NAME}-wal")
    if wal.exists() and wal.stat().st_size:
        found.append(wal.stat())
    return [[stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns] for stat in found]


def update(folder: Path, views: Path, *, everything: bool, progress: Progress, stopped: Stopped) -> int:
    """Update the index of a store's folder and return the number of returns written.

    `views` is the folder of the index: that of the catalogue, unless the archive cannot be written.
    `everything` compares every return, not only new and changed ones. `progress` is called with the share done.
    Raises CatalogUnusable, ArchiveUnwritable, sqlite3.Error; the last also where `stopped` interrupts a long query.
    """
    seen = fingerprint(folder)
    with index.open_index(views / index.INDEX_NAME) as connection:
        known = index.get_meta(connection, "fingerprint")
        if known == seen:
            return 0
        if known and known[0][:2] != seen[0][:2]:
            _empty(connection)
            known = None
        with closing(open_catalog(folder / CATALOG_NAME, int(folder.name), read_only=True)) as catalog:
            catalog.set_progress_handler(stopped, STOP_CHECK_INTERVAL)
            return _Refresh(catalog, connection, progress, stopped).run(seen, everything=everything or not known)


def _empty(connection: sqlite3.Connection) -> None:
    """Remove all entries: the rows of another catalogue have other numbers."""
    with index.transaction(connection):
        for table in ("returns", "days", "search", "meta"):
            connection.execute(f"DELETE FROM {table}")


class _Refresh:
    def __init__(
        self, catalog: sqlite3.Connection, connection: sqlite3.Connection, progress: Progress, stopped: Stopped
    ) -> None:
        self._catalog = catalog
        self._index = connection
        self._progress = progress
        self._stopped = stopped

    def run(self, seen: list[list[int]], *, everything: bool) -> int:
        marks = self._high_marks()
        stale = array("q", sorted(self._all() if everything else self._new_or_changed(), reverse=True))
        for start in range(0, len(stale), BATCH):
            if self._stopped():
                return start
            if len(stale) > SHOW_PROGRESS_FROM:
                self._progress(start / len(stale))
            self._write(stale[start : start + BATCH])
        with index.transaction(self._index):
            index.set_meta(self._index, "fetched", self._fetched_by_day())
            index.set_meta(self._index, "marks", marks)
            index.set_meta(self._index, "fingerprint", seen)
        return len(stale)

    def _high_marks(self) -> dict[str, int]:
        """Return the highest row and time of change, before anything is read: what comes later is read next time."""
        statement = (
            "SELECT (SELECT coalesce(max(id), 0) FROM returns) returns, "
            "(SELECT coalesce(max(changed_at), 0) FROM photos) changed"
        )
        return dict(self._catalog.execute(statement).fetchone())

    def _differing(self, where: str, *values: object) -> Iterator[int]:
        """Yield the keys of returns that are missing from the index or differ from it."""
        for row in self._catalog.execute(f"{_RETURNS} WHERE {where} ORDER BY r.id", values):
            number = key(row["created_at"], row["id"])
            known = self._index.execute("SELECT mark FROM returns WHERE key = ?", (number,)).fetchone()
            if known is None or known[0] != _mark(row):
                yield number

    def _all(self) -> Iterator[int]:
        return self._differing("1")

    def _new_or_changed(self) -> Iterator[int]:
        """Yield those among returns that are new or have photos that are new or changed state."""
        marks = index.get_meta(self._index, "marks", {"returns": 0, "changed": 0})
        changed = "r.id IN (SELECT return_row FROM photos WHERE changed_at >= ?)"
        return self._differing(f"r.id > ? OR {changed}", marks["returns"], marks["changed"] - OVERLAP_SECONDS)

    def _write(self, keys: "array[int]") -> None:
        rows = json.dumps([unkey(one)[1] for one in keys])
        look = f"{_RETURNS} WHERE r.id IN (SELECT value FROM json_each(?)) ORDER BY r.created_at DESC, r.id DESC"
        states = self._states(rows)
        entries = [_entry(row, states.get(row["id"], {})) for row in self._catalog.execute(look, (rows,))]
        with index.transaction(self._index):
            index.write(self._index, entries, [" ".join(tag(*one) for one in entry.tags) for entry in entries])

    def _states(self, rows: str) -> dict[int, dict[str, int]]:
        statement = (
            "SELECT return_row, state, count(*) n FROM photos WHERE return_row IN (SELECT value FROM json_each(?)) "
            "GROUP BY return_row, state"
        )
        found: dict[int, dict[str, int]] = {}
        for row in self._catalog.execute(statement, (rows,)):
            found.setdefault(row["return_row"], {})[row["state"]] = row["n"]
        return found

    def _fetched_by_day(self) -> list[list[int]]:
        """Return [[day since 1970 in Moscow, photos archived on it], …] for the last days."""
        statement = (
            "SELECT (changed_at + ?) / 86400 day, count(*) n FROM photos WHERE state = 'archived' "
            "AND changed_at > (SELECT max(changed_at) FROM photos) - ? GROUP BY day"
        )
        values = (MOSCOW_OFFSET, (PLOTTED_DAYS + 1) * 86_400)
        return [list(row) for row in self._catalog.execute(statement, values)]


#: Returns with two numbers that change when their photos do: their count, and a checksum of states and times.
_RETURNS = """
SELECT r.id, r.created_at, r.order_id, r.return_id, r.record,
    (SELECT count(*) FROM photos p WHERE p.return_row = r.id) photos,
    (SELECT sum(p.changed_at * 7 + length(p.state) + unicode(p.state) * 31)
        FROM photos p WHERE p.return_row = r.id) changes
FROM returns r
"""


def _mark(row: sqlite3.Row) -> int:
    changes: int = (row["changes"] or 0) + row["photos"]
    return zlib.crc32(row["record"] or b"") << 31 | changes & 0x7FFFFFFF


def _entry(row: sqlite3.Row, states: dict[str, int]) -> index.Entry:
    record = read_record(record_of(row["record"]))
    items = [str(decision.item) for decision in record.decisions if decision.item is not None]
    return index.Entry(
        key=key(row["created_at"], row["id"]),
        photos=row["photos"],
        mark=_mark(row),
        numbers=" ".join([str(row["order_id"]), str(row["return_id"]), *items, *record.distinct("market_sku")]),
        words=folded("\n".join(record.distinct("comment") + record.distinct("sku"))),
        tags=tuple(_tags(record, list(states) or [NO_PHOTOS])),
    )


def record_of(packed: bytes | None) -> Any:
    """Return the API's record, or an empty one where it was not kept or cannot be decoded."""
    try:
        return unpack(packed) if packed else {}
    except (ValueError, RecursionError):
        return {}


def _tags(record: ReturnRecord, states: list[str]) -> Iterator[tuple[str, str]]:
    """Yield kind and value of each tag, the value as an address can hold it."""
    values = {"r": record.distinct("reason"), "d": record.distinct("decision"), "s": states}
    for kind, found in values.items():
        yield from ((kind, without_controls(value)) for value in found)
    if record.refund_status:
        yield "f", without_controls(record.refund_status)
