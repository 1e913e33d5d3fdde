"""How long a request to the storage is repeated: one rule for all of them.

A request that meets a passing fault is repeated while its time lasts. Under a lease that time ends with the lease, so
a run outlives a fault of the storage that is shorter.
"""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from market_photos.archive.storage_errors import PassingFault

log = logging.getLogger(__name__)

#: Seconds before the first repetition, which double each time up to the second number.
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
#: Seconds of failure after which a person is told, and until the next warning of the same archive.
QUIET_SECONDS = 5.0
TELL_SECONDS = 60.0


def pause_before(repetition: int) -> float:
    """Return the seconds before a repetition, the first is 0: different ones for processes that failed at once."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(repetition, 10)) * random.uniform(0.5, 1.0)


def _nothing() -> None:
    """Require nothing."""


class Warned:
    """Remembers when a person was told: a storage that is away fails every request in flight."""

    def __init__(self) -> None:
        self._quiet_until = 0.0

    def is_due(self, now: float) -> bool:
        """Return whether to warn now; then not again for TELL_SECONDS."""
        if now < self._quiet_until:
            return False
        self._quiet_until = now + TELL_SECONDS
        return True


@dataclass(frozen=True)
class Patience:
    """Decides whether a request is made, and made again."""

    seconds: float
    """Seconds from the first failure of a request to its last attempt."""
    require: Callable[[], None] = _nothing
    """Is called before each attempt; raises an error where it must not be made."""
    pause: Callable[[int], float] = pause_before
    now: Callable[[], float] = time.monotonic
    warned: Warned = field(default_factory=Warned)

    def attempts(self) -> "Attempts":
        """Return the attempts at a new request."""
        return Attempts(self)


class Attempts:
    """The attempts at one request."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._failing_since = 0.0
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
        is_told = failing > QUIET_SECONDS and self._patience.warned.is_due(now)
        log.log(logging.WARNING if is_told else logging.INFO, "%s Trying again.", fault.message)
        self.failed += 1
        return pause
