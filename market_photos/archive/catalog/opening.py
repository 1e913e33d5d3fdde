"""Open a store's catalogue, or create it, and refuse one that cannot be trusted."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from market_photos.archive import tree
from market_photos.archive.catalog.errors import REPLACE, Connection, damaged, unusable
from market_photos.archive.catalog.schema import APPLICATION_ID, VERSION, create, expected_parts
from market_photos.archive.catalog.soundness import parts_of, problem_at_once
from market_photos.archive.read_only_media import readable_uri
from market_photos.archive.volume import disk_errors, is_there
from market_photos.errors import CatalogDamaged, CatalogUnusable

#: STRICT tables need it.
OLDEST_SQLITE = (3, 37, 0)
#: How long to wait for a catalogue that another program has locked, seconds.
BUSY_SECONDS = 30


def open_catalog(
    path: Path,
    campaign: int,
    *,
    read_only: bool = False,
    may_be_new: bool = True,
    busy_seconds: float = BUSY_SECONDS,
) -> Connection:
    """Return a connection to the store's catalogue, and create the file if it is missing or empty.

    It is not created with `read_only`, nor without `may_be_new`, which says that there are no photos yet. Raises
    CatalogUnusable if it stays locked, is damaged, cut off, lost, another store's, or of another version, and
    ArchiveUnwritable if the disk is at fault.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise CatalogUnusable(
            f"SQLite {sqlite3.sqlite_version} of this Python is too old: the catalogue needs 3.37 or newer.",
            "Use a Python with a newer SQLite: that of Debian 12 or Ubuntu 22.04, or a later one.",
        )
    connection = None
    with disk_errors(path):
        _prepare_file(path, read_only, may_be_new)
        try:
            connection = _connect(path, read_only, busy_seconds)
            _prepare(connection, path, campaign, read_only, may_be_new)
        except BaseException as error:
            if connection:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise unusable(path, error, connection) from error
            raise
    return connection


def _prepare_file(path: Path, read_only: bool, may_be_new: bool) -> None:
    if not is_there(path):
        if read_only or not may_be_new:
            raise _lost(path, may_be_new)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    elif not read_only and path.stat().st_mode & 0o077:
        path.chmod(0o600)  # before SQLite gives the same mode to the files beside it


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
    is_empty = not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if is_empty and (read_only or not may_be_new):
        raise _lost(path, may_be_new)
    if not is_empty:
        _require_sound(connection, path, campaign)
    if not read_only:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    if is_empty:
        create(connection, campaign)


def _require_sound(connection: Connection, path: Path, campaign: int) -> None:
    _require_format(connection, path)
    _require_all_pages(connection, path)
    if problem := problem_at_once(connection, expected_parts()):
        raise damaged(path, problem)
    row = connection.execute("SELECT value FROM meta WHERE key = 'campaign'").fetchone()
    owner = row["value"] if row else "no store"
    if owner != str(campaign):
        raise CatalogDamaged(
            f"{path}: belongs to store {owner}, not to {campaign}.",
            "A store's folder is named by its number: if this one is a copy, or was renamed, move it back or out of "
            f"the archive. If the photos beside it are those of {campaign}, run `market-photos rebuild --campaign "
            f"{campaign}`: nothing is downloaded again.",
        )


def _require_format(connection: Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise CatalogDamaged(f"{path}: is an SQLite file, but no catalogue of market-photos.", REPLACE)
    if version > VERSION and expected_parts() - parts_of(connection):
        raise CatalogUnusable(
            f"{path}: was made by a newer version of market-photos (format {version}, this one knows {VERSION}).",
            "Update market-photos on this machine.",
        )
    if version != VERSION:
        raise damaged(path, f"it says that its format is {version}, but it is {VERSION}")


def _require_all_pages(connection: Connection, path: Path) -> None:
    """Detect a file that was cut off now, not at the first query that needs a missing page."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    page_size = connection.execute("PRAGMA page_size").fetchone()[0]
    wal, size = path.with_name(path.name + "-wal"), path.stat().st_size
    if size < pages * page_size and not (wal.exists() and wal.stat().st_size):
        raise CatalogDamaged(f"{path}: is cut off: {size} bytes of {pages * page_size}.", REPLACE)


def has_photos(photos: Path) -> bool:
    """Return whether a month's folder holds anything. Raises ArchiveUnwritable."""
    with disk_errors(photos):
        return any(is_folder and tree.folders(photos / month) for month, is_folder in tree.folders(photos))


def _lost(path: Path, may_be_new: bool) -> CatalogUnusable:
    if may_be_new:
        return CatalogUnusable(f"{path}: there is no catalogue yet.", "`market-photos sync` makes one.")
    return CatalogDamaged(
        f"{path}: is missing or empty, but there are photos beside it.",
        "Put it back from a backup, or run `market-photos rebuild`: it makes a new catalogue from the photos on "
        "disk, and nothing is downloaded again.",
    )


def owner_of(path: Path) -> str:
    """Return the id of the store that a catalogue belongs to; empty if it cannot be read."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return str(connection.execute("SELECT value FROM meta WHERE key = 'campaign'").fetchone()[0])
    except (sqlite3.Error, TypeError):
        return ""
