"""One consistent look at a store's catalogue, row by row, beside a run that goes on writing.

Whatever is read through a snapshot is the state of one instant: its rows come from a single read transaction. It
takes no more memory for a million photos than for a thousand.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from market_photos.archive import layout
from market_photos.archive.catalog.rules import sound
from market_photos.archive.catalog.schema import open_catalog, record_of, unusable
from market_photos.archive.photo_file import is_there
from market_photos.errors import CatalogUnusable
from market_photos.model import PhotoKey

ARCHIVED = "archived"


class KnownPhoto(NamedTuple):
    """What the catalogue knows of a photo."""

    key: PhotoKey
    state: str
    changed_at: int
    """When it came into this state, seconds since 1970."""
    path: str
    """Relative to the archive, with `/`; empty where there is no file."""
    size: int | None
    sha256: bytes | None
    content_type: str
    note: str


class KnownReturn(NamedTuple):
    campaign: int
    order: int
    id: int
    created_at: int
    """Seconds since 1970; 0 where nobody knows."""
    record: dict[str, Any]
    """The API's record; empty where it is no longer kept."""
    photos: list[KnownPhoto]
    """In the order of the record."""


class Snapshot:
    """Made by `snapshot`. Its methods block and raise CatalogUnusable or ArchiveUnwritable."""

    def __init__(self, path: Path, campaign: int, connection: sqlite3.Connection) -> None:
        self._path = path
        self._campaign = campaign
        self._connection = connection
        self._rows("BEGIN").close()
        self.name: str = next((row[0] for row in self._rows("SELECT value FROM meta WHERE key = 'name'")), "")

    def with_photos(self, since: int, until: int) -> Iterator[KnownReturn]:
        """Returns that have photos, newest first, created from `since` on and before `until` (seconds since 1970)."""
        yield from self._read(
            "SELECT id, order_id, return_id, month, created_at FROM returns r "
            "WHERE created_at >= ? AND created_at < ? AND EXISTS "
            f"(SELECT 1 FROM photos WHERE return_row = r.id) AND {sound('returns', 'r')} "
            "ORDER BY created_at DESC, id",
            (since, until),
        )

    def named(self, order: int | None, returns: Sequence[int]) -> Iterator[KnownReturn]:
        """The returns of an order, or those with these numbers, or both; newest first, photos or not."""
        wanted = ["order_id = ?"] * (order is not None)
        wanted += [f"return_id IN ({', '.join('?' * len(returns))})"] * bool(returns)
        values = (*([order] if order is not None else []), *returns)
        yield from self._read(
            "SELECT id, order_id, return_id, month, created_at FROM returns r WHERE id IN "
            # the inner query is answered by an index alone
            f"(SELECT id FROM returns WHERE {' AND '.join(wanted)}) AND {sound('returns', 'r')} "
            "ORDER BY created_at DESC, id",
            values,
        )

    def _read(self, query: str, values: Sequence[object]) -> Iterator[KnownReturn]:
        for row, order, return_id, month, created_at in self._rows(query, values):
            packed = next(self._rows("SELECT record FROM returns WHERE id = ?", (row,)))[0]
            photos = self._photos(row, month, order, return_id)
            record = record_of(self._path, packed) if packed else {}
            yield KnownReturn(self._campaign, order, return_id, created_at, record, photos)

    def _photos(self, row: int, month: str, order: int, return_id: int) -> list[KnownPhoto]:
        query = (
            "SELECT item, image_hash, state, changed_at, suffix, size, sha256, content_type, note FROM photos p "
            f"WHERE return_row = ? AND {sound('photos', 'p')} ORDER BY id"
        )
        folder = f"{self._campaign}/{layout.return_folder(month, order, return_id).as_posix()}"
        return [
            _photo(PhotoKey(self._campaign, order, return_id, found["item"], found["image_hash"]), folder, found)
            for found in self._rows(query, (row,))
        ]

    def _rows(self, query: str, values: Sequence[object] = ()) -> "_Rows":
        try:
            cursor = self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise unusable(self._path, error, self._connection) from error
        return _Rows(self._path, cursor)


def _photo(key: PhotoKey, folder: str, found: sqlite3.Row) -> KnownPhoto:
    has_file = found["state"] == ARCHIVED
    return KnownPhoto(
        key=key,
        state=found["state"],
        changed_at=found["changed_at"],
        # as layout.photo_path, but text: a million rows are twice as quick
        path=f"{folder}/{layout.photo_stem(key)}{found['suffix'] or ''}" if has_file else "",
        size=found["size"],
        sha256=found["sha256"],
        content_type=found["content_type"] or "",
        note=found["note"] or "",
    )


class _Rows:
    """A cursor whose errors are ours."""

    def __init__(self, path: Path, cursor: sqlite3.Cursor) -> None:
        self._path = path
        self._cursor = cursor

    def __iter__(self) -> "_Rows":
        return self

    def __next__(self) -> sqlite3.Row:
        try:
            row: sqlite3.Row | None = self._cursor.fetchone()
        except sqlite3.Error as error:
            raise unusable(self._path, error, self._cursor.connection) from error
        if row is None:
            raise StopIteration
        return row

    def close(self) -> None:
        self._cursor.close()


@contextmanager
def snapshot(archive: Path, campaign: int) -> Iterator[Snapshot]:
    """The store's catalogue as it is now. Raises CatalogUnusable."""
    path = layout.store_folder(archive, campaign) / layout.CATALOG_NAME
    if not is_there(path):
        raise CatalogUnusable(
            f"{path}: there is no catalogue of store {campaign}.",
            "Check --campaign and directory in [archive]. Where the photos are there and only the catalogue is lost: "
            "put it back from a backup, or run `market-photos rebuild`.",
        )
    with closing(open_catalog(path, campaign, read_only=True)) as connection:
        yield Snapshot(path, campaign, connection)
