"""`sync --processes`: several processes, one report, one exit code; what happens when one of them is killed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from market_photos.sandbox import ALWAYS, actions
from tests.integration.conftest import MakeWorld
from tests.integration.harness import PATIENCE_S, World, assert_adds_up, fill, script, wait_until

for name in ("distributed", "cryptography"):
    pytest.importorskip(name, reason="the extra `cluster` is not installed")
pytestmark = pytest.mark.slow

STORES = 6
PHOTOS = 24
#: Photos that one store may have in flight.
IN_FLIGHT = 4
END_S = 15.0


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Six stores with many photos each, answered slowly enough to be caught at work."""
    world = make_world(stores=STORES, latency=0.3)
    for store in world.market.stores.values():
        fill(store, returns=PHOTOS)
    return world


def workers_of(pid: int) -> list[int]:
    """Return the worker processes that this process has started."""
    return [child for child in children_of(pid) if b"spawn_main" in read(child, "cmdline")]


def children_of(pid: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and read(int(entry.name), "stat").rpartition(b")")[2].split()[1:2] == [b"%d" % pid]:
            yield int(entry.name)


def read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def at_work(world: World) -> bool:
    """Return whether photos of several stores have been requested."""
    return len({entry.campaign for entry in world.log.of("photo")}) >= STORES // 2


def test_two_processes_fetch_every_photo_once_and_report_together(world: World) -> None:
    """During the run, a second run over all stores is refused."""
    process = world.start("sync", "--processes", "2", "--json")
    wait_until(lambda: at_work(world), process)
    world.sandbox.latency = 1.5
    workers = workers_of(process.pid)
    assert world.program("sync").code == 6
    world.sandbox.latency = 0.0
    outcome = world.end_of(process)
    assert (outcome.code, len(workers)) == (0, 2), outcome.text
    assert len(outcome.stdout.splitlines()) == 1
    assert [store["campaign"] for store in outcome.json["stores"]] == list(world.market.stores)
    assert outcome.json["downloaded"] == STORES * PHOTOS
    assert outcome.json["requests"] == len(world.log)
    assert_adds_up(outcome.json)
    assert set(world.requests_per_photo().values()) == {1}
    assert not any(map(workers_alive, workers))
    world.assert_archive_is_right()
    world.assert_no_key()


def workers_alive(pid: int) -> bool:
    return b"spawn_main" in read(pid, "cmdline")


def test_the_stores_of_a_killed_process_are_done_by_another(world: World) -> None:
    """Its locks are free at once, and only photos in flight are fetched twice."""
    process = world.start("sync", "--processes", "2", "--json")
    wait_until(lambda: at_work(world), process)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    world.sandbox.latency = 0.0
    outcome = world.end_of(process)
    assert (outcome.code, outcome.json["exit_code"]) == (0, 0), outcome.text
    assert world.states() == {"archived": STORES * PHOTOS}
    world.assert_archive_is_right(in_flight=STORES * IN_FLIGHT)
    assert "Traceback" not in outcome.stderr


@pytest.mark.usefixtures("short_cool_down")
def test_a_run_whose_processes_all_die_ends_by_itself_and_says_what_to_do(world: World) -> None:
    """As often as the engine starts them again: the machine may lack memory."""
    often = "from market_photos.cluster import hand_out; hand_out.WATCH_SECONDS = 0.5"
    process = world.start("sync", "--processes", "2", "--json", script=script(often))
    wait_until(lambda: at_work(world), process)
    until = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < until:
        for worker in workers_of(process.pid):
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        time.sleep(0.02)
    outcome = world.end_of(process)
    assert (outcome.code, outcome.json["exit_code"]) == (1, 1), outcome.text
    assert "All processes of this run have died" in outcome.stderr
    assert "Next: The machine may lack memory" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert len(outcome.json["stores"]) == STORES
    assert_adds_up(outcome.json)
    world.sandbox.latency = 0.0
    assert world.sync().exit_code == 0
    assert world.states() == {"archived": STORES * PHOTOS}
    world.assert_archive_is_right(in_flight=STORES * IN_FLIGHT, at_work=True)  # killed runs leave run.json


@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_all_processes_ends_the_run_in_order(world: World, by: int, code: int) -> None:
    """Ctrl-C and systemd send it so."""
    process = world.start("sync", "--processes", "2", "--json", start_new_session=True)
    wait_until(lambda: at_work(world), process)
    workers = workers_of(process.pid)
    os.killpg(process.pid, by)
    sent = time.monotonic()
    outcome = world.end_of(process)
    assert outcome.code == code, outcome.text
    assert time.monotonic() - sent < END_S
    assert len(outcome.json["stores"]) == STORES
    assert_adds_up(outcome.json)
    assert "Traceback" not in outcome.stderr
    assert not any(map(workers_alive, workers))
    world.assert_archive_is_right()
    world.sandbox.latency = 0.0
    assert world.program("sync", "-q").code == 0
    assert set(world.requests_per_photo().values()) == {1}


@pytest.mark.parametrize(("is_to_all", "after"), [(True, 0.0), (False, 0.0), (False, 0.4)])
def test_a_signal_while_the_processes_start_ends_the_run(world: World, is_to_all: bool, after: float) -> None:
    process = world.start("sync", "--processes", "2", start_new_session=True)
    wait_until(lambda: len(workers_of(process.pid)) > 0, process)
    time.sleep(after)
    workers = workers_of(process.pid)
    if is_to_all:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    sent = time.monotonic()
    outcome = world.end_of(process)
    assert outcome.code == (130 if is_to_all else 143), outcome.text
    assert time.monotonic() - sent < END_S
    assert "Traceback" not in outcome.stderr
    assert not any(map(workers_alive, workers))
    world.sandbox.latency = 0.0
    assert world.program("sync", "-q").code == 0


def test_no_process_outlives_a_main_process_that_is_killed(world: World) -> None:
    process = world.start("sync", "--processes", "2")
    wait_until(lambda: at_work(world), process)
    workers = workers_of(process.pid)
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(workers_alive, workers)))


def test_a_limit_of_photos_counts_over_all_processes(world: World) -> None:
    world.sandbox.latency = 0.05
    outcome = world.program("sync", "--processes", "2", "--max-photos", "17", "--json")
    assert (outcome.code, outcome.json["downloaded"]) == (7, 17), outcome.text
    assert sum(world.requests_per_photo().values()) == 17


def test_a_key_that_is_refused_to_one_process_stops_all(world: World) -> None:
    world.sandbox.faults.add(actions.status(401), kind="photo", campaign=103, nth=2, times=ALWAYS)
    outcome = world.program("sync", "--processes", "2", "--json")
    assert outcome.code == 4, outcome.text
    assert_adds_up(outcome.json)
    assert outcome.json["pending"] > 0
    assert "Traceback" not in outcome.stderr
