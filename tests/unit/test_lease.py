"""A lease counts from the start of the put that renewed it, and is taken over by the clock of the storage alone."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from market_photos.archive import lease as lease_module
from market_photos.archive.lease import SLACK, TTL, Lease, LeaseState
from market_photos.archive.objects import Conflict, Found
from market_photos.errors import AlreadyRunning, ArchiveUnwritable, CatalogDamaged, MarketPhotosError
from tests.unit.worlds import ToldClock

KEY = "7/lease.json"


class MemoryBucket:
    """A bucket with conditional puts. `now` is the clock of the storage."""

    url = "s3://bucket/market"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str, float]] = {}
        self.now = 1e9
        self.loses_answers = 0
        self.is_away = False
        self._etags = itertools.count()

    def put(self, key: str, content: bytes) -> None:
        self._require_there()
        self.objects[key] = (content, str(next(self._etags)), self.now)

    def create(self, key: str, content: bytes) -> str:
        return self._put_if(key not in self.objects, key, content)

    def swap(self, key: str, content: bytes, etag: str) -> str:
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

    def remove(self, *keys: str) -> None:
        for key in keys:
            self.objects.pop(key, None)

    def _require_there(self) -> None:
        if self.is_away:
            raise ArchiveUnwritable("no answer")

    @property
    def state(self) -> LeaseState:
        found = self.get(KEY)
        assert found
        return LeaseState.unpack(found)


class Uptime:
    """The clock of a machine."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def uptime() -> Uptime:
    return Uptime()


@contextmanager
def held(bucket: MemoryBucket, uptime: Uptime | None = None) -> Iterator[Lease]:
    with Lease(cast(Any, bucket), 7, "sync", ToldClock(), now=uptime or Uptime()) as lease:
        yield lease


def killed(bucket: MemoryBucket, **changes: Any) -> None:
    """A run that took the lease and was killed."""
    with held(bucket) as lease:
        lease.change(**changes)


def test_a_lease_counts_for_its_time_to_live_from_the_start_of_the_put(bucket: MemoryBucket, uptime: Uptime) -> None:
    with held(bucket, uptime) as lease:
        uptime.now += TTL - 1
        lease.require_valid()
        lease.change(stamp="a")
        uptime.now += TTL - 1
        lease.require_valid()
        uptime.now += 1
        with pytest.raises(ArchiveUnwritable, match="could not be renewed"):
            lease.require_valid()


def test_a_lease_that_ran_out_is_not_used_again(bucket: MemoryBucket, uptime: Uptime) -> None:
    """Another machine may have begun in between."""
    with held(bucket, uptime) as lease:
        lease.change(stamp="a")
        uptime.now += TTL
        before = bucket.state
        for _ in range(2):
            with pytest.raises(ArchiveUnwritable):
                lease.change(stamp="b")
        uptime.now -= TTL
        with pytest.raises(ArchiveUnwritable):
            lease.require_valid()
    assert bucket.state == before


def test_a_held_lease_is_taken_over_only_after_time_to_live_and_slack(bucket: MemoryBucket) -> None:
    """By the clock of the storage, whatever the machines' clocks say."""
    killed(bucket, stamp="of the killed run")
    bucket.now += TTL + SLACK - 1
    with pytest.raises(AlreadyRunning, match="`sync`, process"), held(bucket):
        pass
    bucket.now += 1
    with held(bucket) as lease:
        assert lease.is_taken_over
        assert lease.state.stamp == "of the killed run"
    assert not bucket.state.is_released, "its catalogue is not safe: the next one has to take it over, too"
    assert set(bucket.objects) == {KEY}, "probes are removed"


def test_a_released_lease_is_free_at_once(bucket: MemoryBucket) -> None:
    with held(bucket) as lease:
        lease.change(checkpoint="7/catalog/1", is_released=True)
    with held(bucket) as lease:
        assert not lease.is_taken_over
        assert lease.state.checkpoint == "7/catalog/1"


def test_a_lease_under_which_nothing_changed_is_given_back(bucket: MemoryBucket) -> None:
    with held(bucket):
        assert not bucket.state.is_released
    assert bucket.state.is_released


def test_of_two_that_begin_at_once_one_gets_the_lease(bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    killed(bucket, checkpoint="7/catalog/1", is_released=True)
    found = bucket.get(KEY)
    with held(bucket) as first:
        first.change(stamp="a")
        answers = [found]
        monkeypatch.setattr(bucket, "get", lambda key: answers.pop() if answers else MemoryBucket.get(bucket, key))
        with pytest.raises(AlreadyRunning), held(bucket):
            pass
        first.require_valid()


def test_the_old_holder_learns_of_a_takeover(bucket: MemoryBucket) -> None:
    with held(bucket) as old:
        old.change(stamp="a")
        bucket.now += TTL + SLACK
        with held(bucket) as new:
            new.change(stamp="b")
            with pytest.raises(AlreadyRunning, match="taken this store over"):
                old.change(checkpoint="7/catalog/9", is_released=True)
            with pytest.raises(AlreadyRunning):
                old.require_valid()
            assert (bucket.state.stamp, bucket.state.checkpoint) == ("b", "")


@pytest.mark.parametrize("lost", [1, 2])
def test_a_change_whose_answer_was_lost_is_found_and_done(bucket: MemoryBucket, lost: int) -> None:
    with held(bucket) as lease:
        for _ in range(lost):
            bucket.loses_answers = 1
            with pytest.raises(ArchiveUnwritable):
                lease.change(stamp="lost")
        lease.change(stamp="a")
        assert bucket.state.stamp == "a"
        lease.require_valid()


def test_the_holder_renews_its_lease_and_goes_on_trying(
    bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread does it, so that a busy event loop costs no lease."""
    for name in ("RENEW_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(lease_module, name, 0.001)
    with held(bucket):
        sequence = bucket.state.sequence
        for away in (True, False):
            bucket.is_away = away
            _wait_until(lambda away=away: away or bucket.state.sequence > sequence + 2)


def _wait_until(holds: Any) -> None:
    for _ in range(20_000):
        if holds():
            return
        __import__("threading").Event().wait(0.001)
    raise AssertionError("it never came")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"holder": 1, "more": 2}'])
def test_an_object_that_is_no_lease_is_damage(bucket: MemoryBucket, content: bytes) -> None:
    bucket.put(KEY, content)
    with pytest.raises(CatalogDamaged, match="no lease"), held(bucket):
        pass


def test_a_storage_without_an_answer_ends_the_attempt_with_its_words(bucket: MemoryBucket) -> None:
    bucket.is_away = True
    with pytest.raises(MarketPhotosError, match="no answer"), held(bucket):
        pass
