"""Find returns in the indexes, and read them from the catalogues. Everything here blocks.

Connections are closed after each query, so a catalogue may be replaced, and no run has to wait.
A store that cannot be read is reported in `troubles`; the others are shown.
"""

import errno
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from market_photos.archive import layout
from market_photos.archive.catalog.reader import KnownPhoto, KnownReturn, open_reader
from market_photos.archive.files import Opened
from market_photos.archive.place import Archive
from market_photos.archive.stores import known_stores
from market_photos.browse import index
from market_photos.browse.query import TAGS, Place, Query, Tag, key, unkey
from market_photos.errors import MarketPhotosError, UsageError

#: Seconds for a search in one store: twelve words of one letter take 0.2 s with 60 000 returns, 4 s with a million.
SEARCH_SECONDS = 10
#: SQLite instructions between two checks of that time; an instruction of a full-text search may take long.
CLOCK_CHECK_INTERVAL = 100
#: Errors where there is no such file, or a link or another thing stands in its place.
ABSENT = {0, errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


T = TypeVar("T")


class Position(NamedTuple):
    """Where a return stands in the results of a query."""

    number: int
    """From 1."""
    total: int
    newer: KnownReturn | None
    older: KnownReturn | None
    page_after: Place | None
    """The last return of the page before its own."""


class ResultPage(NamedTuple):
    """A page of search results, and the counts of all of them."""

    returns: list[KnownReturn]
    after: Place | None
    """The last return of this page if there is another page."""
    total: int
    before: int
    """Results on the pages before this one."""
    stores: Counter[int]
    """Results by store, whichever store is chosen."""
    values: dict[str, Counter[str]]
    """By filter, the number of results for each value that may be chosen instead of the present one."""
    troubles: dict[int, str]
    """Why stores could not be read, by store."""


class Stores:
    """The stores of an archive."""

    def __init__(self, source: Archive, views: Path | None = None) -> None:
        """Use `views` as the folder for indexes and previews, which are otherwise beside the catalogues."""
        self.source = source
        self.archive = source.catalogs
        self._views = views

    def campaigns(self) -> list[int]:
        """Return the stores of the archive. Raises ArchiveUnwritable where it cannot be read."""
        return known_stores(self.archive)

    def folder(self, campaign: int) -> Path:
        """Return the folder of a store in the archive."""
        return layout.store_folder(self.archive, campaign)

    def open(self, photo: KnownPhoto) -> Opened | None:
        """Open the file of a photo; return None where there is none. Raises OSError, ArchiveUnwritable."""
        if not photo.path:
            return None
        try:
            return self.source.open(photo.key.campaign, photo.path)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise

    def address(self, photo: KnownPhoto) -> str:
        """Return where the file of a photo is, for people."""
        return f"{self.source.name}/{photo.key.campaign}/{photo.path}"

    def views(self, campaign: int) -> Path:
        """Return the folder for the index and the previews of a store."""
        if self._views is None:
            return self.folder(campaign)
        folder = layout.store_folder(self._views, campaign)
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def page(self, query: Query, limit: int) -> ResultPage:
        """Return a page of at most `limit` matching returns of all stores, newest first."""
        troubles: dict[int, str] = {}
        stores: Counter[int] = Counter()
        values = {name: Counter[str]() for name in TAGS}
        places: list[Place] = []
        left = 0
        for campaign in self.campaigns():
            with collect_troubles(troubles, campaign), self.index(campaign) as connection:
                if connection is None:
                    continue
                counts = index.count(connection, campaign, query.at())
                stores[campaign] = _accepted(query, counts)
                if query.store in (None, campaign):
                    _add_values(values, query, counts)
                    left += _accepted(query, index.count(connection, campaign, query) if query.after else counts)
                    places += index.find(connection, campaign, query, limit + 1)
        places.sort(key=lambda place: place.order)
        shown = self._read(places[:limit], troubles)
        total = stores[query.store] if query.store is not None else stores.total()
        return ResultPage(
            returns=[shown[place] for place in places[:limit] if place in shown],
            after=places[limit - 1] if len(places) > limit else None,
            total=total,
            before=total - left,
            stores=stores,
            values=values,
            troubles=troubles,
        )

    def newer_page(self, query: Query, first: Place, limit: int) -> Query:
        """Return the query of the page before the one that begins with the return at `first`."""
        newer = self._places(query, limit + 1, newer_than=first)
        return query.at(newer[limit] if len(newer) > limit else None)

    def position(self, query: Query, return_: KnownReturn, page: int) -> Position:
        """Return where a return stands in the results, which are shown in pages of so many."""
        place = place_of(return_)
        total, left = (self._count(query.at(after)) for after in (None, place))
        number = max(1, total - left)
        on_page = (number - 1) % page
        newer = self._places(query, max(1, on_page + 1), newer_than=place)
        older = self._places(query.at(place), 1)
        beside = self._read(newer[:1] + older, {})
        return Position(
            number=number,
            total=total,
            newer=next((beside.get(found) for found in newer[:1]), None),
            older=next((beside.get(found) for found in older), None),
            page_after=newer[on_page] if len(newer) > on_page else None,
        )

    def _places(self, query: Query, limit: int, newer_than: Place | None = None) -> list[Place]:
        """Return places in the results: from the beginning of the page on, or the nearest newer ones first."""
        wanted = query if newer_than is None else query.at()
        found = self._ask(query, lambda index_, campaign: index.find(index_, campaign, wanted, limit, newer_than))
        places = [place for of_store in found for place in of_store]
        places.sort(key=lambda place: place.order, reverse=newer_than is not None)
        return places[:limit]

    def _count(self, query: Query) -> int:
        return sum(self._ask(query, lambda index_, campaign: _accepted(query, index.count(index_, campaign, query))))

    def _ask(self, query: Query, ask: Callable[[sqlite3.Connection, int], T]) -> list[T]:
        """Return the answers of the stores that the query searches. A store that cannot be read is left out."""
        answers = []
        for campaign in self.campaigns():
            if query.store in (None, campaign):
                with collect_troubles({}, campaign), self.index(campaign) as connection:
                    if connection is not None:
                        answers.append(ask(connection, campaign))
        return answers

    def _read(self, places: list[Place], troubles: dict[int, str]) -> dict[Place, KnownReturn]:
        shown: dict[Place, KnownReturn] = {}
        for campaign in {place.campaign for place in places}:
            of_store = {place.row: place for place in places if place.campaign == campaign}
            with collect_troubles(troubles, campaign), open_reader(self.archive, campaign) as reader:
                shown |= {of_store[return_.row]: return_.without_damage() for return_ in reader.at(of_store)}
        return shown

    def find_return(self, campaign: int, order: int, return_id: int) -> KnownReturn | None:
        """Return one return, or None. Raises MarketPhotosError where the catalogue is unusable."""
        if max(campaign, order, return_id) > layout.MAX_ID or campaign not in self.campaigns():
            return None
        with open_reader(self.archive, campaign) as reader:
            found = reader.find(order, return_id)
        return found.without_damage() if found else None

    def names(self) -> dict[int, str]:
        """Return the names of the stores, empty where unknown."""
        names = dict.fromkeys(self.campaigns(), "")
        for campaign in names:
            with collect_troubles({}, campaign), open_reader(self.archive, campaign) as reader:
                names[campaign] = reader.name
        return names

    @contextmanager
    def index(self, campaign: int) -> Iterator[sqlite3.Connection | None]:
        """Open an index for one search; yield None if it does not exist yet.

        All queries of the search see the same state, even while the index is updated.
        Raises UsageError where the search takes longer than `SEARCH_SECONDS`.
        """
        path = self.views(campaign) / index.INDEX_NAME
        if not path.exists():
            yield None
            return
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=index.BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            is_made = connection.execute("PRAGMA user_version").fetchone()[0] == index.VERSION
            deadline = time.monotonic() + SEARCH_SECONDS
            connection.set_progress_handler(lambda: time.monotonic() > deadline, CLOCK_CHECK_INTERVAL)
            try:
                yield connection if is_made else None
            except sqlite3.OperationalError as error:
                if time.monotonic() > deadline:
                    raise UsageError(
                        f"The search took longer than {SEARCH_SECONDS} s.", "Use fewer or longer words, or dates."
                    ) from error
                raise


def place_of(return_: KnownReturn) -> Place:
    """Return the place of a return in the results."""
    created_at, row = unkey(key(return_.created_at, return_.row))
    return Place(created_at, return_.campaign, row)


def _accepted(query: Query, counts: list[tuple[set[Tag], int]]) -> int:
    return sum(n for tags, n in counts if query.accepts(tags))


def _add_values(values: dict[str, Counter[str]], query: Query, counts: list[tuple[set[Tag], int]]) -> None:
    """Count, for each filter, the results of each of its values with the other filters as they are."""
    for name, kind in TAGS.items():
        for tags, n in counts:
            if query.accepts(tags, without=name):
                values[name].update({value: n for tag, value in tags if tag == kind})


@contextmanager
def collect_troubles(troubles: dict[int, str], campaign: int) -> Iterator[None]:
    """Suppress an error of the block, and record it as the store's trouble."""
    try:
        yield
    except MarketPhotosError as error:
        troubles[campaign] = f"{error.message} {error.hint}"
    except sqlite3.Error as error:
        troubles[campaign] = f"{index.INDEX_NAME}: {error}"
