"""The index: an SQLite file beside each catalogue that finds and sorts its returns.

It is derived from the catalogue. If it is damaged, or of another version or catalogue, it is deleted and built again.
A sync never waits for it: the index is a separate file, and the catalogue is only read.

The key of a return combines its time of creation and its row (`query.key`). Newer returns have higher keys, and a
page is a range of keys, also a page of search results.
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
from market_photos.browse.query import Query, unkey
from market_photos.clock import moscow_day

INDEX_NAME = BROWSE_INDEX
VERSION = 2
BUSY_SECONDS = 10

_SCHEMA = """
CREATE TABLE facts(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE entries(
    key INTEGER PRIMARY KEY,
    photos INTEGER NOT NULL,
    mark INTEGER NOT NULL,               -- checksum of the catalogue's rows
    tags TEXT NOT NULL                   -- JSON: [[kind, value], …], as counted in days
);
CREATE INDEX with_photos ON entries(key) WHERE photos > 0;

CREATE TABLE days(                       -- number of returns by day of creation; day -1: of all days
    kind TEXT NOT NULL, day INTEGER NOT NULL, value TEXT NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY(kind, day, value)
) WITHOUT ROWID;

CREATE VIRTUAL TABLE search USING fts5(
    numbers, words, tags, tokenize = 'unicode61 remove_diacritics 2', prefix = '3'
);
"""


class Entry(NamedTuple):
    """A return in the index."""

    key: int
    photos: int
    mark: int
    numbers: str
    words: str
    tags: tuple[tuple[str, str], ...]


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
            _require_schema(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _require_schema(connection: sqlite3.Connection) -> None:
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


def write(connection: sqlite3.Connection, entries: Iterable[Entry], tagged: Iterable[str]) -> None:
    """Insert or replace returns, inside a transaction. `tagged` has the search words for the tags of each entry."""
    for entry, tags in zip(entries, tagged, strict=True):
        _forget(connection, entry.key)
        connection.execute(
            "INSERT INTO entries VALUES (?, ?, ?, ?)",
            (entry.key, entry.photos, entry.mark, json.dumps(entry.tags)),
        )
        connection.execute(
            "INSERT INTO search(rowid, numbers, words, tags) VALUES (?, ?, ?, ?)",
            (entry.key, entry.numbers, entry.words, tags),
        )
        _count(connection, entry.key, entry.tags, 1)


def _forget(connection: sqlite3.Connection, key: int) -> None:
    row = connection.execute("SELECT tags FROM entries WHERE key = ?", (key,)).fetchone()
    if row:
        _count(connection, key, json.loads(row[0]), -1)
        connection.execute("DELETE FROM entries WHERE key = ?", (key,))
        connection.execute("DELETE FROM search WHERE rowid = ?", (key,))


def _count(connection: sqlite3.Connection, key: int, tags: Iterable[Iterable[str]], step: int) -> None:
    day = moscow_day(unkey(key)[0])
    connection.executemany(
        "INSERT INTO days VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
        [(kind, when, value, step) for kind, value in tags for when in (-1, day)],
    )


def find(connection: sqlite3.Connection, query: Query, campaign: int, limit: int) -> list[int]:
    """Return the keys of at most `limit` matching returns of a store, newest first."""
    match, (low, high) = query.match(), query.span(campaign)
    if match is None or low >= high:
        return []
    if match:
        statement = "SELECT rowid FROM search WHERE search MATCH ? AND rowid >= ? AND rowid < ? ORDER BY rowid DESC"
        found = connection.execute(f"{statement} LIMIT ?", (match, low, high, limit))
    else:
        statement = "SELECT key FROM entries WHERE photos > 0 AND key >= ? AND key < ? ORDER BY key DESC LIMIT ?"
        found = connection.execute(statement, (low, high, limit))
    return [row[0] for row in found]


def values(connection: sqlite3.Connection, kind: str) -> dict[str, int]:
    """Return the values of a filter with their numbers of returns."""
    statement = "SELECT value, n FROM days WHERE kind = ? AND day = -1 AND n > 0"
    return dict(connection.execute(statement, (kind,)).fetchall())


def values_since(connection: sqlite3.Connection, kind: str, day: int) -> dict[str, int]:
    """Return the same for returns created on or after a day, given in days since 1970 in Moscow."""
    statement = "SELECT value, sum(n) FROM days WHERE kind = ? AND day >= ? AND n > 0 GROUP BY value"
    return dict(connection.execute(statement, (kind, max(0, day))).fetchall())
