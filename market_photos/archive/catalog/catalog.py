"""A store's catalogue: its tables on one connection."""

from contextlib import ExitStack
from pathlib import Path
from typing import Self

from market_photos.archive import volume
from market_photos.archive.catalog.connection import Database
from market_photos.archive.catalog.mending import Mending
from market_photos.archive.catalog.opening import BUSY_SECONDS, has_photos
from market_photos.archive.catalog.photos import Archived, Claim, Photos, State
from market_photos.archive.catalog.reader import Reader
from market_photos.archive.catalog.requests import Requests, Runs
from market_photos.archive.catalog.restore import Restoring
from market_photos.archive.catalog.retention import Pruning
from market_photos.archive.catalog.returns import Returns
from market_photos.archive.held_folder import HeldFolder
from market_photos.archive.layout import CATALOG_NAME, PHOTOS
from market_photos.archive.urgency import Urgency
from market_photos.clock import Clock, Moment
from market_photos.model import Wanted


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
        is_lost = name == CATALOG_NAME and has_photos(folder / PHOTOS)
        with ExitStack() as opened:
            if held_folder:
                held_folder.require_same()
            elif not read_only:
                held_folder = opened.enter_context(HeldFolder(folder))
            self._database = Database(
                path, campaign, clock, read_only=read_only, may_be_new=not is_lost, busy_seconds=busy_seconds
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

    def backup(self, target: Path) -> None:
        """Write a copy of the catalogue to a new file."""
        with volume.disk_errors(target):
            self._database.backup(target)

    def urgency(self) -> Urgency:
        """Return how urgent the store is to the next run. Takes some milliseconds."""
        tally = self.photos.tally()
        return Urgency(any(tally[state].photos for state in (State.PENDING, State.FAILED)), self.returns.newest())

    def store_and_claim_next(
        self, claim: Claim, stored: Archived, only: Wanted | None = None, *, is_record_saved: bool = False
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
