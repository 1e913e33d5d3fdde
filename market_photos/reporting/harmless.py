"""Keep failures of a report from changing the outcome of the run."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Log exceptions of the block as a warning that begins with `what`. Signals are not caught."""
    try:
        yield
    except Exception as error:
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        )
        log.warning("%s: %s", what, reason)
        log.debug("%s: where it happened", what, exc_info=True)
