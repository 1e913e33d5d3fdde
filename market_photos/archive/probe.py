"""Test whether a storage keeps the conditions of puts, on which a lease depends.

A server that ignores them answers as if all were well, so this is tried at the start of each run.
"""

import secrets
from concurrent.futures import ThreadPoolExecutor

from market_photos.archive.objects import Bucket
from market_photos.archive.storage_errors import Conflict
from market_photos.errors import ArchiveUnwritable

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
    key = f"probe-{secrets.token_hex(8)}"
    try:
        etag = bucket.create(key, b"1")
        try:
            bucket.create(key, b"2")
            raise _lacks(bucket, CREATE_ONLY)
        except Conflict:
            pass
        try:
            bucket.swap(key, b"3", f'"{"0" * 32}"')
            raise _lacks(bucket, COMPARE_AND_SWAP)
        except Conflict:
            pass
        for bucket.quotes_etag in (True, False):  # Ceph wants an ETag without its quotes
            try:
                bucket.swap(key, b"4", etag)
            except Conflict:
                continue
            bucket.is_probed = True
            return
        raise _lacks(bucket, COMPARE_AND_SWAP)
    finally:
        bucket.remove(key)


def require_one_winner(bucket: Bucket) -> None:
    """Raise ArchiveUnwritable unless one of WRITERS that create the same object at once wins."""
    key = f"probe-{secrets.token_hex(8)}"

    def wins(number: int) -> bool:
        try:
            bucket.create(key, str(number).encode())
        except Conflict:
            return False
        return True

    try:
        with ThreadPoolExecutor(WRITERS) as writers:
            winners = sum(writers.map(wins, range(WRITERS)))
    finally:
        bucket.remove(key)
    if winners != 1:
        raise _lacks(bucket, f"{CREATE_ONLY}: of {WRITERS} writers at once {winners} won")


def _lacks(bucket: Bucket, feature: str) -> ArchiveUnwritable:
    return ArchiveUnwritable(
        f"{bucket.url}: this storage ignores or lacks conditional puts: {feature}. Two machines could be at work on "
        "one store, so nothing was written.",
        "Use a storage that has them: AWS S3, Yandex Object Storage, MinIO, Cloudflare R2, Selectel or Ceph.",
    )
