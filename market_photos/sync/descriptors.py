"""How many stores can be open at once under the process's limit of open files."""

import logging
import resource

from market_photos.settings import Limits

log = logging.getLogger(__name__)

#: Open files of the process itself: standard streams, event loop, resolver, locks of the archive, reports.
OF_THE_PROCESS = 64
#: Of an open store: its lock, its folder and `photos`, the catalogue with its WAL and index, a file in writing.
OF_A_STORE = 8
#: Of a request: its connection, and the part file that it streams to.
OF_A_REQUEST = 2


def stores_that_fit(limits: Limits, most: int | None = None) -> int:
    """Return how many stores can be open at once: `stores_at_once` at most, `most` at most, and at least 1.

    Raises the process's soft limit of open files to what they need, as far as the hard limit allows.
    """
    wanted = limits.stores_at_once if most is None else min(limits.stores_at_once, most)
    each = OF_A_STORE + OF_A_REQUEST * (limits.parallel_requests + 1)
    needed = OF_THE_PROCESS + wanted * each
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return wanted
    fitting = max(1, (soft - OF_THE_PROCESS) // each)
    log.info("%d stores at once instead of %d: a process may open %d files (ulimit -n)", fitting, wanted, soft)
    return fitting
