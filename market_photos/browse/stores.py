"""Read returns and photos from the catalogues, found and sorted by the indexes. Everything here blocks.

A connection is opened for one query and closed again: a catalogue may be replaced meanwhile, and no run has to wait.
A store that cannot be read is reported in `troubles`; the others are shown.
"""

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from market_photos.archive import layout
from market_photos.archive.catalog.catalog import known_stores
from market_photos.archive.catalog.rules import sound
from market_photos.archive.catalog.schema import open_catalog, unusable
from market_photos.archive.photo_file import is_there
from market_photos.browse import index
from market_photos.browse.indexer import record_of
from market_photos.browse.query import Place, Query, unkey
from market_photos.errors import MarketPhotosError, UsageError
from market_photos.model import PhotoKey
from market_photos.record import ReturnRecord, read_record

#: For one search in one store: twelve words of one letter take 0.2 s of 60 000 returns, so 4 s of a million.
SEARCH_SECONDS = 10
#: Instructions of SQLite between two looks at the clock; full-text search does much in each.
LOOK_EVERY = 100
_MONTH = re.compile(r"\d{4}-\d{2}|undated", re.ASCII)
_SUFFIX = re.compile(r"\.[a-z0-9]{1,12}", re.ASCII)
_MAX_ID = 2**63 - 1


class Photo(NamedTuple):
    key: PhotoKey
    month: str
    state: str
    changed_at: int
    suffix: str
    size: int | None
    sha256: str
    content_type: str
    note: str
    failures: int
    not_before: int

    @property
    def stem(self) -> str:
        """The name of the photo among those of its return."""
        return layout.photo_stem(self.key)

    @property
    def path(self) -> Path | None:
        """The path relative to the store's folder; None if there is no file."""
        if self.state != "archived" or not _MONTH.fullmatch(self.month) or not _SUFFIX.fullmatch(self.suffix):
            return None
        return layout.photo_path(self.month, self.key, self.suffix)

    def address(self, what: str) -> str:
        return f"/{what}/{self.key.campaign}/{self.key.order}/{self.key.return_id}/{self.stem}"


@dataclass(frozen=True)
class ShownReturn:
    campaign: int
    store: str
    row: int
    order: int
    return_id: int
    created_at: int
    held: bool
    raw: Any
    """The API's record as it came."""
    record: ReturnRecord
    photos: list[Photo] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"/return/{self.campaign}/{self.order}/{self.return_id}"

    @property
    def place(self) -> Place:
        return Place(self.created_at, self.campaign, self.row)


class Page(NamedTuple):
    returns: list[ShownReturn]
    after: Place | None
    """The last return of this page if there is another page."""
    troubles: dict[int, str]
    """Why stores could not be read, by store."""


class Stores:
    """The stores of an archive."""

    def __init__(self, archive: Path, views: Path | None = None) -> None:
        """`views`: the folder for indexes and previews; without it they are kept beside the catalogues."""
        self.archive = archive
        self._views = views

    def campaigns(self) -> list[int]:
        """Return those that have a catalogue. Raises ArchiveUnwritable where the archive may not be read."""
        return [one for one in known_stores(self.archive) if is_there(self.folder(one) / layout.CATALOG_NAME)]

    def folder(self, campaign: int) -> Path:
        return layout.store_folder(self.archive, campaign)

    def views(self, campaign: int) -> Path:
        """Return the folder for the index and the previews of a store."""
        if self._views is None:
            return self.folder(campaign)
        folder = layout.store_folder(self._views, campaign)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def page(self, query: Query, limit: int) -> Page:
        """Return a page of at most `limit` matching returns of all stores, newest first."""
        found: list[Place] = []
        troubles: dict[int, str] = {}
        for campaign in self.campaigns():
            if query.store in (None, campaign):
                with collect_troubles(troubles, campaign):
                    found += self._find(query, campaign, limit + 1)
        found.sort(key=lambda place: (place.created_at, -place.campaign, place.row), reverse=True)
        places = found[:limit]
        shown = self._read(places, troubles)
        after = places[-1] if len(found) > limit else None
        return Page([shown[place] for place in places if place in shown], after, troubles)

    def _find(self, query: Query, campaign: int, limit: int) -> list[Place]:
        with self.index(campaign) as connection:
            if connection is None:
                return []
            places = [unkey(key) for key in index.find(connection, query, campaign, limit)]
        return [Place(created, campaign, row) for created, row in places]

    def _read(self, places: list[Place], troubles: dict[int, str]) -> dict[Place, ShownReturn]:
        shown: dict[Place, ShownReturn] = {}
        for campaign in {place.campaign for place in places}:
            of_store = {place.row: place for place in places if place.campaign == campaign}
            with collect_troubles(troubles, campaign), self.catalog(campaign) as catalog:
                rows = json.dumps(list(of_store))
                found = _returns(catalog, campaign, "r.id IN (SELECT value FROM json_each(?))", rows)
                shown |= {of_store[one.row]: one for one in found}
        return shown

    def find_return(self, campaign: int, order: int, return_id: int) -> ShownReturn | None:
        """Return one return, or None. Raises MarketPhotosError where the catalogue is unusable."""
        if max(campaign, order, return_id) > _MAX_ID or campaign not in self.campaigns():
            return None
        with self.catalog(campaign) as catalog:
            found = _returns(catalog, campaign, "r.return_id = ? AND r.order_id = ?", return_id, order)
        return next(iter(found), None)

    def values(self, kind: str, campaign: int | None) -> dict[str, int]:
        """Return the values of a filter with their numbers of returns, the most frequent first."""
        found: dict[str, int] = {}
        for one in self.campaigns() if campaign is None else [campaign]:
            with collect_troubles({}, one), self.index(one) as connection:
                for value, n in index.values(connection, kind).items() if connection else ():
                    found[value] = found.get(value, 0) + n
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))

    def names(self) -> dict[int, str]:
        """Return the names of the stores, empty where unknown."""
        found = {}
        for campaign in self.campaigns():
            found[campaign] = ""
            with collect_troubles({}, campaign), self.catalog(campaign) as catalog:
                found[campaign] = _name(catalog)
        return found

    @contextmanager
    def catalog(self, campaign: int) -> Iterator[sqlite3.Connection]:
        """Open a catalogue. Raises MarketPhotosError where it cannot be read."""
        path = self.folder(campaign) / layout.CATALOG_NAME
        with closing(open_catalog(path, campaign, read_only=True)) as connection:
            try:
                yield connection
            except sqlite3.Error as error:
                raise unusable(path, error, connection) from error

    @contextmanager
    def index(self, campaign: int) -> Iterator[sqlite3.Connection | None]:
        """Open an index for one search; yield None if it does not exist yet.

        Raises UsageError where the search takes longer than `SEARCH_SECONDS`.
        """
        path = self.views(campaign) / index.INDEX_NAME
        if not path.exists():
            yield None
            return
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=index.BUSY_SECONDS, isolation_level=None)) as connection:
            is_made = connection.execute("PRAGMA user_version").fetchone()[0] == index.VERSION
            deadline = time.monotonic() + SEARCH_SECONDS
            connection.set_progress_handler(lambda: time.monotonic() > deadline, LOOK_EVERY)
            try:
                yield connection if is_made else None
            except sqlite3.OperationalError as error:
                if time.monotonic() > deadline:
                    raise UsageError(
                        f"The search took longer than {SEARCH_SECONDS} s.", "Use fewer or longer words, or dates."
                    ) from error
                raise


@contextmanager
def collect_troubles(troubles: dict[int, str], campaign: int) -> Iterator[None]:
    """Record an error of the block as the store's trouble, and suppress it."""
    try:
        yield
    except MarketPhotosError as error:
        troubles[campaign] = f"{error.message} {error.hint}"
    except sqlite3.Error as error:
        troubles[campaign] = f"{index.INDEX_NAME}: {error}"


def _name(catalog: sqlite3.Connection) -> str:
    row = catalog.execute("SELECT value FROM meta WHERE key = 'name'").fetchone()
    return row["value"] if row else ""


def _returns(catalog: sqlite3.Connection, campaign: int, where: str, *values: object) -> list[ShownReturn]:
    columns = "r.id, r.order_id, r.return_id, r.created_at, r.month, r.held_at, r.record"
    statement = f"SELECT {columns} FROM returns r WHERE {where} AND {sound('returns', 'r')}"
    rows = catalog.execute(statement, values).fetchall()
    photos = _photos(catalog, campaign, rows)
    name = _name(catalog)
    return [_shown(row, campaign, name, photos.get(row["id"], [])) for row in rows]


def _shown(row: sqlite3.Row, campaign: int, name: str, photos: list[Photo]) -> ShownReturn:
    raw = record_of(row["record"])
    return ShownReturn(
        campaign=campaign,
        store=name,
        row=row["id"],
        order=row["order_id"],
        return_id=row["return_id"],
        created_at=row["created_at"],
        held=row["held_at"] is not None,
        raw=raw,
        record=read_record(raw),
        photos=photos,
    )


def _photos(catalog: sqlite3.Connection, campaign: int, returns: list[sqlite3.Row]) -> dict[int, list[Photo]]:
    by_row = {row["id"]: row for row in returns}
    statement = (
        "SELECT * FROM photos p WHERE return_row IN (SELECT value FROM json_each(?)) "
        f"AND {sound('photos', 'p')} ORDER BY id"
    )
    found: dict[int, list[Photo]] = {}
    for row in catalog.execute(statement, (json.dumps(list(by_row)),)):
        found.setdefault(row["return_row"], []).append(_photo(row, by_row[row["return_row"]], campaign))
    return found


def _photo(row: sqlite3.Row, of: sqlite3.Row, campaign: int) -> Photo:
    return Photo(
        key=PhotoKey(campaign, of["order_id"], of["return_id"], row["item"], row["image_hash"]),
        month=of["month"],
        state=row["state"],
        changed_at=row["changed_at"],
        suffix=row["suffix"] or "",
        size=row["size"],
        sha256=row["sha256"].hex() if row["sha256"] else "",
        content_type=row["content_type"] or "",
        note=row["note"] or "",
        failures=row["failures"],
        not_before=row["not_before"],
    )
