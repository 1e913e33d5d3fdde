"""More stores than may be open at once take turns, and nothing else changes."""

import json
import signal
from pathlib import Path

import pytest

from market_photos.sandbox import Market, running
from tests.archives import ArchiveOf
from tests.integration.harness import Outcome, World, a_world, fill, wait_until

STORES = 40
#: A process that may open a third of the files that all catalogues take.
A_THIRD_OF_THE_FILES = ("sh", "-c", f'ulimit -n {STORES}; exec "$@"', "sh")
#: A process with so few open files has room for a handful of stores.
FEW_FILES = ("sh", "-c", 'ulimit -n 160; exec "$@"', "sh")


def a_market_of_many() -> Market:
    market = Market(seed=5)
    for _ in range(STORES):
        market.add_store().add_return(photos=2)
    return market


def codes(outcome: Outcome) -> dict[int, int]:
    return {store["campaign"]: store["exit_code"] for store in json.loads(outcome.stdout)["stores"]}


def test_stores_that_do_not_fit_wait_for_their_turn(tmp_path: Path) -> None:
    """Forty stores in a process that may open 160 files."""
    with running(a_market_of_many()) as sandbox:
        world = World(sandbox.market, sandbox, tmp_path)
        outcome = world.program("sync", "--json", prefix=FEW_FILES)
        assert outcome.code == 0, outcome.text
        assert world.states() == {"archived": 2 * STORES}
        world.assert_archive_is_right()
        assert f"{STORES} stores: 40 returns listed; 80 photos fetched" in outcome.stderr
        assert "Store 101" not in outcome.stderr


def test_the_processes_of_a_run_open_no_more_stores_than_they_have_files_for(tmp_path: Path) -> None:
    """Two processes that may open 200 files each, with all their batches at work side by side."""
    pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    market = a_market_of_many()
    for store in market.stores.values():
        fill(store, returns=6)
    with running(market, latency=0.2) as sandbox:
        world = World(market, sandbox, tmp_path)
        outcome = world.program(
            "sync", "--processes", "2", "--json", prefix=("sh", "-c", 'ulimit -n 200; exec "$@"', "sh")
        )
        assert outcome.code == 0, outcome.text
        assert world.states() == {"archived": 8 * STORES}
        assert set(world.requests_per_photo().values()) == {1}


def test_stores_with_photos_to_fetch_come_first(tmp_path: Path) -> None:
    with running(a_market_of_many()) as sandbox:
        world = World(sandbox.market, sandbox, tmp_path, {"limits": {"stores_at_once": 1}})
        world.sync(max_photos=2 * (STORES - 1))
        [left] = [store for store in world.known() if world.states(store) == {"pending": 2}]
        world.log.entries.clear()
        assert world.sync().exit_code == 0
        assert next(entry.campaign for entry in world.log.entries if entry.kind == "returns") == left


def test_a_second_run_gets_no_store_that_waits_in_the_first(tmp_path: Path) -> None:
    """It leaves with exit code 6 and has sent nothing."""
    with running(a_market_of_many(), latency=0.05) as sandbox:
        ids = list(sandbox.market.stores)
        world = World(sandbox.market, sandbox, tmp_path, {"limits": {"stores_at_once": 1}, "campaigns": {"ids": ids}})
        first = world.start("sync", "--json")
        wait_until(lambda: bool(world.log.of("returns")), first)
        sent = len([entry for entry in world.log.entries if entry.kind == "campaigns"])
        second = world.program("sync", "--json")
        assert second.code == 6, second.text
        assert "another run is at work" in second.stderr
        assert len([entry for entry in world.log.entries if entry.kind == "campaigns"]) == sent
        assert world.end_of(first).code == 0
        world.assert_archive_is_right()


def test_a_signal_opens_no_more_stores_and_reports_them_all(tmp_path: Path) -> None:
    with running(a_market_of_many(), latency=0.05) as sandbox:
        world = World(sandbox.market, sandbox, tmp_path, {"limits": {"stores_at_once": 2}})
        outcome, seconds = world.interrupted("sync", "--json", at=lambda: len(world.known()) > 4, by=signal.SIGTERM)
        assert (outcome.code, len(codes(outcome))) == (143, STORES)
        assert seconds < 10
        assert len(world.known()) < STORES
        assert world.program("sync", "--json").code == 0
        assert world.states() == {"archived": 2 * STORES}


def test_prune_opens_one_store_after_another(tmp_path: Path) -> None:
    with running(a_market_of_many()) as sandbox:
        world = World(sandbox.market, sandbox, tmp_path)
        assert world.program("sync").code == 0
        outcome = world.program("prune", "--older-than", "1d", "--yes", prefix=FEW_FILES)
        assert outcome.code == 0, outcome.text
        assert f"Pruned {STORES} returns" in outcome.stderr
        assert world.states() == {"pruned": 2 * STORES}


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (("--format", "csv"), STORES + 1),
        (("--format", "jsonl", "--all-returns"), STORES),
        (("--order", "500000001"), None),
    ],
)
def test_export_opens_one_store_after_another(tmp_path: Path, words: tuple[str, ...], lines: int | None) -> None:
    for number in range(101, 101 + STORES):
        store = ArchiveOf(tmp_path / "archive", number)
        store.bring(store.add())
    with a_world(tmp_path) as world:
        outcome = world.program("export", *words, "--out", "written", prefix=A_THIRD_OF_THE_FILES)
    assert outcome.code == 0, outcome.text
    assert f": {STORES} {'rows' if lines else 'photos'}, " in outcome.stderr
    assert lines in (None, len((tmp_path / "written").read_bytes().splitlines()))
