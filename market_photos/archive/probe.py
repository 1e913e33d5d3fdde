"""Test whether a storage keeps the conditions of puts, on which a lease depends.

A server that ignores them answers as if all were well, so this is tried at the start of each run.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

from market_photos.archive.objects import Bucket
from market_photos.archive.storage_errors import Conflict, NotSupported, PassingFault
from market_photos.errors import ArchiveUnwritable, MarketPhotosError

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Where objects are that only try the storage, and after how many seconds those of a killed process are removed.
FOLDER = "probes"
LEFT_SECONDS = 24 * 3600
#: Writers that try to create the same object at once.
WRITERS = 20
CREATE_ONLY = "If-None-Match: * (write only what does not exist)"
COMPARE_AND_SWAP = "If-Match: <ETag> (replace only what has not changed)"


def require_conditional_puts(bucket: Bucket) -> None:
    """Raise ArchiveUnwritable with the name of the feature that the storage lacks; learn how it wants ETags.

    Only the first time: later calls do nothing.
    """
    if bucket.is_probed:
        return
    with probing(bucket) as key:
        etag = _supported(bucket, CREATE_ONLY, lambda: bucket.create(key, b"1"))
        if _is_done(lambda: bucket.create(key, b"2")):
            raise _lacks(bucket, CREATE_ONLY)
        no_etag = f'"{"0" * 32}"'
        if _supported(bucket, COMPARE_AND_SWAP, lambda: _is_done(lambda: bucket.swap(key, b"3", no_etag))):
            raise _lacks(bucket, COMPARE_AND_SWAP)
        for bucket.quotes_etag in (True, False):  # Ceph wants an ETag without its quotes
            if _is_done(lambda: bucket.swap(key, b"4", etag)):
                bucket.is_probed = True
                return
        raise _lacks(bucket, COMPARE_AND_SWAP)


@contextmanager
def probing(bucket: Bucket) -> Iterator[str]:
    """Yield the key of an object to try things on, and remove it after the block."""
    key = f"{FOLDER}/{secrets.token_hex(8)}"
    try:
        yield key
    except PassingFault:
        raise  # it could not be removed either
    except MarketPhotosError:
        with suppress(ArchiveUnwritable):
            _remove(bucket, key)
        raise
    try:
        _remove(bucket, key)
    except ArchiveUnwritable as error:
        log.warning("%s This object is left there.", error.message)


def _remove(bucket: Bucket, key: str) -> None:
    """Remove a probe, and those that killed processes have left."""
    left_before = time.time() - LEFT_SECONDS
    left = [found.key for found in bucket.walk(f"{FOLDER}/") if found.modified < left_before]
    bucket.remove(key, *left)


def _is_done(put: Callable[[], str]) -> bool:
    """Return whether the storage does a put under a condition."""
    try:
        put()
    except Conflict:
        return False
    return True


def _supported(bucket: Bucket, feature: str, put: Callable[[], T]) -> T:
    """Return what the put returns. Raises ArchiveUnwritable if the storage does not know the feature."""
    try:
        return put()
    except NotSupported:
        raise _lacks(bucket, feature) from None


def require_one_winner(bucket: Bucket) -> None:
    """Raise ArchiveUnwritable unless one of WRITERS that create the same object at once wins."""
    with probing(bucket) as key, ThreadPoolExecutor(WRITERS) as writers:

        def wins(number: int) -> bool:
            return _is_done(lambda: bucket.create(key, str(number).encode()))

        winners = sum(writers.map(wins, range(WRITERS)))
    if winners != 1:
        raise _lacks(bucket, f"{CREATE_ONLY}: of {WRITERS} writers at once {winners} won")


def _lacks(bucket: Bucket, feature: str) -> ArchiveUnwritable:
    return ArchiveUnwritable(
        f"{bucket.url}: this storage ignores or lacks conditional puts: {feature}. Two machines could be at work on "
        "one store, so nothing was written.",
        "Use a storage that has them: AWS S3, Yandex Object Storage, MinIO, Cloudflare R2, Selectel or Ceph.",
    )
