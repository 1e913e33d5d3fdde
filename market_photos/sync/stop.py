"""How a run ends early: once, with an exit code and a reason."""

import asyncio

from market_photos.errors import ExitCode

#: Seconds in which photos that are in flight may still finish.
GRACE_SECONDS = 8.0


class Stop:
    """The request to end a run. Only the first one counts."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.code = ExitCode.COMPLETE
        self.reason = ""

    def request(self, code: ExitCode, reason: str) -> None:
        """Ask the run to end with this code."""
        if not self._event.is_set():
            self.code, self.reason = code, reason
            self._event.set()

    @property
    def requested(self) -> bool:
        """Whether the run is to end."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Wait until the run is to end."""
        await self._event.wait()


class Budget:
    """How many photos a run may still request (`--max-photos`); None: any number."""

    def __init__(self, photos: int | None) -> None:
        self._left = photos

    def take(self) -> bool:
        """Take one photo from the budget; return False where none is left."""
        if self._left is None:
            return True
        if self._left <= 0:
            return False
        self._left -= 1
        return True
