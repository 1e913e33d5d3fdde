"""Bring an index up to date with its catalogue, also while a sync writes to the catalogue.

New returns are found by their row numbers, and photos that changed state by `changed_at`. A record that changed
leaves no such trace, so from time to time every return is compared, which takes seconds for 300 000. Newer ones are
written first: the first page is right before the index is complete.
"""

import sqlite3
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

from market_photos.archive.catalog import changes
from market_photos.archive.catalog.reader import KnownReturn, Reader, open_reader
from market_photos.archive.layout import CATALOG_NAME
from market_photos.browse import index
from market_photos.browse.query import AWAITING_VALUE, NO_PHOTOS, TAGS, Tag, key, stemmed, unkey
from market_photos.errors import CatalogUnusable
from market_photos.record import AWAITING
from market_photos.text import without_controls

#: Returns written in one transaction.
BATCH = 500
#: From this number of returns on, pages show the progress: writing them takes seconds.
SHOW_PROGRESS_FROM = 2000
#: SQLite instructions between two checks of `stopped`.
STOP_CHECK_INTERVAL = 500_000
#: Days in the chart of photos per day.
PLOTTED_DAYS = 30

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
        with open_reader(folder.parent, int(folder.name)) as reader:
            reader.interrupt_when(stopped, STOP_CHECK_INTERVAL)
            return _Refresh(reader, connection, progress, stopped).run(seen, everything=everything or not known)


def _empty(connection: sqlite3.Connection) -> None:
    """Remove all entries: the rows of another catalogue have other numbers."""
    with index.transaction(connection):
        for table in ("entries", "combinations", "search", "facts"):
            connection.execute(f"DELETE FROM {table}")


class _Refresh:
    def __init__(self, reader: Reader, connection: sqlite3.Connection, progress: Progress, stopped: Stopped) -> None:
        self._reader = reader
        self._index = connection
        self._progress = progress
        self._stopped = stopped

    def run(self, seen: list[list[int]], *, everything: bool) -> int:
        # Read before anything else: what changes later is found by the next update.
        marks = changes.high_marks(self._reader)
        stale = array("q", sorted(self._stale(everything=everything), reverse=True))
        for start in range(0, len(stale), BATCH):
            if self._stopped():
                return start
            if len(stale) > SHOW_PROGRESS_FROM:
                self._progress(start / len(stale))
            self._write(stale[start : start + BATCH])
        with index.transaction(self._index):
            index.set_meta(self._index, "downloaded", changes.archived_by_day(self._reader, PLOTTED_DAYS))
            index.set_meta(self._index, "marks", marks)
            index.set_meta(self._index, "fingerprint", seen)
        return len(stale)

    def _stale(self, *, everything: bool) -> Iterator[int]:
        """Yield the keys of returns that are missing from the index or differ from it."""
        since = index.get_meta(self._index, "marks", {"returns": 0, "changed": 0})
        marks = changes.all_marks(self._reader) if everything else changes.marks_since(self._reader, since)
        for mark in marks:
            number = key(mark.created_at, mark.row)
            known = self._index.execute("SELECT mark FROM entries WHERE key = ?", (number,)).fetchone()
            if known is None or known[0] != mark.value:
                yield number

    def _write(self, keys: "array[int]") -> None:
        rows = [unkey(number)[1] for number in keys]
        # Before the returns: a change in between leaves the old mark, and the next update finds it.
        marks = changes.marks_of(self._reader, rows)
        entries = [_entry(return_.without_damage(), marks[return_.row]) for return_ in self._reader.at(rows)]
        with index.transaction(self._index):
            index.write(self._index, entries)


def _entry(return_: KnownReturn, mark: int) -> index.Entry:
    record = return_.record
    items = [str(decision.item) for decision in record.decisions if decision.item is not None]
    return index.Entry(
        key=key(return_.created_at, return_.row),
        mark=mark,
        numbers=[str(return_.order), str(return_.return_id), *items, *record.distinct("market_sku")],
        words=stemmed("\n".join(record.distinct("comment") + record.distinct("sku"))),
        tags=list(_tags(return_)),
    )


def _tags(return_: KnownReturn) -> Iterator[Tag]:
    """Yield the tags of a return, with values as an address can hold them."""
    record = return_.record
    for name in ("reason", "decision"):
        yield from ((TAGS[name], without_controls(value)) for value in record.distinct(name))
    if record.refund_status:
        is_awaiting = record.refund_status in AWAITING
        yield TAGS["refund"], AWAITING_VALUE if is_awaiting else without_controls(record.refund_status)
    yield from ((TAGS["state"], photo.state.value) for photo in return_.photos)
    if not return_.photos:
        yield NO_PHOTOS
