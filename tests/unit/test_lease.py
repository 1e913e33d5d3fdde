"""A lease counts from the start of the put that renewed it, and is taken over by the clock of the storage alone."""

import json
import threading
from contextlib import ExitStack
from typing import Any

import pytest

from market_photos.archive import lease as lease_module
from market_photos.archive.lease import SLACK, TTL
from market_photos.errors import AlreadyRunning, ArchiveUnwritable, CatalogDamaged, CatalogUnusable, MarketPhotosError
from tests.unit.buckets import KEY, MemoryBucket, Uptime, held


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def uptime() -> Uptime:
    return Uptime()


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
    with pytest.raises(AlreadyRunning, match="`sync`, process") as caught, held(bucket):
        pass
    assert caught.value.hint.endswith("If it has died, run this command again in 1.0 s.")
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


def test_a_renewal_that_hangs_delays_those_of_no_other_store(
    bucket: MemoryBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RENEW_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(lease_module, name, 0.02)
    others = range(1000, 1100)
    with ExitStack() as stack:
        for campaign in others:
            stack.enter_context(held(bucket, campaign=campaign))
        stack.enter_context(held(bucket))
        stack.callback(bucket.goes_on.set)
        bucket.hangs_at = KEY
        assert bucket.is_hanging.wait(30)
        before = {campaign: bucket.state_of(campaign).sequence for campaign in others}
        _wait_until(lambda: all(bucket.state_of(campaign).sequence > before[campaign] + 1 for campaign in others))
        assert not bucket.goes_on.is_set()


def _wait_until(holds: Any) -> None:
    for _ in range(20_000):
        if holds():
            return
        threading.Event().wait(0.001)
    raise AssertionError("it never came")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"holder": 1, "more": 2}'])
def test_an_object_that_is_no_lease_is_damage(bucket: MemoryBucket, content: bytes) -> None:
    bucket.put(KEY, content)
    with pytest.raises(CatalogDamaged, match="no lease"), held(bucket):
        pass


@pytest.mark.parametrize(
    "edited", [{"sequence": "5"}, {"is_released": "no"}, {"more": 1}, {"who": {"pid": "1"}}, {"checkpoint": None}]
)
def test_a_lease_that_somebody_edited_is_damage(bucket: MemoryBucket, edited: dict[str, Any]) -> None:
    with held(bucket):
        pass
    bucket.put(KEY, json.dumps({**json.loads(bucket.objects[KEY][0]), **edited}).encode())
    with pytest.raises(CatalogDamaged, match="no lease"), held(bucket):
        pass


def test_a_rebuild_takes_over_what_is_no_lease_when_nobody_can_be_at_work(bucket: MemoryBucket) -> None:
    bucket.put(KEY, b"edited")
    with pytest.raises(AlreadyRunning, match="the lease is damaged") as caught, held(bucket, replaces_damaged=True):
        pass
    assert caught.value.hint.endswith("run this command again in 1 min 45 s.")
    bucket.now += TTL + SLACK
    with held(bucket, replaces_damaged=True) as lease:
        assert lease.is_taken_over
        lease.change(checkpoint="7/catalog/1", is_released=True)
    assert bucket.state.checkpoint == "7/catalog/1"


def test_a_lease_of_a_newer_version_is_left_alone(bucket: MemoryBucket) -> None:
    content = json.dumps({"format": 2, "owner": "somebody"}).encode()
    bucket.put(KEY, content)
    bucket.now += TTL + SLACK
    with pytest.raises(CatalogUnusable, match="newer version") as caught, held(bucket, replaces_damaged=True):
        pass
    assert "Update" in caught.value.hint
    assert bucket.objects[KEY][0] == content


def test_a_storage_without_an_answer_ends_the_attempt_with_its_words(bucket: MemoryBucket) -> None:
    bucket.is_away = True
    with pytest.raises(MarketPhotosError, match="no answer"), held(bucket):
        pass
