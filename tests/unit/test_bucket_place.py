"""Checkpoints of a store in a bucket: when a run writes one before its end, and whose counts after a takeover."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from market_photos.archive import bucket as bucket_module
from market_photos.archive.bucket import CHECKPOINT_BYTES, CHECKPOINT_SECONDS, CHECKPOINT_SHARE, BucketPlace
from market_photos.archive.catalog.adoption import adopt
from market_photos.archive.catalog.photos import Claim
from market_photos.archive.checkpoint import claim_scratch
from market_photos.archive.lease import SLACK, TTL, Lease
from market_photos.errors import AlreadyRunning, ArchiveUnwritable, ConfigError
from tests.unit.buckets import MemoryBucket, Uptime, held
from tests.unit.worlds import CAMPAIGN, a_return

#: Bytes of new photos that bring a checkpoint while the catalogue is small.
ENOUGH = CHECKPOINT_SHARE * CHECKPOINT_BYTES
PlaceOf = Callable[[Lease], BucketPlace]


@pytest.fixture
def bucket() -> MemoryBucket:
    return MemoryBucket()


@pytest.fixture
def uptime(monkeypatch: pytest.MonkeyPatch) -> Uptime:
    uptime = Uptime()
    monkeypatch.setattr(bucket_module, "boottime", uptime)
    return uptime


@pytest.fixture
def place_of(bucket: MemoryBucket, uptime: Uptime, tmp_path: Path) -> PlaceOf:
    """Open the store under a lease."""

    def opened(lease: Lease) -> BucketPlace:
        scratch = tmp_path / lease.state.holder
        scratch.mkdir()
        return BucketPlace(cast(Any, bucket), CAMPAIGN, scratch, None, lease)

    return opened


def a_catalog(content: bytes) -> Callable[[Path], None]:
    """The backup of a catalogue with this content."""

    def backup(path: Path) -> None:
        path.write_bytes(content)

    return backup


def checkpoints(bucket: MemoryBucket) -> list[bytes]:
    return [gzip.decompress(content) for key, (content, *_) in bucket.objects.items() if "/catalog/" in key]


def test_a_checkpoint_is_written_whenever_so_many_photos_have_come(bucket: MemoryBucket, place_of: PlaceOf) -> None:
    """It takes the place of the one before."""
    with held(bucket) as lease:
        place = place_of(lease)
        found = []
        for size in (ENOUGH, ENOUGH + 1, 2 * ENOUGH + 1, 2 * ENOUGH + 2):
            place.keep_safe(a_catalog(b"%d" % size), size)
            found.append(checkpoints(bucket))
            assert bool(found[-1]) == (bucket.state.checkpoint in bucket.objects)
        first, second = b"%d" % (ENOUGH + 1), b"%d" % (2 * ENOUGH + 2)
        assert found == [[], [first], [first], [second]]
        assert not bucket.state.is_released


@pytest.mark.parametrize("is_of_this_run", [True, False])
def test_a_large_checkpoint_is_followed_only_by_photos_of_ten_times_its_size(
    bucket: MemoryBucket, place_of: PlaceOf, is_of_this_run: bool
) -> None:
    """Otherwise a store with a million photos would write hundreds of megabytes for a few new ones."""
    large = os.urandom(3 * CHECKPOINT_BYTES)  # it cannot be compressed
    with held(bucket) as lease:
        place = place_of(lease)
        place.checkpoint(a_catalog(large), is_released=not is_of_this_run)
        if is_of_this_run:
            _keep_safe_around(place, bucket, large)
    if not is_of_this_run:
        with held(bucket) as lease:
            _keep_safe_around(place_of(lease), bucket, large)


def _keep_safe_around(place: BucketPlace, bucket: MemoryBucket, large: bytes) -> None:
    [(content, *_)] = [found for key, found in bucket.objects.items() if "/catalog/" in key]
    enough = CHECKPOINT_SHARE * len(content)
    place.keep_safe(a_catalog(b"small"), enough)
    assert checkpoints(bucket) == [large]
    place.keep_safe(a_catalog(b"small"), enough + 1)
    assert checkpoints(bucket) == [b"small"]


def test_a_checkpoint_is_written_after_six_hours(bucket: MemoryBucket, place_of: PlaceOf, uptime: Uptime) -> None:
    with held(bucket) as lease:
        place = place_of(lease)
        found = []
        for hours, content in enumerate((b"none", b"first", b"none", b"second")):
            uptime.now += CHECKPOINT_SECONDS if hours % 2 == 0 else 1
            place.keep_safe(a_catalog(content), 1)
            found.append(checkpoints(bucket))
        assert found == [[], [b"first"], [b"first"], [b"second"]]


@pytest.mark.parametrize(
    "late",
    [
        lambda place: place.checkpoint(a_catalog(b"late"), is_released=True),
        lambda place: place.keep_safe(a_catalog(b"late"), ENOUGH + 1),
    ],
)
def test_a_run_that_was_paused_for_longer_than_its_lease_has_its_checkpoint_refused(
    bucket: MemoryBucket, place_of: PlaceOf, late: Callable[[BucketPlace], None]
) -> None:
    """Its own clock may not show it, as where a machine is suspended. What the other run wrote counts and stays."""
    with held(bucket) as paused:
        place = place_of(paused)
        place.checkpoint(a_catalog(b"before"))
        bucket.now += TTL + SLACK
        with held(bucket) as other:
            place_of(other).checkpoint(a_catalog(b"of the other run"), is_released=True)
        lease = bucket.state
        with pytest.raises(AlreadyRunning, match="taken this store over"):
            late(place)
    assert bucket.state == lease
    assert gzip.decompress(bucket.objects[lease.checkpoint][0]) == b"of the other run"


def test_a_checkpoint_that_is_uploaded_after_the_takeover_replaces_none(
    bucket: MemoryBucket, place_of: PlaceOf
) -> None:
    """A run may be paused in between."""
    with held(bucket) as paused:
        place = place_of(paused)

        def backup(path: Path) -> None:
            path.write_bytes(b"late")
            bucket.now += TTL + SLACK
            with held(bucket) as other:
                place_of(other).checkpoint(a_catalog(b"of the other run"), is_released=True)

        with pytest.raises(AlreadyRunning, match="taken this store over"):
            place.checkpoint(backup, is_released=True)
    assert gzip.decompress(bucket.objects[bucket.state.checkpoint][0]) == b"of the other run"


def test_each_takeover_has_a_stamp_that_no_catalogue_knows(bucket: MemoryBucket, place_of: PlaceOf) -> None:
    """A copy or a rebuild under a takeover writes its stamp into the catalogue, and the next crash must be seen."""
    stamps = []
    for _ in range(3):
        with held(bucket) as lease:
            stamps.append(place_of(lease).stamp)
            lease.change(stamp="of a run that is killed")
        bucket.now += TTL + SLACK
    assert stamps[0] == ""
    assert stamps[1] != stamps[2]
    assert "of a run that is killed" not in stamps


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_run_after_an_owners_command_learns_of_the_takeover_too(
    bucket: MemoryBucket, place_of: PlaceOf, is_killed: bool
) -> None:
    """Such a command takes the store over, and leaves it to the next run to look for the killed run's photos."""
    path = Path("photos/2026-01/1-2/10-abc.jpg")
    with held(bucket) as lease:
        lease.change(stamp="of the killed run")
        bucket.put(f"{CAMPAIGN}/{path.as_posix()}", b"a photo")
    bucket.now += 3600
    with held(bucket) as lease:
        command = place_of(lease)
        command.leave_stamp(command.stamp)
        command.checkpoint(a_catalog(b"sound"), is_released=not is_killed)
    bucket.now += TTL + SLACK
    with held(bucket) as lease:
        place = place_of(lease)
        assert lease.is_taken_over == is_killed
        place.bring_catalog()
        assert place.find(path.parent, path.stem) == path


def test_two_holders_name_their_checkpoints_apart(place_of: PlaceOf) -> None:
    """The scratch folder knows its checkpoint by the name: an equal one of another archive must not count."""
    names = []
    for _ in range(2):
        other = MemoryBucket()
        with held(other) as lease:
            place_of(lease).checkpoint(a_catalog(b"of this archive"), is_released=True)
        names.append(other.state.checkpoint)
    assert names[0] != names[1]


def test_the_scratch_folder_of_another_archive_is_refused(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    claim_scratch(scratch, "s3://returns/test at AWS")
    (scratch / str(CAMPAIGN)).mkdir()
    claim_scratch(scratch, "s3://returns/test at AWS")
    with pytest.raises(ConfigError, match="holds the catalogues of s3://returns/test at AWS") as caught:
        claim_scratch(scratch, "s3://returns/market at AWS")
    assert "a scratch folder of its own" in caught.value.hint


def test_a_photo_that_is_removed_after_it_was_listed_is_requested() -> None:
    class Removed:
        def find(self, folder: Path, stem: str) -> Path:
            return folder / f"{stem}.jpg"

        def stored(self, path: Path) -> None:
            raise FileNotFoundError

    claim = Claim(1, 1, a_return(1, "abc").photos[0], "2026-01")
    assert not adopt(cast(Any, None), cast(Any, Removed()), claim)


def test_a_checkpoint_that_fails_during_a_run_ends_it_only_with_the_lease(
    bucket: MemoryBucket, place_of: PlaceOf, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is lost by it, and the next attempt follows."""
    uptime = Uptime()
    with held(bucket, uptime) as lease:
        place = place_of(lease)
        bucket.is_away = True
        place.keep_safe(a_catalog(b"first"), ENOUGH + 1)
        assert "The next attempt to write a checkpoint follows." in caplog.text
        bucket.is_away = False
        place.keep_safe(a_catalog(b"second"), ENOUGH + 2)
        assert checkpoints(bucket) == [b"second"]
        uptime.now += TTL
        with pytest.raises(ArchiveUnwritable, match="could not be renewed"):
            place.keep_safe(a_catalog(b"third"), 3 * ENOUGH)
