"""What a run with several processes decides without them."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import pytest

from market_photos.cluster import engine
from market_photos.cluster.budget import SharedBudget
from market_photos.cluster.engine import BATCHES_AT_ONCE
from market_photos.cluster.job import Job, LogOptions, sendable
from market_photos.cluster.run import batch_size, in_batches
from market_photos.errors import ArchiveUnwritable, UsageError
from market_photos.reporting.report import StoreReport
from market_photos.sync.discovery import Candidate
from market_photos.sync.plan import Nightly
from market_photos.sync.run import Options


@pytest.mark.parametrize(
    ("stores", "processes", "size", "batches"),
    [
        (5, 2, 2, [[0, 2], [1, 3], [4]]),
        (3, 2, 5, [[0, 2], [1]]),
        (1, 4, 1, [[0]]),
        (0, 2, 1, []),
    ],
)
def test_neighbours_go_to_different_batches(stores: int, processes: int, size: int, batches: list[list[int]]) -> None:
    candidates = [Candidate(number) for number in range(stores)]
    found = [[store.campaign for store in batch] for batch in in_batches(candidates, processes, size)]
    assert found == batches


@pytest.mark.parametrize(
    ("stores", "processes", "at_once", "size"),
    [(1000, 2, 100, 6), (10, 2, 100, 1), (40, 2, 100, 2), (24, 3, 100, 1), (1000, 2, 1, 1), (1, 4, 1, 1)],
)
def test_a_process_gets_several_batches_and_at_most_its_stores(
    stores: int, processes: int, at_once: int, size: int
) -> None:
    assert batch_size(stores, processes, at_once) == size
    assert size * BATCHES_AT_ONCE <= max(at_once, BATCHES_AT_ONCE)


def test_processes_count_one_budget_down_together(tmp_path: Path) -> None:
    SharedBudget.make(tmp_path / "left", 150)
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as executor:
        taken = sum(executor.map(_take_60, [tmp_path / "left"] * 3))
    assert taken == 150


def _take_60(path: Path) -> int:
    budget = SharedBudget(path)
    return sum(budget.take() for _ in range(60))


def test_without_the_extra_the_command_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: None if name == "distributed" else object())
    with pytest.raises(UsageError, match="need distributed, which is not installed") as refused:
        engine.require_engine()
    assert "pip install '.[cluster]'" in refused.value.hint


def test_what_goes_through_the_engine_holds_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process reads the key itself, from its environment or the file that the configuration names."""
    monkeypatch.setenv("MARKET_PHOTOS_API_KEY", "ACMA:secret:0123")
    job = Job.new(Path("config.toml"), Nightly(), Options("sync"), LogOptions())
    assert b"secret" not in pickle.dumps(job)


def test_an_error_that_many_tasks_have_raised_can_be_sent() -> None:
    """As that of a lost lease: its traceback has grown with each."""
    protocol = pytest.importorskip("distributed.protocol", reason="the extra `cluster` is not installed")
    error = ArchiveUnwritable("the lease is lost", "wait")
    for _ in range(2000):
        with suppress(ArchiveUnwritable):
            raise error
    [report] = sendable([StoreReport(101, error=error)])
    header, frames = protocol.serialize(report)
    received = protocol.deserialize(header, frames)
    assert (str(received.error), received.error.hint) == ("the lease is lost", "wait")


def test_a_scheduler_that_cannot_be_reached_is_told_in_one_sentence() -> None:
    told = engine.unreachable("tls://host:8786", OSError("timed out after 10s."))
    assert told.message == "The scheduler at tls://host:8786 cannot be reached: timed out after 10s."
