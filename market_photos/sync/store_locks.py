"""The locks of a run on its stores, taken before any request is sent."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from market_photos.archive import atomic, layout, lock
from market_photos.archive.held_folder import HeldFolder
from market_photos.clock import Clock
from market_photos.errors import AlreadyRunning


@dataclass
class StoreLocks:
    """The locks of one run; they end with `held`, or with the process."""

    archive: Path
    command: str
    clock: Clock
    held: ExitStack
    marker: str | None = None
    """A file that must stay in the archive's folder during the run."""
    folders: dict[int, HeldFolder] = field(default_factory=dict)
    """The folder of each locked store."""
    locks: dict[int, lock.Lock] = field(default_factory=dict)
    refused: dict[int, AlreadyRunning] = field(default_factory=dict)

    def take_archive(self) -> None:
        """Lock the archive for a run over every store, so that another such run sends no request.

        Raises AlreadyRunning.
        """
        self.held.enter_context(lock.Lock(self.archive / layout.LOCK_NAME, self.command, self.clock))

    def take_stores(self, campaigns: list[int]) -> set[int]:
        """Lock stores; return those that are locked, with the others in `refused`.

        Raises AlreadyRunning where none could be locked.
        """
        # One run at a time, so that of two runs over the same stores one gets them all.
        with lock.exclusively(self.archive / layout.TURN_NAME):
            locked = {campaign for campaign in campaigns if self._take(campaign)}
        if self.refused and not locked:
            raise next(iter(self.refused.values()))
        return locked

    def _take(self, campaign: int) -> bool:
        folder = layout.store_folder(self.archive, campaign)
        atomic.make_folder(folder)
        try:
            taken = self.locks[campaign] = self.held.enter_context(
                lock.Lock(folder / layout.LOCK_NAME, self.command, self.clock)
            )
        except AlreadyRunning as error:
            self.refused[campaign] = error
            return False
        held_folder = self.folders[campaign] = self.held.enter_context(HeldFolder(folder, self.marker))
        held_folder.keep(layout.LOCK_NAME, taken.identity)
        return True
