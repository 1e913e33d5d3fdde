"""Keep a run's stores to itself: claimed before any request is sent, locked while they are open.

A claim is a byte of one file, so that a thousand stores need one descriptor. The lock itself is taken only when a
store is opened, as are its folder and its catalogue.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from market_photos.archive import layout, lock
from market_photos.archive.held_folder import HeldFolder
from market_photos.clock import Clock
from market_photos.errors import AlreadyRunning

#: Who has a store that another run has claimed and not opened yet.
CLAIMED = "it has the store on its list"


@dataclass
class StoreLocks:
    """The claims and locks of one run; they end with `held`, or with the process."""

    archive: Path
    command: str
    clock: Clock
    held: ExitStack
    marker: str | None = None
    """A file that must stay in the archive's folder during the run."""
    refused: dict[int, AlreadyRunning] = field(default_factory=dict)
    """The stores that another run has."""

    def __post_init__(self) -> None:
        self._archive = self.held.enter_context(HeldFolder(self.archive))
        self._claims = self.held.enter_context(lock.Claims(self.archive / layout.CLAIMS_NAME))

    def take_archive(self) -> None:
        """Lock the archive for a run over every store, so that another such run sends no request.

        Raises AlreadyRunning.
        """
        self.held.enter_context(lock.Lock(self.archive / layout.LOCK_NAME, self.command, self.clock))

    def claim(self, campaigns: Iterable[int]) -> set[int]:
        """Claim stores; return those that no other run has, with the others in `refused`."""
        # One run at a time, so that of two runs over the same stores one gets them all.
        with self._claims.exclusively():
            return {campaign for campaign in campaigns if self._claim(campaign)}

    def _claim(self, campaign: int) -> bool:
        path = layout.store_folder(self.archive, campaign) / layout.LOCK_NAME
        if holder := lock.held_by(path):
            self.refused[campaign] = lock.already_running(path, str(holder))
        elif not self._claims.take(campaign):
            self.refused[campaign] = lock.already_running(path, CLAIMED)
        return campaign not in self.refused

    @contextmanager
    def opened(self, campaign: int) -> Iterator[tuple[HeldFolder, lock.Lock]]:
        """Hold a claimed store's folder and lock during the block. Raises AlreadyRunning, ArchiveUnwritable."""
        folder = layout.store_folder(self.archive, campaign)
        self._archive.make_folder(folder)
        with (
            lock.Lock(folder / layout.LOCK_NAME, self.command, self.clock) as taken,
            HeldFolder(folder, self.marker) as held_folder,
        ):
            held_folder.keep(layout.LOCK_NAME, taken.identity)
            yield held_folder, taken
