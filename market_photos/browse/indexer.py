"""Keeps an index up to date with its catalogue, in a thread, beside a running sync.

The catalogue tells what is new by its rows' numbers, and what has changed state by `changed_at`; a record that
changed tells nothing, so now and then every return is compared (a look at all of 300 000 takes seconds).
Newest first: while an index is made, its first page is right from the beginning.
"""

import json
import sqlite3
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from market_photos.archive.layout import CATALOG_NAME
from market_photos.archive.packing import unpack
from market_photos.archive.schema import open_catalog
from market_photos.browse import index
from market_photos.browse.query import folded, key, tag, unkey
from market_photos.clock import MOSCOW_OFFSET
from market_photos.errors import CatalogUnusable
from market_photos.record import ReturnRecord, read_record
from market_photos.text import without_controls

#: Returns written at once.
BATCH = 500
#: So many returns take seconds: then a page says why something may be lacking.
WORTH_TELLING = 2000
#: Instructions of SQLite between two looks whether to stop.
LOOK_EVERY = 500_000
#: Photos change state within one second of each other; look a little further back.
OVERLAP_SECONDS = 5
#: Days that the plot of photos a day shows.
PLOTTED_DAYS = 30
#: The kind of a return without photos in the filter by state.
NO_PHOTOS = "none"

Progress = Callable[[float], None]
Stopped = Callable[[], bool]


def sign(folder: Path) -> list[list[int]]:
    """What changes whenever the catalogue does. Raises CatalogUnusable where there is none."""
    path = folder / CATALOG_NAME
    try:
        found = [path.stat()]
    except OSError as error:
        raise CatalogUnusable(f"{path}: {error.strerror}.", "Was the archive moved? Start browse again.") from error
    wal = path.with_name(f"{CATALOG_NAME}-wal")
    if wal.exists() and wal.stat().st_size:
        found.append(wal.stat())
    return [[stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns] for stat in found]


def update(folder: Path, views: Path, *, everything: bool, progress: Progress, stopped: Stopped) -> int:
    """Bring the index of a store's folder up to date; return how many returns were written.

    `views`: the folder of the index; beside the catalogue, but for an archive that cannot be written.
    `everything`: compare each return, not only those that the catalogue shows to be new or changed.
    Raises CatalogUnusable, ArchiveUnwritable, sqlite3.Error; the last also where it was stopped in a long look.
    """
    seen = sign(folder)
    with index.opened(views / index.INDEX_NAME) as connection:
        known = index.get_meta(connection, "sign")
        if known == seen:
            return 0
        if known and known[0][:2] != seen[0][:2]:
            _empty(connection)
            known = None
        with closing(open_catalog(folder / CATALOG_NAME, int(folder.name), read_only=True)) as catalog:
            catalog.set_progress_handler(stopped, LOOK_EVERY)
            return _Pass(catalog, connection, progress, stopped).run(seen, everything=everything or not known)


def _empty(connection: sqlite3.Connection) -> None:
    """Another catalogue has other rows."""
    with index.transaction(connection):
        for table in ("returns", "days", "search", "meta"):
            connection.execute(f"DELETE FROM {table}")


class _Pass:
    def __init__(
        self, catalog: sqlite3.Connection, connection: sqlite3.Connection, progress: Progress, stopped: Stopped
    ) -> None:
        self._catalog = catalog
        self._index = connection
        self._progress = progress
        self._stopped = stopped

    def run(self, seen: list[list[int]], *, everything: bool) -> int:
        marks = self._high_marks()
        stale = array("q", sorted(self._all() if everything else self._fresh(), reverse=True))
        for start in range(0, len(stale), BATCH):
            if self._stopped():
                return start
            if len(stale) > WORTH_TELLING:
                self._progress(start / len(stale))
            self._write(stale[start : start + BATCH])
        with index.transaction(self._index):
            index.set_meta(self._index, "fetched", self._fetched_by_day())
            index.set_meta(self._index, "marks", marks)
            index.set_meta(self._index, "sign", seen)
        return len(stale)

    def _high_marks(self) -> dict[str, int]:
        """Taken before anything is read: what comes meanwhile is read again next time."""
        statement = (
            "SELECT (SELECT coalesce(max(id), 0) FROM returns) returns, "
            "(SELECT coalesce(max(changed_at), 0) FROM photos) changed"
        )
        return dict(self._catalog.execute(statement).fetchone())

    def _differing(self, where: str, *values: object) -> Iterator[int]:
        """Keys of those returns that the index lacks, or has otherwise."""
        for row in self._catalog.execute(f"{_LOOK} WHERE {where} ORDER BY r.id", values):
            number = key(row["created_at"], row["id"])
            known = self._index.execute("SELECT mark FROM returns WHERE key = ?", (number,)).fetchone()
            if known is None or known[0] != _mark(row):
                yield number

    def _all(self) -> Iterator[int]:
        return self._differing("1")

    def _fresh(self) -> Iterator[int]:
        """Of returns that are new, or whose photos are new or changed state since the last look."""
        marks = index.get_meta(self._index, "marks", {"returns": 0, "changed": 0})
        changed = "r.id IN (SELECT return_row FROM photos WHERE changed_at >= ?)"
        return self._differing(f"r.id > ? OR {changed}", marks["returns"], marks["changed"] - OVERLAP_SECONDS)

    def _write(self, keys: "array[int]") -> None:
        rows = json.dumps([unkey(one)[1] for one in keys])
        look = f"{_LOOK} WHERE r.id IN (SELECT value FROM json_each(?)) ORDER BY r.created_at DESC, r.id DESC"
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
        """[[days since 1970 in Moscow, photos archived on it], …] of the last days."""
        statement = (
            "SELECT (changed_at + ?) / 86400 day, count(*) n FROM photos WHERE state = 'archived' "
            "AND changed_at > (SELECT max(changed_at) FROM photos) - ? GROUP BY day"
        )
        values = (MOSCOW_OFFSET, (PLOTTED_DAYS + 1) * 86_400)
        return [list(row) for row in self._catalog.execute(statement, values)]


#: With what tells whether its photos are as they were: how many, when they changed, and into what.
_LOOK = """
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
    """The API's record; an empty one where it was not kept or cannot be read."""
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
