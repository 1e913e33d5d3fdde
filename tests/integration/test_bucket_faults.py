"""A storage that fails for a moment: requests are repeated, nothing is lost, and nothing is requested twice."""

import asyncio
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from yarl import URL

from market_photos.archive import objects
from market_photos.archive.objects import UPLOADS, Bucket
from market_photos.archive.patience import Patience
from market_photos.archive.storage_errors import Conflict
from market_photos.errors import ArchiveUnwritable
from tests.integration.buckets import KEYS, Storage, ministack
from tests.integration.faults import Fault, FaultyStorage, faulty
from tests.integration.harness import fill
from tests.integration.test_bucket import a_bucket_world

ETAG = '"0123456789abcdef0123456789abcdef"'


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with ministack(tmp_path_factory.mktemp("storage")) as storage:
        yield storage


@pytest.fixture
def storage(behind: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyStorage]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with faulty(behind) as storage:
        yield storage


@pytest.fixture
def bucket(storage: FaultyStorage) -> Bucket:
    return Bucket(f"s3://{storage.make_bucket()}/market", storage.endpoint, Patience(5.0, pause=lambda failed: 0.0))


def fail_with(storage: FaultyStorage, *faults: Fault | None) -> None:
    """Let the next requests meet these faults, and those after them none."""
    left = list(faults)
    storage.chooses = lambda *_: left.pop(0) if left else None


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.DENIED])
def test_every_request_is_repeated(storage: FaultyStorage, bucket: Bucket, fault: Fault) -> None:
    """Also a conditional put that was done although its answer was lost."""
    faults = [fault] * 7
    fail_with(storage, *faults)
    etag = bucket.create("7/lease.json", b"a")
    fail_with(storage, *faults)
    etag = bucket.swap("7/lease.json", b"b", etag)
    fail_with(storage, *faults)
    found = bucket.get("7/lease.json")
    assert found
    assert (found.content, found.etag) == (b"b", etag)
    for request in (
        lambda: bucket.put("7/a", b"a"),
        lambda: bucket.head("7/a"),
        bucket.folders,
        lambda: bucket.piece("7/a", 0, 1),
        lambda: bucket.copy("7/a", "7/b"),
        lambda: bucket.remove("7/b"),
    ):
        fail_with(storage, *faults)
        request()


@pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.LOST_REQUEST, Fault.LOST_ANSWER])
def test_a_listing_and_a_stream_are_repeated(storage: FaultyStorage, bucket: Bucket, fault: Fault) -> None:
    bucket.put("7/a", b"a")
    fail_with(storage, fault)
    assert [found.key for found in bucket.walk("7/")] == ["7/a"]
    fail_with(storage, fault)
    assert b"".join(bucket.chunks("7/a")) == b"a"


def test_a_photo_whose_answer_was_lost_is_found_to_be_there(storage: FaultyStorage, bucket: Bucket) -> None:
    fail_with(storage, Fault.LOST_ANSWER)
    with pytest.raises(Conflict):
        asyncio.run(bucket.create_async("7/a.jpg", b"photo", {"sha256": "1"}))
    found = bucket.head("7/a.jpg")
    assert found
    assert found.attributes["sha256"] == "1"


@pytest.mark.parametrize(("scheme", "cause"), [("http", "it takes too long"), ("https", "it does not speak https")])
def test_a_storage_without_a_usable_answer_is_told_with_its_address_and_the_cause(
    behind: Storage, keys: None, monkeypatch: pytest.MonkeyPatch, scheme: str, cause: str
) -> None:
    """One that accepts connections and is silent, and one that is reached by the wrong scheme."""
    monkeypatch.setattr(objects, "SHORT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if scheme == "http" else URL(behind.endpoint).port
        endpoint = f"{scheme}://127.0.0.1:{port}"
        with pytest.raises(ArchiveUnwritable) as caught:
            Bucket("s3://bucket/market", endpoint, Patience(0.0)).folders()
    assert caught.value.message == f"s3://bucket/market/: no usable answer from {endpoint}: {cause}."


def test_a_condition_that_does_not_hold_is_no_fault(storage: FaultyStorage, bucket: Bucket) -> None:
    bucket.create("7/lease.json", b"a")
    fail_with(storage, Fault.SLOW_DOWN)
    with pytest.raises(Conflict):
        bucket.create("7/lease.json", b"b")
    with pytest.raises(Conflict):
        bucket.swap("7/lease.json", b"b", ETAG)
    with pytest.raises(Conflict):
        bucket.swap("7/no-lease.json", b"b", ETAG)


def test_no_attempt_is_made_once_the_lease_is_lost(storage: FaultyStorage, bucket: Bucket) -> None:
    """A process that stood still must not write when it wakes, nor repeat what had failed."""
    asked = []

    def require_valid() -> None:
        asked.append("")
        if len(asked) > 2:
            raise ArchiveUnwritable("the lease is lost")

    storage.chooses = lambda *_: Fault.SLOW_DOWN
    with pytest.raises(ArchiveUnwritable, match="the lease is lost"):
        bucket.while_valid(require_valid).put("7/a", b"a")
    assert len(storage.requests) == 2 + 1  # the bucket was made
    with pytest.raises(ArchiveUnwritable, match="the lease is lost"):
        asyncio.run(bucket.while_valid(require_valid).create_async("7/a", b"a", {}))
    assert len(storage.requests) == 2 + 1


@pytest.mark.parametrize(("size", "attempts"), [(3_000_000, 1), (100_000, 2)])
def test_a_large_body_has_more_time_and_each_attempt_twice_as_much(
    storage: FaultyStorage, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, size: int, attempts: int
) -> None:
    """The line may be slow: 400 uploads that share one would time out together, again and again."""
    monkeypatch.setattr(objects, "SHORT_SECONDS", 1)
    storage.delay = 1.4
    bucket.put("7/a.jpg", b"x" * size)
    assert len([request for request, _ in storage.requests if "a.jpg" in request]) == attempts
    with pytest.raises(ArchiveUnwritable):
        Bucket(bucket.url, storage.endpoint, Patience(0.0)).put("7/lease.json", b"small")


def test_so_many_photos_are_uploaded_at_once(storage: FaultyStorage, bucket: Bucket) -> None:
    async def upload_all() -> None:
        held = bucket.while_valid(lambda: None)
        await asyncio.gather(*(held.create_async(f"7/{number}.jpg", b"photo", {}) for number in range(UPLOADS * 2)))

    storage.delay = 0.3
    asyncio.run(upload_all())
    assert UPLOADS / 2 < storage.most_at_once <= UPLOADS


def test_a_storage_that_fails_now_and_then_costs_a_run_nothing(storage: FaultyStorage, tmp_path: Path) -> None:
    """Of its answers 10 % are 503, and 5 % of the connections are reset, before or after the storage did its part."""
    chance = random.Random(20)
    faults = [Fault.SLOW_DOWN] * 20 + [Fault.LOST_REQUEST] * 5 + [Fault.LOST_ANSWER] * 5 + [None] * 170
    with a_bucket_world(storage, tmp_path, returns=20) as world:
        storage.chooses = lambda *_: chance.choice(faults)
        outcome = world.program("sync", "--json")
        storage.chooses = lambda *_: None
        assert outcome.code == 0, outcome.text
        assert world.lease["is_released"]
        world.assert_photos_are_right()
        assert len([fault for _, fault in storage.requests if fault]) > 10


def test_a_run_outlives_a_storage_that_is_away_for_seconds(storage: FaultyStorage, tmp_path: Path) -> None:
    """All its connections are reset, those for the lease included."""
    with a_bucket_world(storage, tmp_path, latency=0.05, returns=30) as world:
        until: list[float] = []

        def away(method: str, path: str) -> Fault | None:
            if "/photos/" in path and not until:
                until.append(time.monotonic() + 3)
            return Fault.LOST_REQUEST if until and time.monotonic() < until[0] else None

        storage.chooses = away
        outcome = world.program("sync", "--json")
        assert outcome.code == 0, outcome.text
        assert len([fault for _, fault in storage.requests if fault]) > 5
        world.assert_photos_are_right()


def test_a_store_whose_folder_is_forbidden_costs_the_others_nothing(storage: FaultyStorage, tmp_path: Path) -> None:
    """By a policy of the bucket, say. What it lacks is fetched when the store is allowed again."""
    with a_bucket_world(storage, tmp_path, returns=3) as world:
        for number in (102, 103):
            fill(world.market.add_store(number), returns=3)
        storage.chooses = lambda method, path: Fault.DENIED if method == "PUT" and "/102/photos/" in path else None
        outcome = world.program("sync", "--json")
        assert outcome.code == 5, outcome.text
        assert {store["campaign"]: store["exit_code"] for store in outcome.json["stores"]} == {101: 0, 102: 5, 103: 0}
        assert "AccessDenied" in outcome.json["stores"][1]["error"]
        storage.chooses = lambda *_: None
        assert world.program("sync", "-q").code == 0
