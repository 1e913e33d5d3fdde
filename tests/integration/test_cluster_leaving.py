"""A store changes from process to process: nothing is told twice, and nothing that one of them did is lost."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from market_photos.archive import layout
from market_photos.archive.lock import Lock
from market_photos.clock import SystemClock
from tests.integration.buckets import KEYS, TTL, Storage, with_leases
from tests.integration.conftest import MakeWorld
from tests.integration.gate import gate
from tests.integration.harness import World, assert_adds_up, fill, wait_until
from tests.integration.test_cluster import workers_of
from tests.integration.test_cluster_workers import STORES, Cluster, a_cluster, ended

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(storage: Storage, tmp_path: Path) -> Iterator[Cluster]:
    with a_cluster(storage, tmp_path) as cluster:
        yield cluster


def test_a_worker_that_leaves_loses_neither_reports_nor_news(cluster: Cluster) -> None:
    """Some stores of its batches have ended by then, the others have not."""
    stores = list(cluster.world.market.stores.values())
    awaiting = [store.add_return(photos=1, refundStatus="WAITING_FOR_DECISION").id for store in stores]
    short = stores[::2]
    for store in short:
        for number in list(store.returns)[1:-1]:
            del store.returns[number]
    leaving = cluster.worker()
    large_batches = with_leases("from market_photos.cluster import run", "run.BATCHES_AT_ONCE = 2")
    process = cluster.machine().start("sync", "--cluster", cluster.address, "--json", script=large_batches)
    wait_until(lambda: len(cluster.world.log.of("photo")) > 2 * len(short) + 30, process)
    leaving.terminate()
    assert ended(leaving) == 0
    cluster.worker()
    outcome = cluster.world.end_of(process)
    assert outcome.code == 0, outcome.text
    assert_adds_up(outcome.json)
    assert outcome.json["downloaded"] == len(cluster.world.market.photos())
    assert outcome.json["requests"] == len(cluster.world.log)
    assert sorted(entry["return"] for entry in outcome.json["newly_awaiting"]) == sorted(awaiting)
    assert len(outcome.json["stores"]) == STORES
    listings = Counter(entry.campaign for entry in cluster.world.log.of("returns"))
    assert [listings[store.campaign] for store in stores] == [1, 2] * (STORES // 2)
    cluster.assert_complete()


def test_what_a_worker_without_a_way_to_the_market_fails_is_done_by_another(cluster: Cluster) -> None:
    """It takes batch after batch meanwhile."""
    with gate(cluster.world.sandbox.url) as to_market:
        cluster.worker(market=to_market.url)
        to_market.close()
        cluster.worker()
        cluster.world.sandbox.latency = 0.1
        outcome = cluster.world.end_of(cluster.sync())
    assert outcome.code == 0, outcome.text
    assert_adds_up(outcome.json)
    cluster.assert_complete()


def test_a_killed_process_has_its_stores_in_a_bucket_done_by_another_when_their_leases_run_out(
    storage: Storage, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in KEYS.items():
        monkeypatch.setenv(key, value)
    world = make_world(stores=4, latency=0.3)
    for store in world.market.stores.values():
        fill(store, returns=12)
    world.settings |= {
        "archive": storage.settings(storage.make_bucket(), world.folder / "scratch"),
        "limits": {"photo_requests": 1000, "period_seconds": 1},
    }
    process = world.start("sync", "--processes", "2", "--json", script=also_in_processes(world, with_leases()))
    wait_until(lambda: len({entry.campaign for entry in world.log.of("photo")}) == 4, process)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    killed = time.monotonic()
    outcome = world.end_of(process)
    assert outcome.code == 0, outcome.text
    assert time.monotonic() - killed > TTL
    assert world.states() == {"archived": 48}
    assert_adds_up(outcome.json)


def also_in_processes(world: World, script: str) -> str:
    """A script that runs this one, and that the processes which it starts run up to its last line."""
    path = world.folder / "program.py"
    path.write_text(script.replace("\nmain()", "\nif __name__ == '__main__':\n    main()"))
    return f"import runpy; runpy.run_path({str(path)!r}, run_name='__main__')"


def test_each_store_of_a_batch_that_other_runs_have_is_told_with_its_own_reason(make_world: MakeWorld) -> None:
    world = make_world(stores=16)
    with ExitStack() as held:
        for store in world.market.stores:
            folder = layout.store_folder(world.archive, store)
            folder.mkdir(parents=True)
            held.enter_context(Lock(folder / layout.LOCK_NAME, f"sync of {store}", SystemClock()))
        outcome = world.program("sync", "--processes", "2", "--json")
    assert (outcome.code, len(outcome.json["stores"])) == (6, 16), outcome.text
    for report in outcome.json["stores"]:
        assert f"`sync of {report['campaign']}`" in report["error"]
        assert f"/{report['campaign']}: " in report["error"]


def test_a_run_ends_at_ctrl_c_although_one_of_its_processes_stands_still(make_world: MakeWorld) -> None:
    """The process does not outlive it."""
    world = make_world(stores=STORES, latency=0.3)
    for store in world.market.stores.values():
        fill(store, returns=24)
    process = world.start("sync", "--processes", "2", "--json")
    wait_until(lambda: len({entry.campaign for entry in world.log.of("photo")}) == STORES, process)
    still = workers_of(process.pid)[0]
    os.kill(still, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    outcome = world.end_of(process)
    assert time.monotonic() - sent < 30
    assert outcome.code == 130, outcome.text
    assert len(outcome.json["stores"]) == STORES
    assert_adds_up(outcome.json)
    assert outcome.json["discovered"] == STORES * 24
    wait_until(lambda: not Path(f"/proc/{still}").exists())
