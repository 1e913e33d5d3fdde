"""`sync --cluster` and `worker` while the other side is silent: each says so, and Ctrl-C ends it within seconds."""

import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.integration.buckets import Storage, with_leases
from tests.integration.harness import Outcome, assert_adds_up, wait_until
from tests.integration.test_cluster_workers import STORES, Cluster, a_cluster, ended

pytestmark = pytest.mark.slow
#: Seconds until a run ends that nobody answers.
END_S = 20.0
#: It looks for workers often.
WATCHFUL = with_leases("from market_photos.cluster import hand_out", "hand_out.WATCH_SECONDS = 0.2")


@pytest.fixture
def cluster(storage: Storage, tmp_path: Path) -> Iterator[Cluster]:
    with a_cluster(storage, tmp_path) as cluster:
        yield cluster


def started(cluster: Cluster) -> "subprocess.Popen[str]":
    return cluster.machine().start("sync", "--cluster", cluster.address, "--json", script=WATCHFUL)


def interrupted(cluster: Cluster, process: "subprocess.Popen[str]") -> Outcome:
    """The end of a run after Ctrl-C, within END_S."""
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    outcome = cluster.world.end_of(process)
    assert time.monotonic() - sent < END_S, outcome.text
    assert outcome.code == 130, outcome.text
    assert "Traceback" not in outcome.stderr, outcome.stderr
    return outcome


def line_of(stream: IO[str] | None) -> str:
    assert stream
    assert select.select([stream], [], [], 30)[0], "nothing was said"
    return stream.readline()


@contextmanager
def paused(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_a_run_without_workers_says_so_again_and_again(cluster: Cluster) -> None:
    process = started(cluster)
    began = time.monotonic()
    assert ["no worker is connected" in line_of(process.stderr) for _ in range(3)] == [True] * 3
    assert time.monotonic() - began > 2 * 6 * 0.2, "not at each look"
    outcome = interrupted(cluster, process)
    assert len(outcome.json["stores"]) == STORES


def test_a_run_whose_workers_have_all_gone_says_so_and_ends_at_ctrl_c(cluster: Cluster) -> None:
    worker = cluster.worker()
    process = started(cluster)
    wait_until(lambda: bool(cluster.world.log.of("photo")), process)
    worker.kill()
    assert "no worker is connected" in line_of(process.stderr)
    outcome = interrupted(cluster, process)
    assert len(outcome.json["stores"]) == STORES
    assert_adds_up(outcome.json)


def test_a_run_goes_on_when_a_worker_comes_back(cluster: Cluster) -> None:
    worker = cluster.worker()
    process = started(cluster)
    wait_until(lambda: bool(cluster.world.log.of("photo")), process)
    worker.terminate()
    assert ended(worker) == 0
    assert "no worker is connected" in line_of(process.stderr)
    cluster.world.sandbox.latency = 0.0
    cluster.worker()
    outcome = cluster.world.end_of(process)
    assert outcome.code == 0, outcome.text
    cluster.assert_complete()


def test_a_run_survives_a_worker_that_does_not_have_this_program(cluster: Cluster) -> None:
    """Dask's own ends when it gets a batch."""
    script = (
        "import sys; sys.modules['market_photos'] = None; from distributed.cli.dask_worker import main; "
        f"main(['{cluster.address}', '--no-nanny', '--no-dashboard'])"
    )
    process = started(cluster)
    assert "no worker is connected" in line_of(process.stderr)
    other = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=30)
    assert "No module named 'market_photos.cluster'" in other.stderr
    interrupted(cluster, process)


def test_a_run_ends_at_ctrl_c_while_the_scheduler_is_paused(cluster: Cluster) -> None:
    worker = cluster.worker()
    process = started(cluster)
    wait_until(lambda: bool(cluster.world.log.of("photo")), process)
    with paused(cluster.scheduler):
        assert "the scheduler does not answer" in line_of(process.stderr)
        outcome = interrupted(cluster, process)
    assert len(outcome.json["stores"]) == STORES
    assert_adds_up(outcome.json)
    worker.terminate()
    assert ended(worker) == 0


def test_a_run_ends_at_ctrl_c_before_the_scheduler_has_answered(cluster: Cluster) -> None:
    with paused(cluster.scheduler):
        process = started(cluster)
        wait_until(lambda: len(cluster.world.log) > 0, process)
        interrupted(cluster, process)


def test_a_worker_leaves_while_the_scheduler_is_paused(cluster: Cluster) -> None:
    worker = cluster.worker()
    process = started(cluster)
    wait_until(lambda: bool(cluster.world.log.of("photo")), process)
    with paused(cluster.scheduler):
        worker.terminate()
        assert ended(worker) == 0
        assert all(cluster.leases())
        interrupted(cluster, process)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_that_waits_for_its_scheduler_ends_at_a_signal(cluster: Cluster, by: int) -> None:
    cluster.worker().kill()  # the scheduler is there
    with paused(cluster.scheduler):
        machine = cluster.machine()
        worker = machine.start("worker", cluster.address)
        wait_until((machine.archive / "worker-1" / "worker.lock").exists, worker)
        worker.send_signal(by)
        sent = time.monotonic()
        _, told = worker.communicate(timeout=30)
        assert time.monotonic() - sent < 5
    assert worker.returncode == 0, told
    assert "Traceback" not in told
