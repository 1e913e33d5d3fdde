"""A store's catalogue: its tables on one connection."""

from pathlib import Path
from types import TracebackType
from typing import Self

from market_photos.archive.database import Database
from market_photos.archive.journal import Requests, Runs
from market_photos.archive.layout import CATALOG_NAME, PHOTOS
from market_photos.archive.photos import Photos
from market_photos.archive.returns import Returns
from market_photos.archive.schema import BUSY_SECONDS
from market_photos.clock import Clock


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
    ) -> None:
        """Opens `<folder>/catalog.sqlite3`, or makes it.

        Raises CatalogUnusable where it is damaged, locked, newer, or missing beside photos: going on without it would
        download everything again. With `read_only` also where there is none yet.
        """
        path = folder / CATALOG_NAME
        has_photos = any((folder / PHOTOS).glob("*/*"))
        self._database = Database(
            path, campaign, clock, read_only=read_only, may_be_new=not has_photos, busy_seconds=busy_seconds
        )
        self.do = self._database.do
        self.path = path
        self.campaign = campaign
        self.returns = Returns(self._database)
        self.photos = Photos(self._database)
        self.requests = Requests(self._database)
        self.runs = Runs(self._database)

    def close(self) -> None:
        """Waits for what is under way on its thread and writes what is left to write."""
        self._database.close(self.requests.flush)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
