"""A store's catalogue: its tables on one connection."""

from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from market_photos.archive import layout, tree, volume
from market_photos.archive.catalog.connection import Database
from market_photos.archive.catalog.mending import Mending
from market_photos.archive.catalog.opening import BUSY_SECONDS
from market_photos.archive.catalog.photos import Archived, Claim, Photos, Turn
from market_photos.archive.catalog.reader import Reader
from market_photos.archive.catalog.requests import Requests, Runs
from market_photos.archive.catalog.restore import Restoring
from market_photos.archive.catalog.retention import Pruning
from market_photos.archive.catalog.returns import PackedPage, PageResult, Returns
from market_photos.archive.held_folder import HeldFolder
from market_photos.archive.layout import CATALOG_NAME, PHOTOS
from market_photos.clock import Clock, Moment
from market_photos.errors import UsageError


def known_stores(archive: Path) -> list[int]:
    """The stores that have a folder with a catalogue, or with photos whose catalogue is lost, in the archive.

    Raises ArchiveUnwritable where the archive, or such a folder, is there but may not be read.
    """
    return [store for store in numbered_folders(archive) if is_store(layout.store_folder(archive, store))]


def select_stores(archive: Path, campaigns: Collection[int]) -> list[int]:
    """Return the given stores, or all of the archive, sorted. Raises UsageError if a store or all are missing."""
    known = known_stores(archive)
    if missing := sorted(set(campaigns) - set(known)):
        stores = ", ".join(map(str, known)) or "none"
        raise UsageError(f"{archive}: there is no store {missing[0]}.", f"There are: {stores}.")
    if not known:
        raise UsageError(
            f"{archive}: there is no archive yet.",
            "Check directory in [archive], or run `market-photos sync` first.",
        )
    return sorted(set(campaigns)) or known


def numbered_folders(archive: Path) -> list[int]:
    """Return the numbers of what may be folders of stores. Raises ArchiveUnwritable."""
    numbers = (layout.parse_store_folder(name) for name in _names(archive))
    return sorted(number for number in numbers if number is not None)


def is_store(folder: Path) -> bool:
    """Whether there is a catalogue in the folder, or photos. Raises ArchiveUnwritable."""
    return not {CATALOG_NAME, PHOTOS}.isdisjoint(_names(folder))


def _names(folder: Path) -> list[str]:
    """What is in the folder; nothing where there is none, or it is a file."""
    with volume.disk_errors(folder), suppress(FileNotFoundError, NotADirectoryError):
        return [path.name for path in folder.iterdir()]  # Path.glob finds nothing in a folder that may not be read
    return []


def _has_photos(photos: Path) -> bool:
    """Return whether anything lies in a month's folder. Raises ArchiveUnwritable."""
    with volume.disk_errors(photos):
        return any(is_folder and tree.folders(photos / month) for month, is_folder in tree.folders(photos))


class Catalog:
    """Blocks; inside the event loop use `await catalog.do(catalog.photos.claim)`."""

    def __init__(
        self,
        folder: Path,
        campaign: int,
        clock: Clock,
        *,
        read_only: bool = False,
        busy_seconds: float = BUSY_SECONDS,
        name: str = CATALOG_NAME,
        ground: HeldFolder | None = None,
    ) -> None:
        """Opens `<folder>/catalog.sqlite3`, or makes it. `name`: another one, while a catalogue is rebuilt.

        `ground`: of the run that holds the store; without it a catalogue that is written to has one of its own.

        Raises CatalogUnusable where it is damaged, locked, newer, or missing beside photos: going on without it would
        download everything again. With `read_only` also where there is none yet.
        """
        path = folder / name
        has_photos = name == CATALOG_NAME and _has_photos(folder / PHOTOS)
        with ExitStack() as opened:
            if ground:
                ground.require_same()
            elif not read_only:
                ground = opened.enter_context(HeldFolder(folder))
            self._database = Database(
                path, campaign, clock, read_only=read_only, may_be_new=not has_photos, busy_seconds=busy_seconds
            )
            if ground:
                ground.keep(name)
                self._database.require_same_file = ground.require_same
            self._closing = opened.pop_all()
        self.do = self._database.do
        self.path = path
        self.campaign = campaign
        self.returns = Returns(self._database)
        self.photos = Photos(self._database)
        self.requests = Requests(self._database)
        self.runs = Runs(self._database)
        self.reader = Reader(path, campaign, self._database.connection)
        self.mending = Mending(self._database)
        self.pruning = Pruning(self._database)
        self.restoring = Restoring(self._database)

    def now(self) -> Moment:
        """Return the moment with the server's time, estimated where this process has not been told."""
        return self._database.moment()

    def check(self) -> None:
        """Reads all of it. Raises CatalogDamaged."""
        self._database.check()

    def record_page(self, page: PackedPage, listing: int, method: str) -> tuple[PageResult, int]:
        """A page is recorded, and a request put on record: the one after that which is on its way meanwhile; its id.

        In one transaction. `method`: of the request; empty where there shall be none (0). See `Returns.record_page`.
        """
        with self._database.transaction(durable=bool(method)):
            found = self.returns.record_page(page, listing)
            request = self.requests.sent(method, None) if method else 0
        return found, request

    def turn(
        self,
        claim: Claim,
        stored: Archived,
        method: str,
        only: tuple[int, int] | None = None,
        *,
        has_record: bool = False,
    ) -> Turn:
        """One photo is recorded as archived, the next one claimed and its request put on record.

        One transaction, and so one wait for the disk a photo. `method`: of the request; `only`: see `Photos.claim`;
        `has_record`: whether its return.json was written with it.
        """
        with self._database.transaction():
            self.photos.record_archived(claim, stored)
            if has_record:
                self.returns.record_saved(claim.return_row)
            following = self.photos.claim(only)
            request = self.requests.sent(method, following.row) if following else 0
        return Turn(following, request)

    def close(self) -> None:
        """Waits for what is under way on its thread and writes what is left to write."""
        with self._closing:
            self._database.close(self.requests.flush)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
