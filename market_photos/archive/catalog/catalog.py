"""A store's catalogue: its tables on one connection."""

from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from market_photos.archive import layout, tree, volume
from market_photos.archive.catalog.connection import Database
from market_photos.archive.catalog.mending import Mending
from market_photos.archive.catalog.opening import BUSY_SECONDS
from market_photos.archive.catalog.photos import Archived, Claim, Photos
from market_photos.archive.catalog.reader import Reader
from market_photos.archive.catalog.requests import Requests, Runs
from market_photos.archive.catalog.restore import Restoring
from market_photos.archive.catalog.retention import Pruning
from market_photos.archive.catalog.returns import Returns
from market_photos.archive.held_folder import HeldFolder
from market_photos.archive.layout import CATALOG_NAME, PHOTOS
from market_photos.clock import Clock, Moment
from market_photos.errors import UsageError
from market_photos.model import ReturnRef


def known_stores(archive: Path) -> list[int]:
    """Return the stores of the archive: the folders with a catalogue, or with photos whose catalogue is lost.

    Raises ArchiveUnwritable where the archive or such a folder may not be read.
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
    """Return the numbers of the folders that are named like stores. Raises ArchiveUnwritable."""
    numbers = (layout.parse_store_folder(name) for name in _names(archive))
    return sorted(number for number in numbers if number is not None)


def is_store(folder: Path) -> bool:
    """Return whether the folder holds a catalogue or photos. Raises ArchiveUnwritable."""
    return not {CATALOG_NAME, PHOTOS}.isdisjoint(_names(folder))


def _names(folder: Path) -> list[str]:
    """Return the names in the folder, none where it is missing or a file."""
    with volume.disk_errors(folder), suppress(FileNotFoundError, NotADirectoryError):
        return [path.name for path in folder.iterdir()]  # Path.glob hides that a folder may not be read
    return []


def _has_photos(photos: Path) -> bool:
    """Return whether a month's folder holds anything. Raises ArchiveUnwritable."""
    with volume.disk_errors(photos):
        return any(is_folder and tree.folders(photos / month) for month, is_folder in tree.folders(photos))


class Catalog:
    """The tables of one store on one connection.

    Its methods block; in an event loop use `await catalog.do(catalog.photos.claim)`.
    """

    def __init__(
        self,
        folder: Path,
        campaign: int,
        clock: Clock,
        *,
        read_only: bool = False,
        busy_seconds: float = BUSY_SECONDS,
        name: str = CATALOG_NAME,
        held_folder: HeldFolder | None = None,
    ) -> None:
        """Open `<folder>/<name>`, or create it unless `read_only`.

        `held_folder` is that of the run that holds the store's lock; without it a writable catalogue opens its own.

        Raises CatalogUnusable if the catalogue is damaged, locked, newer, or missing beside photos (a new one would
        download everything again), and with `read_only` also if there is none.
        """
        path = folder / name
        has_photos = name == CATALOG_NAME and _has_photos(folder / PHOTOS)
        with ExitStack() as opened:
            if held_folder:
                held_folder.require_same()
            elif not read_only:
                held_folder = opened.enter_context(HeldFolder(folder))
            self._database = Database(
                path, campaign, clock, read_only=read_only, may_be_new=not has_photos, busy_seconds=busy_seconds
            )
            if held_folder:
                held_folder.keep(name)
                self._database.require_same_file = held_folder.require_same
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
        """Return the moment with the server's time, which is estimated until an answer has shown it."""
        return self._database.moment()

    def check(self) -> None:
        """Read all of the catalogue. Raises CatalogDamaged."""
        self._database.check()

    def store_and_claim_next(
        self, claim: Claim, stored: Archived, only: ReturnRef | None = None, *, is_record_saved: bool = False
    ) -> Claim | None:
        """Record a photo as archived, claim the next one and record its request; return that claim.

        One transaction, so that a photo waits for the disk once and holds no slot meanwhile: a commit of its own for
        each request costs 9 to 12 % of the photos a second (bench/README.md). `only`: see `Photos.claim`;
        `is_record_saved`: whether return.json was written with the photo.
        """
        with self._database.transaction():
            self.photos.record_archived(claim, stored)
            if is_record_saved:
                self.returns.record_saved(claim.return_row)
            following = self.photos.claim(only)
            return following and following._replace(request=self.requests.sent("photo", following.row))

    def close(self) -> None:
        """Wait for the catalogue's thread, write what is left, and close the connection."""
        with self._closing:
            self._database.close(self.requests.flush)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
