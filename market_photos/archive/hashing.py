"""Hash many files on every core. Threads suffice, as hashlib releases the interpreter lock."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from market_photos.archive.tree import open_file

T = TypeVar("T")
R = TypeVar("R")

#: Waiting jobs per thread: enough to keep it busy, few enough for flat memory.
AHEAD = 8


def file_sha256(path: Path) -> bytes:
    """Return the SHA-256 of a regular file. Raises OSError."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").digest()


def in_threads(work: Callable[[T], R], jobs: Iterable[T], threads: int | None = None) -> Iterator[R]:
    """Yield the result of `work` for each job, in order. Jobs are read as they are needed.

    `threads` is their number; None means one per core.
    """
    count = threads or len(os.sched_getaffinity(0))
    futures: deque[Future[R]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="hash") as pool:
        try:
            for job in jobs:
                futures.append(pool.submit(work, job))
                if len(futures) > count * AHEAD:
                    yield futures.popleft().result()
            while futures:
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()
