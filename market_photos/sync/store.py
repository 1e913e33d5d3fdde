"""One store of a run: what its listing, its workers and the progress display share."""

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.place import Place
from market_photos.clock import ServerClock
from market_photos.config import Settings
from market_photos.market.client import Client
from market_photos.market.limits import Limits
from market_photos.market.retry import OutageDetector
from market_photos.reporting.report import Counters
from market_photos.sync.stop import Budget, Stop


@dataclass
class Store:
    """The context of one store's run."""

    campaign: int
    name: str
    place: Place
    catalog: Catalog
    """The catalogue that is listed into: in a dry run a temporary one."""
    own_catalog: Catalog
    """The store's own catalogue, with its requests and runs."""
    client: Client
    limits: Limits
    settings: Settings
    clock: ServerClock
    rng: Random
    stop: Stop
    budget: Budget
    counters: Counters
    started_at: float
    """Seconds since 1970."""
    outage: OutageDetector = field(default_factory=OutageDetector)

    @property
    def folder(self) -> Path:
        """The folder of the store's catalogue."""
        return self.own_catalog.path.parent

    @property
    def is_dry(self) -> bool:
        """Whether this run lists only, into a temporary catalogue."""
        return self.own_catalog is not self.catalog

    @property
    def title(self) -> str:
        """The store's number and name, for people."""
        return f"{self.campaign} {self.name}".strip()
