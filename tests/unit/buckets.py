"""A bucket in memory, and the leases of a store in it."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from market_photos.archive.lease import Lease, LeaseState
from market_photos.archive.objects import Found
from market_photos.archive.storage_errors import Conflict
from market_photos.errors import ArchiveUnwritable
from tests.unit.worlds import CAMPAIGN, ToldClock

KEY = f"{CAMPAIGN}/lease.json"


class MemoryBucket:
    """A bucket with conditional puts. `now` is the clock of the storage."""

    url = "s3://bucket/market"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str, float]] = {}
        self.now = 1e9
        self.loses_answers = 0
        self.is_away = False
        self.hangs_at = ""
        """The key at which a swap gets no answer until `goes_on`."""
        self.is_hanging, self.goes_on = threading.Event(), threading.Event()
        self._etags = itertools.count()

    def while_valid(self, require_valid: Callable[[], None]) -> "HeldBucket":
        return HeldBucket(self, require_valid)

    def put(self, key: str, content: bytes | Path) -> None:
        self._require_there()
        whole = content.read_bytes() if isinstance(content, Path) else content
        self.objects[key] = (whole, str(next(self._etags)), self.now)

    def create(self, key: str, content: bytes) -> str:
        return self._put_if(key not in self.objects, key, content)

    def swap(self, key: str, content: bytes, etag: str) -> str:
        if key == self.hangs_at:
            self.is_hanging.set()
            self.goes_on.wait()
        return self._put_if(key in self.objects and self.objects[key][1] == etag, key, content)

    def _put_if(self, holds: bool, key: str, content: bytes) -> str:
        self._require_there()
        if not holds:
            raise Conflict
        self.put(key, content)
        if self.loses_answers:
            self.loses_answers -= 1
            raise ArchiveUnwritable("the answer was lost")
        return self.objects[key][1]

    def get(self, key: str) -> Found | None:
        self._require_there()
        if key not in self.objects:
            return None
        content, etag, modified = self.objects[key]
        return Found(key, len(content), modified, etag, content)

    head = get

    def chunks(self, key: str) -> Iterator[bytes]:
        yield self.objects[key][0]

    def remove(self, *keys: str) -> None:
        for key in keys:
            self.objects.pop(key, None)

    def _require_there(self) -> None:
        if self.is_away:
            raise ArchiveUnwritable("no answer")

    def walk(self, prefix: str) -> Iterator[Found]:
        for key in sorted(self.objects):
            if key.startswith(prefix):
                content, etag, modified = self.objects[key]
                yield Found(key, len(content), modified, etag)

    @property
    def state(self) -> LeaseState:
        return self.state_of(CAMPAIGN)

    def state_of(self, campaign: int) -> LeaseState:
        found = self.get(f"{campaign}/lease.json")
        assert found
        return LeaseState.unpack(found)


class Uptime:
    """The clock of a machine."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def held(
    bucket: MemoryBucket, uptime: Uptime | None = None, campaign: int = CAMPAIGN, **options: bool
) -> Iterator[Lease]:
    with Lease(cast(Any, bucket), campaign, "sync", ToldClock(), now=uptime or Uptime(), **options) as lease:
        yield lease


class HeldBucket:
    """The bucket for the holder of a lease: each request needs a valid one."""

    def __init__(self, bucket: MemoryBucket, require_valid: Callable[[], None]) -> None:
        self.url = bucket.url
        self._bucket = bucket
        self._require_valid = require_valid

    def __getattr__(self, name: str) -> Any:
        self._require_valid()
        return getattr(self._bucket, name)
