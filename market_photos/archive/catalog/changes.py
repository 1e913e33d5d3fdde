"""Find what changed in a catalogue, for indexes that are derived from it.

New returns have higher rows, and photos that changed state a later `changed_at`. A record that changed leaves no such
trace: only its checksum tells.
"""

import json
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from market_photos.archive.catalog.reader import Reader
from market_photos.archive.catalog.rules import sound
from market_photos.clock import MOSCOW_OFFSET

#: How far to look back beyond the last `changed_at`: it counts whole seconds, and commits may be late.
OVERLAP_SECONDS = 5

_MARKS = f"""
SELECT id, created_at, record, (SELECT count(*) FROM photos p WHERE p.return_row = r.id) photos,
    (SELECT sum(p.changed_at * 7 + length(p.state) + unicode(p.state) * 31)
        FROM photos p WHERE p.return_row = r.id) changes
FROM returns r WHERE {sound("returns", "r")} AND """
_HIGH_MARKS = (
    "SELECT (SELECT coalesce(max(id), 0) FROM returns) returns, "
    "(SELECT coalesce(max(changed_at), 0) FROM photos) changed"
)
_ARCHIVED_BY_DAY = (
    "SELECT (changed_at + ?) / 86400 day, count(*) n FROM photos WHERE state = 'archived' "
    "AND changed_at > (SELECT max(changed_at) FROM photos) - ? GROUP BY day"
)


class Mark(NamedTuple):
    """A checksum of a return: of its record, and of the states of its photos with their times."""

    row: int
    created_at: int
    value: int


def high_marks(reader: Reader) -> dict[str, int]:
    """Return the highest row of a return and the latest change of a photo."""
    return dict(next(reader.rows(_HIGH_MARKS)))


def all_marks(reader: Reader) -> Iterator[Mark]:
    """Yield the mark of every return."""
    return _marks(reader, "true ORDER BY id")


def marks_since(reader: Reader, marks: dict[str, int]) -> Iterator[Mark]:
    """Yield the marks of returns that are new, or whose photos changed, since `high_marks` returned `marks`."""
    changed = "id IN (SELECT return_row FROM photos WHERE changed_at >= ?)"
    condition = f"(id > ? OR {changed}) ORDER BY id"
    return _marks(reader, condition, marks["returns"], marks["changed"] - OVERLAP_SECONDS)


def marks_of(reader: Reader, rows: Iterable[int]) -> dict[int, int]:
    """Return the values of the marks of these returns, by row."""
    found = _marks(reader, "id IN (SELECT value FROM json_each(?))", json.dumps(list(rows)))
    return {mark.row: mark.value for mark in found}


def archived_by_day(reader: Reader, days: int) -> list[list[int]]:
    """Return [[day since 1970 in Moscow, photos archived on it], …] for the last days."""
    return [list(row) for row in reader.rows(_ARCHIVED_BY_DAY, MOSCOW_OFFSET, (days + 1) * 86_400)]


def _marks(reader: Reader, condition: str, *values: object) -> Iterator[Mark]:
    for row, created_at, record, photos, changes in reader.rows(_MARKS + condition, *values):
        checksum = ((changes or 0) + photos) & 0x7FFFFFFF
        yield Mark(row, created_at, zlib.crc32(record or b"") << 31 | checksum)
