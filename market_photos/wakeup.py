"""Wake tasks of one event loop when a state that they wait for changes."""

import asyncio


class Wakeup:
    """Wakes every waiting task at each `notify`; a task then checks the state again.

        while not state.is_ready:
            await wakeup.wait()

    A task that awaits between its check and `wait` reads `count` before the check and passes it, so that no
    notification in between is missed.
    """

    def __init__(self) -> None:
        self.count = 0
        """Notifications so far."""
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake all waiting tasks."""
        self.count += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, deadline: float | None = None, *, seen: int | None = None) -> None:
        """Wait for the next notification, or the first one after `seen`; until `deadline` (loop time) at most."""
        if seen is not None and seen != self.count:
            return
        try:
            async with asyncio.timeout_at(deadline):
                await self._event.wait()
        except TimeoutError:
            pass
