"""The catalogue's tables, and how a catalogue is opened.

Whatever is wrong with a catalogue becomes CatalogDamaged here: see `unusable` and `damaged`.

One SQLite file a store. Photo states: pending -> archived | gone (404) | failed (reason, runs, not before); any but
gone -> pruned (by its owner: a tombstone, never fetched again).
"""

import os
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from market_photos.archive.catalog.record_codec import unpack
from market_photos.archive.catalog.rules import ALL, STATES, check
from market_photos.archive.catalog.soundness import Part, parts_of, problem_at_once
from market_photos.archive.medium import readable_uri
from market_photos.archive.volume import disk_errors, is_there
from market_photos.errors import ArchiveUnwritable, CatalogDamaged, CatalogUnusable, MarketPhotosError

APPLICATION_ID = 0x4D504341
#: Of catalogues that were made while the program was developed. They are not read.
_BEFORE_THE_FIRST_RELEASE = 0x4D504831
#: A change of the tables' text is a new format: `_require_schema` compares it.
VERSION = 1
#: STRICT tables need it.
OLDEST_SQLITE = (3, 37, 0)
#: How long a catalogue that another program has locked is waited for, seconds.
BUSY_SECONDS = 30

SCHEMA = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL, {check("meta")}) STRICT, WITHOUT ROWID;

CREATE TABLE returns(
    id INTEGER PRIMARY KEY,
    return_id INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    month TEXT NOT NULL,                 -- folder of its photos, fixed when first seen
    created_at INTEGER NOT NULL,         -- seconds since 1970
    record BLOB,                         -- the API's record, see packing.py; kept where there are photos
    saved INTEGER NOT NULL DEFAULT 0,    -- whether return.json on disk holds this record
    listed INTEGER NOT NULL DEFAULT 0,   -- the listing that saw it last
    held_at INTEGER,                     -- since when the owner keeps it from pruning
    pruning INTEGER NOT NULL DEFAULT 0,  -- 1: pruned, but its files are still to go
    UNIQUE(return_id, order_id),
    {check("returns")}
) STRICT;
CREATE INDEX returns_to_save ON returns(id) WHERE saved = 0 AND record IS NOT NULL;
CREATE INDEX returns_to_prune ON returns(id) WHERE pruning = 1;

CREATE TABLE photos(
    id INTEGER PRIMARY KEY,
    return_row INTEGER NOT NULL REFERENCES returns(id),
    item INTEGER NOT NULL,
    image_hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,         -- of the return: the order of the queue
    state TEXT NOT NULL,
    changed_at INTEGER NOT NULL,         -- when it came into this state
    suffix TEXT,
    size INTEGER,
    sha256 BLOB,
    content_type TEXT,
    note TEXT,                           -- what is odd about it, or why it failed or is gone
    failures INTEGER NOT NULL DEFAULT 0, -- runs that failed to bring it
    not_before INTEGER NOT NULL DEFAULT 0,
    UNIQUE(return_row, item, image_hash),
    {check("photos")}
) STRICT;
CREATE INDEX photo_queue ON photos(failures, created_at DESC, id) WHERE state = 'pending';
CREATE INDEX photo_counts ON photos(state, size);

CREATE TABLE windows(
    first TEXT NOT NULL, last TEXT NOT NULL, done_at INTEGER NOT NULL,
    PRIMARY KEY(first, last),
    {check("windows")}
) STRICT, WITHOUT ROWID;

CREATE TABLE runs(
    id INTEGER PRIMARY KEY,
    command TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    exit_code INTEGER,
    summary TEXT,                        -- JSON: the counts, and the error if there was one
    {check("runs")}
) STRICT;

CREATE TABLE requests(                   -- sent in the last period: what is left of the quota after a restart
    id INTEGER PRIMARY KEY,
    method TEXT NOT NULL,
    photo INTEGER,
    sent REAL, boot TEXT NOT NULL, sent_uptime REAL NOT NULL,
    answered REAL, answered_uptime REAL, -- sent, answered: at the latest, by the server's clock; NULL: not known
    {check("requests")}
) STRICT;
"""

#: How many photos are in which state, and their bytes: to count a million takes a tenth of a second.
TALLIES = f"""
CREATE TABLE tallies(
    state TEXT PRIMARY KEY, photos INTEGER NOT NULL, size INTEGER NOT NULL,
    {check("tallies")}
) STRICT, WITHOUT ROWID;
INSERT INTO tallies VALUES {", ".join(f"('{state}', 0, 0)" for state in (*STATES, ALL))};

CREATE TRIGGER photo_added AFTER INSERT ON photos BEGIN
    UPDATE tallies SET photos = photos + 1, size = size + coalesce(new.size, 0) WHERE state IN (new.state, '{ALL}');
END;
CREATE TRIGGER photo_changed AFTER UPDATE OF state, size ON photos BEGIN
    UPDATE tallies SET photos = photos - 1, size = size - coalesce(old.size, 0) WHERE state IN (old.state, '{ALL}');
    UPDATE tallies SET photos = photos + 1, size = size + coalesce(new.size, 0) WHERE state IN (new.state, '{ALL}');
END;
CREATE TRIGGER photo_removed AFTER DELETE ON photos BEGIN
    UPDATE tallies SET photos = photos - 1, size = size - coalesce(old.size, 0) WHERE state IN (old.state, '{ALL}');
END;
"""


class Connection(sqlite3.Connection):
    """A connection that remembers which row `rules.sound` refused: SQLite keeps no text of such an error."""

    refused = ""

    def refuse(self, table: str, key: object) -> NoReturn:
        self.refused = f"row {key!r} of {table} breaks the rules of the table"
        raise ValueError(self.refused)


def open_catalog(
    path: Path,
    campaign: int,
    *,
    read_only: bool = False,
    may_be_new: bool = True,
    busy_seconds: float = BUSY_SECONDS,
) -> Connection:
    """A connection to the catalogue of that store, made if it is not there.

    `may_be_new`: whether a catalogue that is missing or empty may be begun; not where there are photos already.
    Raises CatalogUnusable where it is locked for long, damaged, cut off, lost, another store's, or made by another
    version, and ArchiveUnwritable where the disk is at fault.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise CatalogUnusable(
            f"SQLite {sqlite3.sqlite_version} of this Python is too old: the catalogue needs 3.37 or newer.",
            "Use a Python with a newer SQLite: that of Debian 12 or Ubuntu 22.04, or a later one.",
        )
    with disk_errors(path):
        if not is_there(path):
            if read_only or not may_be_new:
                raise _lost(path, may_be_new)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        elif not read_only and path.stat().st_mode & 0o077:
            path.chmod(0o600)  # before SQLite gives the same rights to the files beside it
        try:
            connection = _connect(path, read_only, busy_seconds)
            try:
                try:
                    _prepare(connection, path, campaign, read_only, may_be_new)
                except sqlite3.Error as error:
                    raise unusable(path, error, connection) from error
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise unusable(path, error) from error
    return connection


def _connect(path: Path, read_only: bool, busy_seconds: float) -> Connection:
    connection = sqlite3.connect(
        readable_uri(path) if read_only else f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )
    connection.row_factory = sqlite3.Row
    connection.create_function("damaged", 2, connection.refuse)
    return connection


def _prepare(connection: Connection, path: Path, campaign: int, read_only: bool, may_be_new: bool) -> None:
    if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        if read_only or not may_be_new:
            raise _lost(path, may_be_new)
        _set_up(connection)
        _create(connection, campaign)
        return
    _require_format(connection, path)
    _require_all_pages(connection, path)
    if problem := problem_at_once(connection, _expected()):
        raise damaged(path, problem)
    _require_owner(connection, path, campaign)
    if not read_only:
        _set_up(connection)


def _set_up(connection: Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _require_format(connection: Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application == _BEFORE_THE_FIRST_RELEASE:
        raise CatalogDamaged(f"{path}: was made by a version before the first release, which is not read.", _REPLACE)
    if application != APPLICATION_ID:
        raise CatalogDamaged(f"{path}: is an SQLite file, but no catalogue of market-photos.", _REPLACE)
    if version == VERSION:
        return
    if version > VERSION and _expected() - parts_of(connection):
        raise CatalogUnusable(
            f"{path}: was made by a newer version of market-photos (format {version}, this one knows {VERSION}).",
            "Update market-photos on this machine.",
        )
    raise damaged(path, f"it says that its format is {version}, but it is {VERSION}")


@cache
def _expected() -> frozenset[Part]:
    """Return the parts of a catalogue of this format."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA + TALLIES)
        return parts_of(connection)


def owner_of(path: Path) -> str:
    """Return the store that a catalogue names as its own; an empty string where it cannot be told."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return str(connection.execute("SELECT value FROM meta WHERE key = 'campaign'").fetchone()[0])
    except (sqlite3.Error, TypeError):
        return ""


def _require_owner(connection: Connection, path: Path, campaign: int) -> None:
    row = connection.execute("SELECT value FROM meta WHERE key = 'campaign'").fetchone()
    owner = row["value"] if row else "no store"
    if owner != str(campaign):
        raise CatalogDamaged(
            f"{path}: belongs to store {owner}, not to {campaign}.",
            "A store's folder is named by its number: if this one is a copy, or was renamed, move it back or out of "
            f"the archive. If the photos beside it are those of {campaign}, run `market-photos rebuild --campaign "
            f"{campaign}`: nothing is downloaded again.",
        )


def _lost(path: Path, may_be_new: bool) -> CatalogUnusable:
    if may_be_new:
        return CatalogUnusable(f"{path}: there is no catalogue yet.", "`market-photos sync` makes one.")
    return CatalogDamaged(
        f"{path}: is missing or empty, but there are photos beside it.",
        "Put it back from a backup, or run `market-photos rebuild`: it makes a new catalogue from the photos on "
        "disk, and nothing is downloaded again.",
    )


def _create(connection: Connection, campaign: int) -> None:
    marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
    owner = f"INSERT INTO meta VALUES ('campaign', '{campaign:d}');"
    connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {TALLIES} {owner} {marks} COMMIT;")


def _require_all_pages(connection: Connection, path: Path) -> None:
    """A file that was cut off is noticed here, not at the first query that meets the hole."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    size = connection.execute("PRAGMA page_size").fetchone()[0]
    wal = path.with_name(path.name + "-wal")
    if path.stat().st_size < pages * size and not (wal.exists() and wal.stat().st_size):
        raise CatalogDamaged(f"{path}: is cut off: {path.stat().st_size} bytes of {pages * size}.", _REPLACE)


_REPLACE = (
    "Run `market-photos rebuild`: it puts the file aside and makes a new catalogue from the photos on disk, and "
    "nothing is downloaded again. Or put the catalogue back from a backup."
)


#: SQLite's words where the disk is at fault, not the catalogue.
_DISK_TROUBLE = ("disk is full", "disk I/O error", "readonly", "unable to open")


def unusable(path: Path, error: sqlite3.Error, connection: sqlite3.Connection | None = None) -> MarketPhotosError:
    """The error in words, with the next step: CatalogUnusable, or ArchiveUnwritable where the disk is at fault.

    `connection`: the one that met it; it may know which row is at fault.
    """
    text = str(error)
    refused = connection.refused if isinstance(connection, Connection) else ""
    if refused or text.startswith("Could not decode"):
        return damaged(path, refused or text)
    if "locked" in text or "busy" in text:
        return CatalogUnusable(
            f"{path}: another program keeps the catalogue locked.",
            "Close the program that has it open (a database browser, a backup), then run the same command again.",
        )
    if any(sign in text for sign in _DISK_TROUBLE):
        return ArchiveUnwritable(
            f"{path}: {text}.", "Make room, or mend the volume or its permissions; the same command then goes on."
        )
    return damaged(path, text)


def record_of(path: Path, packed: bytes) -> dict[str, Any]:
    """The API's record from the catalogue at `path`. Raises CatalogDamaged."""
    try:
        return unpack(packed)
    except ValueError as error:
        raise damaged(path, f"the record of a return is damaged: {error}") from error


def damaged(path: Path, problem: str) -> CatalogDamaged:
    return CatalogDamaged(f"{path}: the catalogue cannot be used: {problem}.", _REPLACE)
