"""Several stores in a bucket, seen from machines that have an empty scratch folder."""

import signal
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from market_photos.archive.objects import Bucket
from market_photos.archive.places import open_archive
from market_photos.sandbox import ALWAYS, actions
from tests.integration.buckets import KEYS, Storage, objects, store_of, taking_over_after
from tests.integration.harness import CAMPAIGN, script, wait_until
from tests.integration.test_bucket import BucketWorld, a_bucket_world

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("keys")]
OTHER = CAMPAIGN + 1


@pytest.fixture
def world(storage: Storage, tmp_path: Path) -> Iterator[BucketWorld]:
    """A store that a run has archived."""
    with a_bucket_world(storage, tmp_path) as world:
        assert world.program("sync").code == 0
        yield world


def test_a_machine_that_is_new_serves_a_known_store_although_the_list_of_stores_fails(world: BucketWorld) -> None:
    world.sandbox.faults.add(actions.status(500), kind="campaigns", times=ALWAYS)
    world.market.stores[CAMPAIGN].add_return(photos=1)
    other = world.another_machine()
    other.settings["campaigns"] = {"ids": [CAMPAIGN]}
    outcome = other.program("sync")
    assert outcome.code == 0, outcome.text
    other.assert_photos_are_right()


def test_a_broken_lease_of_a_store_that_the_key_does_not_see_leaves_the_report_of_the_others(
    world: BucketWorld,
) -> None:
    obstore.put(store_of(world.storage, world.bucket), f"{OTHER}/lease.json", b"{}")
    world.market.stores[CAMPAIGN].add_return(photos=1)
    outcome = world.another_machine().program("sync", "--json")
    assert outcome.code == 9, outcome.text
    codes = {store["campaign"]: store["exit_code"] for store in outcome.json["stores"]}
    assert codes == {CAMPAIGN: 0, OTHER: 9}
    assert outcome.json["downloaded"] == 1


def test_a_shard_leaves_the_catalogues_of_the_other_shards_alone(world: BucketWorld) -> None:
    parts = [world.another_machine() for _ in range(2)]
    for number, machine in enumerate(parts, 1):
        assert machine.program("sync", "--shard", f"{number}/2").code == 0
    has_catalog = [(machine.archive / str(CAMPAIGN)).exists() for machine in parts]
    assert sorted(has_catalog) == [False, True]


def test_a_checkpoint_that_a_run_replaces_while_it_is_read_is_read_again(
    world: BucketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Bucket.chunks
    replaced: list[str] = []

    def beside_a_run(bucket: Bucket, key: str) -> Iterator[bytes]:
        if not replaced and "/catalog/" in key:
            replaced.append(key)
            assert world.program("sync").code == 0
        return read(bucket, key)

    monkeypatch.setattr(Bucket, "chunks", beside_a_run)
    other = world.another_machine()
    open_archive(other.as_settings().archive).fetch()
    assert (replaced, replaced[0] in world.objects) == ([replaced[0]], False)
    assert {row["state"] for row in other.photo_rows(CAMPAIGN)} == {"archived"}


def test_a_scratch_folder_serves_one_archive(world: BucketWorld) -> None:
    """It would show the stores of another one, and a run could take its catalogue for this one's."""
    before = world.objects
    bucket = world.storage.make_bucket()
    world.settings["archive"] = {**world.settings["archive"], "url": f"s3://{bucket}/market"}
    for command in ("sync", "status"):
        outcome = world.program(command)
        assert outcome.code == 2, outcome.text
        assert f"holds the catalogues of s3://{world.bucket}/market" in outcome.stderr
    assert objects(store_of(world.storage, bucket)) == {}
    assert world.objects == before


def test_a_mistyped_bucket_does_not_keep_the_scratch_folder(storage: Storage, tmp_path: Path) -> None:
    """It has no store, so the folder is free for the right one."""
    with a_bucket_world(storage, tmp_path) as world:
        right = world.settings["archive"]
        world.settings["archive"] = {**right, "url": "s3://bucket-oen/market"}
        for command in ("sync", "status"):
            outcome = world.program(command)
            assert (outcome.code, "NoSuchBucket" in outcome.stderr) == (5, True), outcome.text
        world.settings["archive"] = right
        assert world.program("sync").code == 0
        assert world.program("status").code == 0


def test_a_signal_while_the_first_store_opens_leaves_its_lease_released(storage: Storage, tmp_path: Path) -> None:
    """Otherwise its next run would wait for the lease to run out, and for an hour of quota."""
    begun = tmp_path / "swap-begun"
    slow_swaps = script(
        "import pathlib, time",
        "from market_photos.archive.objects import Bucket",
        "swap = Bucket.swap",
        "def slow(bucket, key, *rest):",
        f"    if key.endswith('lease.json'): pathlib.Path({str(begun)!r}).touch(); time.sleep(1)",
        "    return swap(bucket, key, *rest)",
        "Bucket.swap = slow",
    )
    with a_bucket_world(storage, tmp_path) as world:
        process = world.start("sync", script=slow_swaps)
        wait_until(begun.exists, process)
        process.send_signal(signal.SIGTERM)
        outcome = world.end_of(process)
        assert outcome.code == 143, outcome.text
        assert world.lease["is_released"]
        assert world.log.of("photo") == []


@pytest.mark.parametrize("becomes", [b"edited", None])
def test_a_store_whose_lease_is_damaged_or_gone_is_rebuilt_on_the_machine_of_its_last_run(
    world: BucketWorld, becomes: bytes | None
) -> None:
    """The scratch folder there holds a sound catalogue, of which nobody knows whether it is the last one."""
    store, key = store_of(world.storage, world.bucket), f"{CAMPAIGN}/lease.json"
    obstore.delete(store, key) if becomes is None else obstore.put(store, key, becomes)
    world.settings["limits"] = {"period_seconds": 1.0}
    outcome = world.program("sync")
    assert (outcome.code, "market-photos rebuild" in outcome.stderr) == (9, True), outcome.text
    outcome = world.end_of(world.start("rebuild", script=taking_over_after(0.0)))
    assert outcome.code == 0, outcome.text
    assert world.lease["is_released"]
    outcome = world.program("sync")
    assert outcome.code == 0, outcome.text
    world.assert_photos_are_right()


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"])
def test_a_key_with_a_line_break_is_told_by_every_command_and_the_run_is_on_record(
    world: BucketWorld, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    requests = len(world.log.entries)
    monkeypatch.setenv(name, f"{KEYS['AWS_ACCESS_KEY_ID']}\n")
    for command in (("sync", "--json"), ("status",), ("doctor",)):
        outcome = world.program(*command)
        assert (outcome.code, f"{name}: holds a space, a line break" in outcome.text) == (2, True), outcome.text
    world.assert_no_key()
    monkeypatch.setenv(name, KEYS["AWS_ACCESS_KEY_ID"])
    assert world.program("status", "--json").json["last_run"]["exit_code"] == 2
    assert len([entry for entry in world.log.entries[requests:] if entry.kind == "photo"]) == 0
