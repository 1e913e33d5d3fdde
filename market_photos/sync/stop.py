"""How a run is told to end early: once, with a reason."""

import asyncio

from market_photos.errors import ExitCode

#: Seconds in which photos that are in flight may still finish.
GRACE_SECONDS = 8.0


class Stop:
    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.code = ExitCode.COMPLETE
        self.reason = ""

    def request(self, code: ExitCode, reason: str) -> None:
        """The first request counts."""
        if not self._event.is_set():
            self.code, self.reason = code, reason
            self._event.set()

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()


class Budget:
    """How many photos this run may still ask for (`--max-photos`); None: as many as there are."""

    def __init__(self, photos: int | None) -> None:
        self._left = photos

    def take(self) -> bool:
        if self._left is None:
            return True
        if self._left <= 0:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        if self._left is not None:
            self._left += 1
