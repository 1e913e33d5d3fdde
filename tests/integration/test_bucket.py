"""An archive in object storage: nothing is lost, nothing is requested twice, and one process works on a store."""

import gzip
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import obstore
import pytest

from market_photos.archive import layout
from market_photos.archive.objects import Bucket
from market_photos.archive.probe import require_conditional_puts
from market_photos.archive.storage_errors import Conflict
from market_photos.sandbox import running
from tests.integration.buckets import (
    KEYS,
    SLACK,
    TTL,
    Storage,
    ceph_like,
    ministack,
    objects,
    rclone,
    store_of,
    taking_over_after,
    with_leases,
)
from tests.integration.gate import gate
from tests.integration.harness import CAMPAIGN, PATIENCE_S, Outcome, World, a_market, script, wait_until

#: Requests in flight when a run is cut short.
IN_FLIGHT = 4


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """The harder one to please: test_cluster_workers.py has plain ministack."""
    with ceph_like(tmp_path_factory.mktemp("storage")) as storage:
        yield storage


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


class BucketWorld(World):
    """A world whose archive is in a bucket."""

    storage: Storage
    bucket: str

    @property
    def objects(self) -> dict[str, bytes]:
        return objects(store_of(self.storage, self.bucket))

    @property
    def lease(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.objects[f"{CAMPAIGN}/lease.json"])
        return found

    @property
    def checkpoint(self) -> bytes:
        """The checkpoint that counts; nothing where there is none."""
        with suppress(FileNotFoundError):
            lease = json.loads(self.object(f"{CAMPAIGN}/lease.json"))
            return self.object(lease["checkpoint"]) if lease["checkpoint"] else b""
        return b""

    def object(self, key: str) -> bytes:
        return bytes(obstore.get(store_of(self.storage, self.bucket), key).bytes())

    def archived_in_checkpoint(self) -> int:
        """How many photos the checkpoint knows."""
        catalog = self.folder / "checkpoint.sqlite3"
        catalog.write_bytes(gzip.decompress(self.checkpoint))
        with closing(sqlite3.connect(catalog)) as connection:
            [[count]] = connection.execute("SELECT count(*) FROM photos WHERE state = 'archived'")
            return int(count)

    def photos_in_bucket(self) -> list[bytes]:
        others = (layout.RECORD_NAME, layout.HOLD_NAME)
        found = self.objects.items()
        return sorted(content for key, content in found if f"/{layout.PHOTOS}/" in key and not key.endswith(others))

    def assert_photos_are_right(self, *, in_flight: int = 0) -> None:
        """Every photo of the Market is in the bucket as served, with its hash, and was sent once."""
        served = {hashlib.sha256(photo.body).hexdigest(): photo for photo in self.market.photos()}
        assert self.photos_in_bucket() == sorted(photo.body for photo in served.values())
        repeated = sum(count - 1 for count in self.requests_per_photo().values())
        assert repeated <= in_flight, f"{repeated} photos were requested once more than needed"
        for row in self.photo_rows(CAMPAIGN):
            path = self.path_of(CAMPAIGN, row).relative_to(self.archive)
            found = obstore.get(store_of(self.storage, self.bucket), path.as_posix())
            assert found.attributes["sha256"] == row["sha256"].hex() in served

    def sync_after_takeover(self, *options: str, seconds: float = 2.0) -> Outcome:
        """Run `sync` once the lease of a run that is gone may be taken over: `seconds` after its last change."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            outcome = self.end_of(self.start("sync", "--json", "-v", *options, script=taking_over_after(seconds)))
            if outcome.code != 6:
                break
        return outcome

    def another_machine(self, endpoint: str | None = None) -> "BucketWorld":
        """The same bucket, Market and settings, with a scratch folder that is empty."""
        folder = self.folder / f"machine-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        section = self.storage.settings(self.bucket, folder / "scratch")
        section["endpoint"] = endpoint or section["endpoint"]
        other = BucketWorld(self.market, self.sandbox, folder, {**self.settings, "archive": section})
        other.storage, other.bucket = self.storage, self.bucket
        return other


@contextmanager
def a_bucket_world(storage: Storage, folder: Path, *, latency: float = 0.0, **market: Any) -> Iterator[BucketWorld]:
    with running(a_market(**market), latency=latency) as sandbox:
        bucket = storage.make_bucket()
        settings = {"api": {"read_timeout_seconds": 10}, "archive": storage.settings(bucket, folder / "scratch")}
        world = BucketWorld(sandbox.market, sandbox, folder, settings)
        world.storage, world.bucket = storage, bucket
        yield world


def test_a_bucket_gets_every_photo_with_its_hash_and_record(storage: Storage, tmp_path: Path) -> None:
    """Odd hashes included; large photos that do not fit into memory at once, too."""
    with a_bucket_world(storage, tmp_path, odd=True) as world:
        world.market.stores[CAMPAIGN].add_return(photos=1, size=3_000_000)
        outcome = world.program("sync", "--json", "-vv")
        assert outcome.code == 0, outcome.text
        world.assert_photos_are_right()
        assert {row["state"] for row in world.photo_rows(CAMPAIGN)} == {"archived"}
        records = [key for key in world.objects if key.endswith(layout.RECORD_NAME)]
        assert len(records) == len(world.market.stores[CAMPAIGN].returns)
        assert (world.lease["is_released"], world.lease["checkpoint"] in world.objects) == (True, True)
        assert not any(secret in outcome.text for secret in KEYS.values())
        assert not list((world.archive / str(CAMPAIGN)).glob("parts/*"))


def test_the_next_run_on_any_machine_knows_what_the_last_one_did(storage: Storage, tmp_path: Path) -> None:
    """A scratch folder that is lost costs nothing: neither a photo nor the memory of the quota."""
    with a_bucket_world(storage, tmp_path) as world:
        assert world.program("sync").code == 0
        sent = len(world.rows("SELECT * FROM requests"))
        shutil.rmtree(world.archive)
        other = world.another_machine()
        for machine in (world, other, world):
            assert machine.program("sync").code == 0
            machine.assert_photos_are_right()
            sent += 1  # the page of the listing
            assert len(machine.rows("SELECT * FROM requests")) == sent
        assert len([key for key in world.objects if "/catalog/" in key]) == 1


def test_a_store_that_is_at_work_elsewhere_is_left_alone(storage: Storage, tmp_path: Path) -> None:
    with a_bucket_world(storage, tmp_path, latency=1.0, returns=20) as world:
        first = world.start("sync")
        wait_until(lambda: bool(world.log.of("photo")), first)
        second = world.another_machine().program("sync", "--json")
        world.sandbox.latency = 0.0
        assert second.code == 6, second.text
        assert "another run is at work here: `sync`" in second.stderr
        assert world.end_of(first).code == 0
        world.assert_photos_are_right()


@pytest.mark.slow
def test_a_killed_run_is_taken_over_and_the_whole_quota_counts_as_spent(storage: Storage, tmp_path: Path) -> None:
    """Not before its lease has run out. What it put into the bucket is not requested again.

    Nor after a dry run that is the first to come after the kill.
    """
    with a_bucket_world(storage, tmp_path, latency=0.1, returns=12) as world:
        world.settings["limits"] = {"photo_requests": 20, "period_seconds": 6}
        first = world.start("sync")
        wait_until(lambda: len(world.log.of("photo")) >= 10, first)
        first.send_signal(signal.SIGKILL)
        world.end_of(first)
        other = world.another_machine()
        early = other.program("sync", "--json")
        assert early.code == 6, early.text
        assert "If it has died, run this command again in" in early.stderr
        dry = other.sync_after_takeover("--dry-run")
        assert dry.code == 0, dry.text
        assert "taken over from a run that did not end in order" in dry.stderr
        outcome = other.program("sync", "--json", "-v")
        assert outcome.code == 0, outcome.text
        assert world.log.worst_window("photo", 6.0) <= 20
        assert "photos were there already" in outcome.stderr
        assert "warning: store" not in dry.stderr + outcome.stderr
        other.assert_photos_are_right(in_flight=IN_FLIGHT)


@pytest.mark.slow
def test_a_run_killed_after_a_checkpoint_is_taken_over_without_a_look_at_each_photo(
    storage: Storage, tmp_path: Path
) -> None:
    """A long run writes one now and then; only photos that came later are read in the bucket."""
    often = script(
        "from market_photos.archive import bucket",
        "from market_photos.sync import store_run",
        "bucket.CHECKPOINT_BYTES, store_run.HOUSE_SECONDS = 1, 0.2",
    )
    with a_bucket_world(storage, tmp_path, latency=0.1, returns=40) as world:
        world.settings["limits"] = {"photo_requests": 1000, "period_seconds": 1}
        first = world.start("sync", script=often)
        wait_until(lambda: bool(world.checkpoint), first)
        world.sandbox.latency = 0.5
        asked = len(world.log.of("photo"))
        wait_until(lambda: len(world.log.of("photo")) > asked + IN_FLIGHT, first)
        first.send_signal(signal.SIGKILL)
        world.end_of(first)
        world.sandbox.latency = 0.0
        asked, known = len(world.log.of("photo")), world.archived_in_checkpoint()
        with gate(storage.endpoint) as way:
            other = world.another_machine(way.url)
            outcome = other.sync_after_takeover()
            assert outcome.code == 0, outcome.text
            read = [
                passed for passed in way.passed if passed.method == "GET" and passed.path.endswith((".jpg", ".png"))
            ]
        assert known > 0
        assert way.passed
        assert len(read) <= asked - known
        other.assert_photos_are_right(in_flight=IN_FLIGHT)


@pytest.mark.slow
def test_a_paused_run_stops_when_it_wakes_up_after_a_takeover(storage: Storage, tmp_path: Path) -> None:
    """It sends what was on its way at most, and changes neither the lease nor the checkpoint."""
    with a_bucket_world(storage, tmp_path, latency=0.1, returns=12) as world:
        world.settings["limits"] = {"photo_requests": 1000, "period_seconds": 1}
        first = world.start("sync", "--json", script=with_leases())
        wait_until(lambda: len(world.log.of("photo")) >= 8, first)
        first.send_signal(signal.SIGSTOP)
        try:
            other = world.another_machine()
            outcome = other.sync_after_takeover(seconds=TTL + SLACK)
            assert outcome.code == 0, outcome.text
            asked, lease, checkpoint = len(world.log.of("photo")), other.lease, other.checkpoint
        finally:
            first.send_signal(signal.SIGCONT)
        woken = world.end_of(first)
        assert woken.code in (5, 6), woken.text
        assert len(world.log.of("photo")) - asked <= IN_FLIGHT
        assert (other.lease, other.checkpoint) == (lease, checkpoint)
        other.assert_photos_are_right(in_flight=2 * IN_FLIGHT)


@pytest.mark.slow
def test_a_run_that_is_cut_off_from_the_bucket_stops_and_says_so(tmp_path: Path) -> None:
    """At the latest when its lease runs out. When the storage is back, the next run goes on."""
    with ExitStack() as stack:
        storage = stack.enter_context(ministack(tmp_path))
        world = stack.enter_context(a_bucket_world(storage, tmp_path, latency=0.5, returns=30))
        world.settings["limits"] = {"photo_requests": 1000, "period_seconds": 1}
        process = world.start("sync", "--json", script=with_leases())
        wait_until(lambda: len(world.log.of("photo")) >= 8, process)
        storage.process.send_signal(signal.SIGSTOP)
        cut_off = time.monotonic()
        try:
            outcome = world.end_of(process)
        finally:
            storage.process.send_signal(signal.SIGCONT)
        assert outcome.code == 5, outcome.text
        assert "s3://" in outcome.stderr
        assert max(entry.arrived for entry in world.log.of("photo")) < cut_off + TTL + SLACK
        world.sandbox.latency = 0.0
        assert world.sync_after_takeover().code == 0
        world.assert_photos_are_right(in_flight=2 * IN_FLIGHT)


def test_a_run_does_not_remove_the_checkpoint_of_a_run_that_took_over(storage: Storage, tmp_path: Path) -> None:
    """A process may be paused after it named its checkpoint, and clean up when another has written a later one."""
    with a_bucket_world(storage, tmp_path) as world:
        assert world.program("sync").code == 0
        first, later = world.lease["checkpoint"], f"{CAMPAIGN}/catalog/9999999999.sqlite3.gz"
        obstore.put(store_of(storage, world.bucket), later, b"a later checkpoint")
        assert world.program("sync").code == 0
        assert later in world.objects
        assert first not in world.objects


def test_a_storage_that_ignores_conditions_is_refused_by_the_name_of_the_feature(tmp_path: Path) -> None:
    with ExitStack() as stack:
        storage = stack.enter_context(rclone(tmp_path))
        world = stack.enter_context(a_bucket_world_of(storage, tmp_path))
        outcome = world.program("sync", "-vv")
        assert outcome.code == 5, outcome.text
        assert "If-None-Match: *" in outcome.stderr
        assert world.log.entries == []
        assert not any(secret in outcome.text for secret in KEYS.values())
        assert [path.name for path in (tmp_path / "served").rglob("*") if path.is_file()] == []


@contextmanager
def a_bucket_world_of(storage: Storage, folder: Path) -> Iterator[World]:
    """A world in a bucket of rclone, which is a folder."""
    (folder / "served" / "bucket").mkdir()
    with running(a_market()) as sandbox:
        yield World(sandbox.market, sandbox, folder, {"archive": storage.settings("bucket", folder / "scratch")})


def test_a_storage_that_ignores_conditions_is_refused_for_upkeep_too(tmp_path: Path) -> None:
    with ExitStack() as stack:
        storage = stack.enter_context(rclone(tmp_path))
        world = stack.enter_context(a_bucket_world_of(storage, tmp_path))
        mine = tmp_path / "served" / "bucket" / "market" / str(CAMPAIGN) / layout.PHOTOS / "mine.txt"
        mine.parent.mkdir(parents=True)
        mine.write_text("mine")
        outcome = world.program("rebuild")
        assert (outcome.code, "If-None-Match: *" in outcome.stderr) == (5, True), outcome.text
        assert [path for path in (tmp_path / "served").rglob("*") if path.is_file()] == [mine]


def test_a_lost_race_is_a_conflict_where_the_storage_first_answers_500(storage: Storage) -> None:
    """Then the run whose lease another one took says so, instead of that the storage does not answer."""
    bucket = Bucket(f"s3://{storage.make_bucket()}/market", storage.endpoint)
    require_conditional_puts(bucket)
    etag = bucket.create("lease.json", b"1")
    bucket.swap("lease.json", b"2", etag)
    with pytest.raises(Conflict):
        bucket.swap("lease.json", b"3", etag)


def test_a_bucket_that_does_not_exist_is_named(storage: Storage, tmp_path: Path) -> None:
    with running(a_market()) as sandbox:
        section = storage.settings("no-such-bucket", tmp_path / "scratch")
        world = World(sandbox.market, sandbox, tmp_path, {"archive": section})
        outcome = world.program("sync", "-vv")
        assert outcome.code == 5, outcome.text
        assert "s3://no-such-bucket/market" in outcome.stderr
        assert "NoSuchBucket" in outcome.stderr
        assert "make the bucket" in outcome.stderr
        assert world.log.entries == []


def test_a_run_whose_lease_is_removed_stops_and_leaves_no_checkpoint(storage: Storage, tmp_path: Path) -> None:
    """By somebody who cleans up in the bucket: another run may begin at once."""
    often_renewed = script("from market_photos.archive import lease", "lease.RENEW_SECONDS = 1.0")
    with a_bucket_world(storage, tmp_path, latency=0.2, returns=60) as world:
        world.settings["limits"] = {"photo_requests": 1000, "period_seconds": 1}
        process = world.start("sync", script=often_renewed)
        wait_until(lambda: len(world.log.of("photo")) >= 8, process)
        obstore.delete(store_of(storage, world.bucket), f"{CAMPAIGN}/lease.json")
        outcome = world.end_of(process)
        assert outcome.code == 6, outcome.text
        assert "taken this store over" in outcome.stderr
        assert f"{CAMPAIGN}/lease.json" not in world.objects


def test_a_damaged_checkpoint_is_told_and_nothing_is_requested(storage: Storage, tmp_path: Path) -> None:
    with a_bucket_world(storage, tmp_path) as world:
        assert world.program("sync").code == 0
        obstore.put(store_of(storage, world.bucket), world.lease["checkpoint"], os.urandom(100))
        asked = len(world.log.of("returns"))
        other = world.another_machine()
        outcome = other.program("sync")
        assert outcome.code == 9, outcome.text
        assert "market-photos rebuild" in outcome.stderr
        assert len(world.log.of("returns")) == asked
        assert world.lease["is_released"]


def test_status_tells_of_any_machine(storage: Storage, tmp_path: Path) -> None:
    with a_bucket_world(storage, tmp_path, latency=0.3, returns=20) as world:
        other = world.another_machine()
        assert other.program("status").code == 0
        assert world.program("sync", "--max-photos", "3").code == 7
        told = json.loads(other.program("status", "--json").stdout)
        assert told["archive"] == f"s3://{world.bucket}/market"
        [store] = told["stores"]
        assert (store["archived"], store["pending"], store["at_work"]) == (3, 37, None)
        world.sandbox.latency = 1.0
        first = world.start("sync")
        wait_until(lambda: len(world.log.of("photo")) > 5, first)
        [store] = json.loads(other.program("status", "--json").stdout)["stores"]
        world.sandbox.latency = 0.0
        assert f"process {first.pid} on" in store["at_work"]
        assert world.end_of(first).code == 0
        [store] = json.loads(other.program("status", "--json").stdout)["stores"]
        assert (store["archived"], store["at_work"], store["last_run"]["exit_code"]) == (40, None, 0)


def test_a_pack_and_a_table_are_exported_from_a_bucket(storage: Storage, tmp_path: Path) -> None:
    with a_bucket_world(storage, tmp_path) as world:
        assert world.program("sync").code == 0
        other = world.another_machine()
        back = next(iter(world.market.stores[CAMPAIGN].returns.values()))
        outcome = other.program("export", "--order", str(back.order), "--out", str(tmp_path / "pack.zip"))
        assert outcome.code == 0, outcome.text
        with zipfile.ZipFile(tmp_path / "pack.zip") as pack:
            bodies = {pack.read(name) for name in pack.namelist()}
        assert {photo.body for photo in world.market.stores[CAMPAIGN].photos(back)} <= bodies
        outcome = other.program("export", "--order", str(back.order), "--out", str(tmp_path / "pack.pdf"), "--pdf")
        assert outcome.code == 0, outcome.text
        pdf = (tmp_path / "pack.pdf").read_bytes()
        assert (pdf[:4], pdf.count(b"/Subtype /Image")) == (b"%PDF", len(world.market.stores[CAMPAIGN].photos(back)))
        outcome = other.program("export", "--format", "jsonl", "--out", "-")
        assert len(outcome.stdout.splitlines()) == len(world.market.photos())
        gone = next(key for key in world.objects if key.endswith(".jpg") and str(back.order) in key)
        obstore.delete(store_of(storage, world.bucket), gone)
        outcome = other.program("export", "--order", str(back.order), "--out", str(tmp_path / "2.zip"))
        assert (outcome.code, f"s3://{world.bucket}/market/{gone}: is missing" in outcome.stderr) == (10, True)


def test_doctor_tries_the_bucket(storage: Storage, tmp_path: Path) -> None:
    with a_bucket_world(storage, tmp_path) as world:
        outcome = world.program("doctor")
        assert outcome.code == 0, outcome.text
        assert f"ok: the bucket s3://{world.bucket}/market can be written" in outcome.text
        assert "of 20 at once one won" in outcome.text
        assert world.objects == {}


def test_doctor_names_what_a_storage_lacks(tmp_path: Path) -> None:
    with ExitStack() as stack:
        storage = stack.enter_context(rclone(tmp_path))
        world = stack.enter_context(a_bucket_world_of(storage, tmp_path))
        outcome = world.program("doctor")
        assert outcome.code == 5, outcome.text
        assert "If-None-Match: *" in outcome.text


def test_verify_finds_and_repairs_what_changed_in_a_bucket(storage: Storage, tmp_path: Path) -> None:
    """Sizes by listing; with --full every byte. What changed is set aside and comes again with the next sync."""
    with a_bucket_world(storage, tmp_path) as world:
        assert world.program("sync").code == 0
        other, store = world.another_machine(), store_of(storage, world.bucket)
        assert other.program("verify", "--full").code == 0
        photos = sorted(key for key in world.objects if key.endswith((".jpg", ".png")))
        whole = world.objects
        obstore.delete(store, photos[0])
        obstore.put(store, photos[1], whole[photos[1]] + b"x")
        obstore.put(store, photos[2], whole[photos[2]][:-1] + b"x")
        obstore.put(store, f"{CAMPAIGN}/photos/mine.txt", b"mine")
        found = json.loads(other.program("verify", "--json").stdout)["stores"][0]
        assert (found["missing"], found["changed"], found["unknown"]) == (1, 1, 1)
        outcome = other.program("verify", "--full", "--repair", "--json")
        assert outcome.code == 10, outcome.text
        found = json.loads(outcome.stdout)["stores"][0]
        assert (found["missing"], found["changed"], found["queued"], found["set_aside"]) == (1, 2, 3, 2)
        aside = [content for key, content in world.objects.items() if f"/{layout.SET_ASIDE}/" in key]
        assert sorted(aside) == sorted([whole[photos[1]] + b"x", whole[photos[2]][:-1] + b"x"])
        assert world.program("sync").code == 0
        obstore.delete(store, f"{CAMPAIGN}/photos/mine.txt")
        assert world.program("verify", "--full").code == 0
        assert world.objects[photos[0]] == whole[photos[0]]


@pytest.mark.parametrize("lost", ["checkpoint", "lease"])
def test_a_lost_catalogue_is_rebuilt_from_the_bucket(storage: Storage, tmp_path: Path, lost: str) -> None:
    """No photo is requested twice; the whole quota counts as spent."""
    with a_bucket_world(storage, tmp_path, odd=True) as world:
        world.settings["limits"] = {"photo_requests": 50, "period_seconds": 2}
        assert world.program("sync").code == 0
        store = store_of(storage, world.bucket)
        obstore.put(store, world.lease["checkpoint"], b"no checkpoint")
        if lost == "lease":
            obstore.delete(store, f"{CAMPAIGN}/lease.json")
        other = world.another_machine()
        outcome = other.program("sync")
        assert (outcome.code, "market-photos rebuild" in outcome.stderr) == (9, True), outcome.text
        outcome = other.program("rebuild")
        assert outcome.code == 0, outcome.text
        assert len(other.rows("SELECT * FROM requests WHERE method = 'photo'")) == 50
        assert world.another_machine().program("verify", "--full").code == 0
        assert other.program("sync").code == 0
        other.assert_photos_are_right()


def test_prune_and_hold_work_on_a_bucket(storage: Storage, tmp_path: Path) -> None:
    """Photos and records go, tombstones stay; what is on hold stays."""
    with a_bucket_world(storage, tmp_path) as world:
        assert world.program("sync").code == 0
        other = world.another_machine()
        held, *_ = world.market.stores[CAMPAIGN].returns.values()
        outcome = other.program("hold", "--return", str(held.id))
        assert outcome.code == 0, outcome.text
        assert [key for key in world.objects if key.endswith("/hold")] == [
            f"{CAMPAIGN}/photos/{held.created:%Y-%m}/{held.order}-{held.id}/hold"
        ]
        outcome = world.another_machine().program("prune", "--older-than", "1d", "--yes")
        assert outcome.code == 0, outcome.text
        left = [key for key in world.objects if key.endswith((".jpg", ".png", layout.RECORD_NAME))]
        assert left
        assert all(f"{held.order}-{held.id}/" in key for key in left)
        tombstones = [key for key in world.objects if key.endswith(layout.TOMBSTONE_NAME)]
        assert len(tombstones) == len(world.market.stores[CAMPAIGN].returns) - 1
        asked = len(world.log.of("photo"))
        assert world.program("sync", "--full").code == 0
        assert len(world.log.of("photo")) == asked
        assert other.program("release", "--return", str(held.id)).code == 0
        assert not [key for key in world.objects if key.endswith("/hold")]


def test_a_change_beside_a_run_on_another_machine_is_refused(storage: Storage, tmp_path: Path) -> None:
    with a_bucket_world(storage, tmp_path, latency=0.3, returns=80) as world:
        assert world.program("sync", "--max-photos", "2").code == 7
        first = world.start("sync")
        wait_until(lambda: len(world.log.of("photo")) > 4, first)
        other = world.another_machine()
        outcomes = [
            other.program(*command)
            for command in (("verify", "--repair"), ("prune", "--older-than", "1d", "--yes"), ("verify",))
        ]
        first.terminate()
        assert world.end_of(first).code == 143
        assert [outcome.code for outcome in outcomes] == [6, 6, 0], outcomes


def test_browse_shows_the_photos_of_a_bucket(storage: Storage, tmp_path: Path) -> None:
    with a_bucket_world(storage, tmp_path) as world:
        assert world.program("sync").code == 0
        other = world.another_machine()
        process = other.start("browse", "--port", "0")
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            back = next(iter(world.market.stores[CAMPAIGN].returns.values()))
            page = _read(f"{address}return/{CAMPAIGN}/{back.order}/{back.id}").decode()
            names = sorted(set(re.findall(rf"/thumb/{CAMPAIGN}/{back.order}/{back.id}/([^\"?]+)", page)))
            served = {_read(f"{address}file/{CAMPAIGN}/{back.order}/{back.id}/{name}") for name in names}
            assert served == {photo.body for photo in world.market.stores[CAMPAIGN].photos(back)}
            assert _read(f"{address}thumb/{CAMPAIGN}/{back.order}/{back.id}/{names[0]}").startswith(b"\xff\xd8")
        finally:
            process.terminate()
            other.end_of(process)


def _read(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=30) as answer:
        content: bytes = answer.read()
        return content


def test_an_archive_is_copied_to_a_bucket_and_back_with_its_history(storage: Storage, tmp_path: Path) -> None:
    """Photos, records, holds, tombstones and runs; the source stays as it is, and nothing is requested again."""
    with a_bucket_world(storage, tmp_path, odd=True) as world:
        bucket_settings = world.settings.pop("archive")
        assert world.program("sync").code == 0
        held, *_ = world.market.stores[CAMPAIGN].returns.values()
        assert world.program("hold", "--return", str(held.id)).code == 0
        before = _tree(world.folder / "archive")
        world.settings["archive"] = {"scratch": str(world.folder / "scratch")}
        outcome = world.program("copy", "--to", bucket_settings["url"], "--endpoint", storage.endpoint)
        assert outcome.code == 0, outcome.text
        assert {path: data for path, data in _tree(world.folder / "archive").items() if path in before} == before
        world.settings["archive"] = bucket_settings
        world.settings["limits"] = {"period_seconds": 2}
        asked = len(world.log.of("photo"))
        other = world.another_machine()
        assert other.program("sync").code == 0
        assert len(world.log.of("photo")) == asked
        other.assert_photos_are_right()
        assert [key for key in world.objects if key.endswith("/hold")]
        outcome = other.program("copy", "--to", str(tmp_path / "back"))
        assert outcome.code == 0, outcome.text
        back = _tree(tmp_path / "back")
        assert {path: back[path] for path in before if f"/{layout.PHOTOS}/" in path} == {
            path: data for path, data in before.items() if f"/{layout.PHOTOS}/" in path
        }
        again = other.program("copy", "--to", str(tmp_path / "back"))
        assert (again.code, "is in" in again.stderr) == (0, True)


def test_a_copy_goes_on_where_it_stopped_and_takes_no_changed_photo(storage: Storage, tmp_path: Path) -> None:
    with a_bucket_world(storage, tmp_path) as world:
        bucket_settings = world.settings.pop("archive")
        assert world.program("sync").code == 0
        world.settings["archive"] = {"scratch": str(world.folder / "scratch")}
        command = ("copy", "--to", bucket_settings["url"], "--endpoint", storage.endpoint)
        changed = world.files()[0]
        whole = changed.read_bytes()
        changed.write_bytes(whole[:-1] + b"x")
        outcome = world.program(*command)
        assert (outcome.code, changed.name in outcome.stderr) == (10, True), outcome.text
        changed.write_bytes(whole)
        outcome = world.program(*command)
        assert outcome.code == 0, outcome.text
        assert f"{len(world.market.photos())} photos compared" in outcome.stderr
        assert world.photos_in_bucket() == sorted(photo.body for photo in world.market.photos())


def _tree(folder: Path) -> dict[str, bytes]:
    """The files of an archive but for locks and what a run in it writes anew."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix in {".jpg", ".png", ".json", ""}]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_dry_run_and_a_backfill_work_on_a_bucket(storage: Storage, tmp_path: Path) -> None:
    with a_bucket_world(storage, tmp_path) as world:
        outcome = world.program("sync", "--dry-run", "--json")
        assert (outcome.code, json.loads(outcome.stdout)["would_fetch"]) == (0, len(world.market.photos()))
        assert world.photos_in_bucket() == []
        outcome = world.another_machine().program("backfill", "--from", "2020-01-01")
        assert outcome.code == 0, outcome.text
        outcome = world.another_machine().program("awaiting", "--json")
        assert outcome.code == 0, outcome.text
        assert world.photos_in_bucket() == sorted(photo.body for photo in world.market.photos())


def test_without_the_extra_the_command_says_how_to_install_it(tmp_path: Path) -> None:
    with running(a_market()) as sandbox:
        world = World(
            sandbox.market, sandbox, tmp_path, {"archive": {"url": "s3://b/m", "scratch": str(tmp_path / "s")}}
        )
        script = "import sys; sys.modules['obstore'] = None\nfrom market_photos.cli.main import main\nmain()"
        outcome = world.end_of(world.start("sync", script=script))
        assert outcome.code == 2, outcome.text
        assert "pip install '.[s3]'" in outcome.stderr
