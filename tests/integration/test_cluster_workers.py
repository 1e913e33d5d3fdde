"""`sync --cluster` and `worker`: several machines, one bucket; each row of what may fail.

A machine is a process with a scratch folder of its own.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from unittest.mock import patch

import pytest

from market_photos.cluster.engine import BATCHES_AT_ONCE
from market_photos.sandbox import Market, running
from tests.integration.buckets import (
    KEYS,
    SLACK,
    TTL,
    Storage,
    free_port,
    objects,
    store_of,
    with_leases,
)
from tests.integration.gate import Gate, gate
from tests.integration.harness import NOW, World, assert_adds_up, fill, wait_until

for name in ("distributed", "cryptography"):
    pytest.importorskip(name, reason="the extra `cluster` is not installed")
pytestmark = pytest.mark.slow

STORES = 6
PHOTOS = 20
IN_FLIGHT = 4
#: Seconds of a quota that counts as spent when a store is taken over: so long that what came before counts, too.
PERIOD = int(TTL + SLACK) + 4
#: With leases that run out soon.
PROGRAM = with_leases()


class Cluster:
    """A scheduler, a bucket, and the machines that work on it."""

    def __init__(self, world: World, storage: Storage, bucket: str, stack: ExitStack) -> None:
        self.world = world
        self.storage = storage
        self.bucket = bucket
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.limits = {"photo_requests": 1000, "period_seconds": 1}
        self._stack = stack
        self.scheduler = self._start_scheduler()

    def _start_scheduler(self) -> "subprocess.Popen[bytes]":
        host, port = self.address.removeprefix("tcp://").split(":")
        command = [str(Path(sys.executable).with_name("dask")), "scheduler", "--host", host, "--port", port]
        environment = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "2s"}
        log = self._stack.enter_context((self.world.folder / "scheduler.log").open("wb"))
        process = subprocess.Popen([*command, "--no-dashboard"], env=environment, stdout=log, stderr=log)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def machine(self, market: str = "", bucket: str = "") -> World:
        """A machine; it reaches the Market and the bucket at these addresses."""
        folder = self.world.folder / f"machine-{len(list(self.world.folder.glob('machine-*')))}"
        folder.mkdir()
        archive = self.storage.settings(self.bucket, folder / "scratch")
        archive["endpoint"] = bucket or archive["endpoint"]
        settings = {"archive": archive, "limits": self.limits, "api": {"base_url": market} if market else {}}
        return World(self.world.market, self.world.sandbox, folder, settings)

    def worker(self, address: str = "", **ways: str) -> "subprocess.Popen[str]":
        """Start a worker, and wait until it is at work. `address` is its way to the scheduler."""
        process = self.machine(**ways).start("worker", address or self.address, script=PROGRAM)
        self._stack.callback(process.communicate)
        self._stack.callback(process.kill)
        assert process.stderr
        assert "at work for" in process.stderr.readline()
        return process

    def sync(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a run, and wait until photos of half of the stores are on their way."""
        process = self.machine().start("sync", "--cluster", self.address, "--json", *arguments, script=PROGRAM)
        wait_until(lambda: len({entry.campaign for entry in self.world.log.of("photo")}) >= STORES // 2, process)
        return process

    def leases(self) -> list[bool]:
        """Whether the lease of each store is released."""
        found = objects(store_of(self.storage, self.bucket))
        return [b'"is_released": true' in content for key, content in found.items() if key.endswith("lease.json")]

    def assert_complete(self, *, in_flight: int = 0) -> None:
        served = sorted(photo.body for photo in self.world.market.photos())
        found = objects(store_of(self.storage, self.bucket))
        assert sorted(body for key, body in found.items() if key.endswith((".jpg", ".png"))) == served
        requests = self.world.requests_per_photo().values()
        assert sum(requests) - len(requests) <= in_flight


@contextmanager
def a_cluster(storage: Storage, folder: Path) -> Iterator[Cluster]:
    market = Market(seed=5, now=NOW)
    for _ in range(STORES):
        fill(market.add_store(), returns=PHOTOS)
    with ExitStack() as stack:
        sandbox = stack.enter_context(running(market, latency=0.3))
        stack.enter_context(patch.dict(os.environ, KEYS))
        yield Cluster(World(market, sandbox, folder), storage, storage.make_bucket(), stack)


@pytest.fixture
def cluster(storage: Storage, tmp_path: Path) -> Iterator[Cluster]:
    with a_cluster(storage, tmp_path) as cluster:
        yield cluster


def ended(process: "subprocess.Popen[str]") -> int:
    """The exit code of a process that ends by itself."""
    try:
        process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode


def test_three_machines_share_the_stores_and_report_as_one(cluster: Cluster) -> None:
    """They take the next run, too, and leave at a signal."""
    workers = [cluster.worker() for _ in range(3)]
    outcome = cluster.world.end_of(cluster.sync())
    assert outcome.code == 0, outcome.text
    assert (len(outcome.json["stores"]), outcome.json["downloaded"]) == (STORES, STORES * PHOTOS)
    assert_adds_up(outcome.json)
    cluster.assert_complete()
    assert cluster.leases() == [True] * STORES
    again = cluster.machine().program("sync", "--cluster", cluster.address, "--json")
    assert (again.code, again.json["already"]) == (0, STORES * PHOTOS), again.text
    for worker in workers:
        worker.terminate()
    assert [ended(worker) for worker in workers] == [0, 0, 0]
    cluster.assert_complete()


def test_a_machine_with_room_for_less_than_a_batch_does_its_stores_in_turn(cluster: Cluster) -> None:
    """The run is started on a machine that has more room, and batches have two stores."""
    for _ in range(BATCHES_AT_ONCE):
        fill(cluster.world.market.add_store(), returns=1)
    plenty, cluster.limits = cluster.limits, cluster.limits | {"stores_at_once": 1}
    cluster.worker()
    cluster.limits, cluster.world.sandbox.latency = plenty, 0.05
    outcome = cluster.world.end_of(cluster.sync())
    assert outcome.code == 0, outcome.text
    cluster.assert_complete()
    turns = [store for store, _ in groupby(entry.campaign for entry in cluster.world.log.of("photo"))]
    assert sorted(turns) == list(cluster.world.market.stores)


def test_a_killed_and_a_paused_machine_are_replaced(cluster: Cluster) -> None:
    """Their leases run out first. The paused one stops when it wakes up, and sends what was on its way at most."""
    killed, paused, _ = (cluster.worker() for _ in range(3))
    process = cluster.sync()
    killed.kill()
    paused.send_signal(signal.SIGSTOP)
    try:
        outcome = cluster.world.end_of(process)
        asked = len(cluster.world.log.of("photo"))
    finally:
        paused.send_signal(signal.SIGCONT)
    assert outcome.code == 0, outcome.text
    assert_adds_up(outcome.json)
    assert ended(paused) in (0, 5, 8)
    assert len(cluster.world.log.of("photo")) - asked <= IN_FLIGHT * STORES
    cluster.assert_complete(in_flight=2 * IN_FLIGHT * STORES)
    assert cluster.leases() == [True] * STORES


def test_the_stores_of_a_machine_that_is_shut_down_are_done_by_another(cluster: Cluster) -> None:
    """It ends them in order, so nothing is requested twice and nobody waits for a lease."""
    leaving, _ = (cluster.worker() for _ in range(2))
    process = cluster.sync()
    leaving.terminate()
    assert ended(leaving) == 0
    outcome = cluster.world.end_of(process)
    assert outcome.code == 0, outcome.text
    cluster.assert_complete()


def test_a_machine_that_is_cut_off_from_the_bucket_leaves_its_stores_to_another(cluster: Cluster) -> None:
    """By the end of its leases at the latest; it says so. The whole quota of these stores counts as spent."""
    cluster.limits = {"photo_requests": PHOTOS, "period_seconds": PERIOD}
    with gate(cluster.storage.endpoint) as to_bucket, gate(cluster.world.sandbox.url) as to_market:
        cut_off = cluster.worker(bucket=to_bucket.url, market=to_market.url)
        cluster.worker()
        process = cluster.sync()
        wait_until(lambda: bool(photos_through(to_market)), process)
        to_bucket.block()
        blocked = time.monotonic()
        _, told = cut_off.communicate(timeout=TTL + SLACK + 15)
        assert max(photos_through(to_market)) < blocked + TTL + SLACK
        outcome = cluster.world.end_of(process)
    assert (cut_off.returncode, "s3://" in told) == (5, True), told
    assert outcome.code == 0, outcome.text
    assert cluster.world.log.worst_window("photo", PERIOD) <= PHOTOS
    cluster.assert_complete(in_flight=IN_FLIGHT * STORES)


def photos_through(way: Gate) -> list[float]:
    """When photos were requested through this gate."""
    return [passed.at for passed in way.passed if "/image/" in passed.path]


@pytest.mark.parametrize("is_told", [True, False])
def test_a_machine_that_is_cut_off_from_the_scheduler_alone_costs_nothing(cluster: Cluster, is_told: bool) -> None:
    """It ends its stores. Another one finds their leases held, and waits for them."""
    with gate(cluster.address) as to_scheduler:
        cut_off = cluster.worker(to_scheduler.url)
        cluster.worker()
        process = cluster.sync()
        if is_told:
            to_scheduler.close()
            assert ended(cut_off) == 8
        else:
            to_scheduler.block()
        outcome = cluster.world.end_of(process)
    assert outcome.code == 0, outcome.text
    assert_adds_up(outcome.json)
    cluster.assert_complete()


def test_when_the_scheduler_dies_all_stores_end_in_order(cluster: Cluster) -> None:
    workers = [cluster.worker() for _ in range(2)]
    process = cluster.sync()
    cluster.scheduler.kill()
    outcome = cluster.world.end_of(process)
    assert outcome.code == 8, outcome.text
    assert "The scheduler at" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert [ended(worker) for worker in workers] == [8, 8]
    assert all(cluster.leases())
    cluster.world.sandbox.latency = 0.0
    assert cluster.machine().program("sync").code == 0
    cluster.assert_complete()


def test_ctrl_c_ends_the_run_on_all_machines_in_order(cluster: Cluster) -> None:
    workers = [cluster.worker() for _ in range(2)]
    process = cluster.sync()
    process.send_signal(signal.SIGINT)
    outcome = cluster.world.end_of(process)
    assert outcome.code == 130, outcome.text
    assert len(outcome.json["stores"]) == STORES
    assert_adds_up(outcome.json)
    assert all(cluster.leases())
    assert [worker.poll() for worker in workers] == [None, None]


def test_a_run_without_a_worker_says_so_and_ends_at_ctrl_c(cluster: Cluster) -> None:
    process = cluster.machine().start("sync", "--cluster", cluster.address, "--json")
    assert process.stderr
    assert "no worker is connected" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    outcome = cluster.world.end_of(process)
    assert (outcome.code, outcome.json["exit_code"]) == (130, 130), outcome.text
    assert len(outcome.json["stores"]) == STORES


def test_a_second_run_from_another_machine_is_refused(cluster: Cluster) -> None:
    for _ in range(2):
        cluster.worker()
    process = cluster.sync()
    cluster.world.sandbox.latency = 1.5
    second = cluster.machine().program("sync")
    cluster.world.sandbox.latency = 0.0
    assert second.code == 6, second.text
    assert cluster.world.end_of(process).code == 0
    cluster.assert_complete()


@pytest.mark.parametrize("command", [("worker", "tcp://127.0.0.1:1"), ("sync", "--cluster", "tcp://127.0.0.1:1")])
def test_an_archive_in_a_folder_is_refused_with_the_reason(tmp_path: Path, command: tuple[str, ...]) -> None:
    with running(Market()) as sandbox:
        outcome = World(sandbox.market, sandbox, tmp_path).command(*command)
    assert outcome.code == 2
    assert "A cluster needs an archive in object storage: [archive] url" in outcome.stderr


def test_a_scheduler_that_is_not_there_is_named(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    cluster.scheduler.kill()
    cluster.scheduler.wait()
    outcome = cluster.machine().program("sync", "--cluster", cluster.address)
    assert outcome.code == 8, outcome.text
    assert f"The scheduler at {cluster.address} cannot be reached" in outcome.stderr
    assert "Traceback" not in outcome.stderr
