"""Hashes of many files, on every core: hashlib lets go of the interpreter while it works, so threads do."""

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

#: Jobs that wait for each thread: enough to keep it busy, few enough for flat memory.
AHEAD = 8


def file_sha256(path: Path) -> bytes:
    """Return the SHA-256 of a regular file. Raises OSError."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").digest()


def in_threads(work: Callable[[T], R], jobs: Iterable[T], threads: int | None = None) -> Iterator[R]:
    """`work` of each job, in their order; `threads`: None for one a core. Takes jobs only as fast as it works."""
    count = threads or len(os.sched_getaffinity(0))
    under_way: deque[Future[R]] = deque()
    with ThreadPoolExecutor(count, thread_name_prefix="hash") as pool:
        try:
            for job in jobs:
                under_way.append(pool.submit(work, job))
                if len(under_way) > count * AHEAD:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
