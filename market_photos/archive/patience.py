"""How long a request to the storage is repeated: one rule for all of them.

A request that meets a passing fault is repeated while its time lasts. Under a lease that time ends with the lease, so
a run outlives a fault of the storage that is shorter.
"""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from market_photos.archive.storage_errors import PassingFault

log = logging.getLogger(__name__)

#: Seconds before the first repetition, which double each time up to the second number.
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
#: Seconds of failure after which a person is told.
QUIET_SECONDS = 5.0


def pause_before(repetition: int) -> float:
    """Return the seconds before a repetition, the first is 0: different ones for processes that failed at once."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(repetition, 10)) * random.uniform(0.5, 1.0)


def _nothing() -> None:
    """Require nothing."""


@dataclass(frozen=True)
class Patience:
    """Decides whether a request is made, and made again."""

    seconds: float
    """Seconds from the first failure of a request to its last attempt."""
    require: Callable[[], None] = _nothing
    """Is called before each attempt; raises an error where it must not be made."""
    pause: Callable[[int], float] = pause_before
    now: Callable[[], float] = time.monotonic

    def attempts(self) -> "Attempts":
        """Return the attempts at a new request."""
        return Attempts(self)


class Attempts:
    """The attempts at one request."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failing_since = 0.0
        self._is_told = False
        self.failed = 0
        """How many have failed."""

    def require(self) -> None:
        """Raise an error if the next one must not be made."""
        self._patience.require()

    def pause_after(self, fault: PassingFault) -> float:
        """Return the seconds until the next attempt. Raises the fault if there is none."""
        now, pause = self._patience.now(), self._patience.pause(self.failed)
        if not self.failed:
            self._failing_since = now
        failing = now + pause - self._failing_since
        if failing > self._patience.seconds:
            raise fault
        is_told = failing > QUIET_SECONDS and not self._is_told
        log.log(logging.WARNING if is_told else logging.INFO, "%s Trying again.", fault.message)
        self._is_told |= is_told
        self.failed += 1
        return pause
