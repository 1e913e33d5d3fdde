"""The index: an SQLite file beside each catalogue that finds, sorts and counts its returns.

It is derived from the catalogue. If it is damaged, or of another version or catalogue, it is deleted and built again.
A sync never waits for it: the index is a separate file, and the catalogue is only read.

The key of a return combines its time of creation and its row (`query.key`). Newer returns have higher keys, and a
page is a range of keys, also a page of search results. Returns with the same tags share a combination; there are
few of them, so one query counts the returns for all filters.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from market_photos.archive.layout import BROWSE_INDEX
from market_photos.archive.volume import disk_errors
from market_photos.browse.query import Place, Query, Tag, end_before, unkey

INDEX_NAME = BROWSE_INDEX
VERSION = 4
BUSY_SECONDS = 10

_SCHEMA = """
CREATE TABLE facts(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE combinations(
    id INTEGER PRIMARY KEY,
    tags TEXT NOT NULL UNIQUE            -- JSON: [[kind, value], …]
);

CREATE TABLE entries(
    key INTEGER PRIMARY KEY,
    mark INTEGER NOT NULL,               -- checksum of the catalogue's rows
    combination INTEGER NOT NULL
);

CREATE VIRTUAL TABLE search USING fts5(
    numbers, reversed, words, tokenize = 'porter unicode61 remove_diacritics 2', prefix = '3'
);
"""


class Entry(NamedTuple):
    """A return in the index."""

    key: int
    mark: int
    numbers: list[str]
    words: str
    tags: list[Tag]


@contextmanager
def open_index(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the index; create it if it is missing or unusable. Raises ArchiveUnwritable, sqlite3.Error."""
    with disk_errors(path):
        try:
            connection = _connect(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            discard(path)
            connection = _connect(path)
    with closing(connection):
        yield connection


def discard(path: Path) -> None:
    """Delete the index."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with transaction(connection):
            create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def create(connection: sqlite3.Connection) -> None:
    """Create the tables unless they exist. Raises DatabaseError if another version made them."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, VERSION):
        raise sqlite3.DatabaseError("made by another version")
    if not version:
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit at the end of the block, or roll back after an error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def get_meta(connection: sqlite3.Connection, name: str, default: Any = None) -> Any:
    """Return the decoded JSON value called `name`."""
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return json.loads(row[0]) if row else default


def set_meta(connection: sqlite3.Connection, name: str, value: Any) -> None:
    """Store a value as JSON."""
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))


def write(connection: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """Insert or replace returns, inside a transaction."""
    for entry in entries:
        tags = json.dumps(sorted(set(entry.tags)))
        connection.execute("INSERT OR IGNORE INTO combinations(tags) VALUES (?)", (tags,))
        connection.execute(
            "INSERT OR REPLACE INTO entries SELECT ?, ?, id FROM combinations WHERE tags = ?",
            (entry.key, entry.mark, tags),
        )
        numbers = " ".join(entry.numbers)
        connection.execute(
            "INSERT OR REPLACE INTO search(rowid, numbers, reversed, words) VALUES (?, ?, ?, ?)",
            (entry.key, numbers, numbers[::-1], entry.words),
        )


def find(
    connection: sqlite3.Connection, campaign: int, query: Query, limit: int, newer_than: Place | None = None
) -> list[Place]:
    """Return the places of at most `limit` matching returns of a store, newest first.

    With `newer_than` those just before this place in the results, the nearest first.
    """
    low, high = query.span(campaign)
    order = "DESC"
    if newer_than:
        low, order = max(low, end_before(newer_than, campaign) + (campaign == newer_than.campaign)), "ASC"
    accepted = [number for number, tags in _combinations(connection).items() if query.accepts(tags)]
    rows = _select(
        connection,
        query,
        "key",
        (low, high),
        f"AND combination IN (SELECT value FROM json_each(?)) ORDER BY {{key}} {order} LIMIT ?",
        json.dumps(accepted),
        limit,
    )
    return [Place(created_at, campaign, row) for created_at, row in (unkey(number) for (number,) in rows)]


def count(connection: sqlite3.Connection, campaign: int, query: Query) -> list[tuple[set[Tag], int]]:
    """Return the number of a store's returns that match text and dates, by their tags; filters are not applied."""
    combinations = _combinations(connection)
    rows = _select(connection, query, "combination, count(*)", query.span(campaign), "GROUP BY combination")
    return [(combinations[number], n) for number, n in rows]


def _combinations(connection: sqlite3.Connection) -> dict[int, set[Tag]]:
    rows = connection.execute("SELECT id, tags FROM combinations")
    return {number: {(kind, value) for kind, value in json.loads(tags)} for number, tags in rows}


def _select(
    connection: sqlite3.Connection, query: Query, columns: str, span: tuple[int, int], end: str, *values: object
) -> Iterable[tuple[int, ...]]:
    """Select from the entries in a span of keys that match the text. `{key}` in `end` is the column of the key."""
    match = query.match()
    if match is None:
        return []
    if match:
        source, name, values = "search JOIN entries ON key = search.rowid", "search.rowid", (*span, match, *values)
        end = f"AND search MATCH ? {end}"
    else:
        source, name, values = "entries", "key", (*span, *values)
    statement = f"SELECT {columns} FROM {source} WHERE {name} >= ? AND {name} < ? {end.format(key=name)}"
    return connection.execute(statement, values)
