"""Check a catalogue: a few reads when it is opened, and everything that a reader could meet."""

import json
import sqlite3
from collections.abc import Callable, Iterator

from market_photos.archive.catalog.record_codec import unpack
from market_photos.archive.catalog.rules import ALL, RULES, STATES, sound

#: (type, name, text) of a table, an index or a trigger.
Part = tuple[str, str, str]

#: One step of the index per state, not per photo. LIMIT, as a damaged index could return the same state forever.
_STATES_OF_PHOTOS = f"""
WITH RECURSIVE found(state) AS (
    SELECT min(state) FROM photos
    UNION ALL SELECT (SELECT min(state) FROM photos WHERE state > found.state) FROM found WHERE state IS NOT NULL
    LIMIT {len(STATES) + 2}
)
SELECT state FROM found WHERE state IS NOT NULL
"""
_COUNTED = "SELECT state, count(*), coalesce(sum(size), 0) FROM photos GROUP BY state"


def parts_of(connection: sqlite3.Connection) -> frozenset[Part]:
    """Return the tables, indexes and triggers of a database."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return frozenset(tuple(row) for row in rows)


def problem_at_once(connection: sqlite3.Connection, expected: frozenset[Part]) -> str:
    """Return what a few reads show to be wrong, or an empty string. Takes the same time at any size."""
    for kind, name, _ in sorted(expected - parts_of(connection)):
        return f"its {kind} {name} is missing, or is not as this version makes it"
    for state, photos, size in connection.execute(
        f"SELECT state, photos, size FROM tallies t WHERE {sound('tallies', 't')}"
    ):
        tally = (photos, size)
        if state == ALL and tally != _sum_of_tallies(connection):
            return "its tallies contradict each other"
    for (state,) in connection.execute(_STATES_OF_PHOTOS):
        if state not in STATES:
            return f"a photo has the state {state!r}, which does not exist"
    return ""


def _sum_of_tallies(connection: sqlite3.Connection) -> tuple[int, int]:
    query = f"SELECT sum(photos), sum(size) FROM tallies WHERE state != '{ALL}'"
    photos, size = connection.execute(query).fetchone()
    return photos, size


def problem_anywhere(connection: sqlite3.Connection) -> str:
    """Return what is wrong with any page, row, record or tally, or an empty string. Reads the whole file.

    Raises sqlite3.Error where a row breaks the rules or cannot be read.
    """
    connection.execute("BEGIN")  # a run may write meanwhile
    try:
        return next(_problems(connection), "")
    finally:
        connection.execute("ROLLBACK")


def _problems(connection: sqlite3.Connection) -> Iterator[str]:
    for table in RULES:
        # Every column: SQLite decodes a value only when it is read.
        for row in connection.execute(f"SELECT * FROM {table} t WHERE {sound(table, 't')}"):
            if problem := _problem_of_value(table, row):
                yield problem
    for row in connection.execute("PRAGMA foreign_key_check"):
        yield f"row {row[1]} of {row[0]} belongs to no row of {row[2]}"
    found = {
        row[0]: tuple(row)[1:]
        for row in connection.execute(f"SELECT state, photos, size FROM tallies WHERE state != '{ALL}'")
    }
    counted = {row[0]: tuple(row)[1:] for row in connection.execute(_COUNTED)}
    for state in STATES:
        if found.get(state) != counted.get(state, (0, 0)):
            yield f"its tally of {state} photos is not their number"
    for row in connection.execute("PRAGMA integrity_check(1)"):
        if row[0] != "ok":
            yield str(row[0])


#: What SQL cannot test: a column and its decoder, by table. A decoder raises ValueError or RecursionError.
_READERS: dict[str, tuple[str, Callable[..., object]]] = {
    "returns": ("record", unpack),
    "runs": ("summary", json.loads),
}


def _problem_of_value(table: str, row: sqlite3.Row) -> str:
    column, read = _READERS.get(table, ("", None))
    if read is None or row[column] is None:
        return ""
    try:
        read(row[column])
    except (ValueError, RecursionError) as error:
        return f"row {row['id']} of {table}: its {column} cannot be read: {error}"
    return ""
