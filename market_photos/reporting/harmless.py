"""What tells others of a run never changes its outcome."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Turn whatever goes wrong in the block into a warning that begins with `what`. Signals go through."""
    try:
        yield
    except Exception as error:
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        )
        log.warning("%s: %s", what, reason)
        log.debug("%s: where it happened", what, exc_info=True)
