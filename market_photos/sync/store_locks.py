"""Which stores are this run's own, and since when: taken before any request is sent."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from market_photos.archive import atomic, layout, lock
from market_photos.archive.held_folder import Ground
from market_photos.clock import Clock
from market_photos.errors import AlreadyRunning


@dataclass
class Locks:
    """The locks of one run; they end with `held`, or with the process."""

    archive: Path
    command: str
    clock: Clock
    held: ExitStack
    marker: str | None = None
    """A file that must stay in the archive's folder while the run lasts."""
    grounds: dict[int, Ground] = field(default_factory=dict)
    """The folder of each store that is ours."""
    locks: dict[int, lock.Lock] = field(default_factory=dict)
    refused: dict[int, AlreadyRunning] = field(default_factory=dict)

    def take_archive(self) -> None:
        """For a run over every store: excludes another such run before the API is asked which stores there are.

        Raises AlreadyRunning.
        """
        self.held.enter_context(lock.Lock(self.archive / layout.LOCK_NAME, self.command, self.clock))

    def take_stores(self, campaigns: list[int]) -> set[int]:
        """The stores that are ours now; the others stand in `refused`. Raises AlreadyRunning where none is ours."""
        # Alone for this moment, so that of two runs over the same stores one gets them all.
        with lock.exclusively(self.archive / layout.TURN_NAME):
            ours = {campaign for campaign in campaigns if self._take(campaign)}
        if self.refused and not ours:
            raise next(iter(self.refused.values()))
        return ours

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
        ground = self.grounds[campaign] = self.held.enter_context(Ground(folder, self.marker))
        ground.keep(layout.LOCK_NAME, taken.identity)
        return True
