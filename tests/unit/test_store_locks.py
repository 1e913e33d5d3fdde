"""A run locks its stores before it sends a request, and of two runs one gets a store."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from market_photos.errors import AlreadyRunning
from market_photos.sync.store_locks import StoreLocks
from tests.unit.worlds import ToldClock


def locks(archive: Path, held: ExitStack) -> StoreLocks:
    return StoreLocks(archive, "sync", ToldClock(), held)


def test_a_store_is_locked_until_the_run_ends(tmp_path: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        assert locks(tmp_path, first).take_stores([1, 2]) == {1, 2}
        with pytest.raises(AlreadyRunning, match="another run is at work"):
            locks(tmp_path, second).take_stores([1, 2])
        first.close()
        assert locks(tmp_path, second).take_stores([1, 2]) == {1, 2}


def test_a_run_takes_the_stores_that_are_free_and_names_the_others(tmp_path: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        locks(tmp_path, first).take_stores([1])
        others = locks(tmp_path, second)
        assert others.take_stores([1, 2]) == {2}
        assert (set(others.refused), set(others.locks), set(others.folders)) == ({1}, {2}, {2})
        assert others.folders[2].folder == tmp_path / "2"


def test_two_runs_over_every_store_exclude_each_other(tmp_path: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        locks(tmp_path, first).take_archive()
        with pytest.raises(AlreadyRunning):
            locks(tmp_path, second).take_archive()
        assert locks(tmp_path, second).take_stores([1]) == {1}  # named stores do not need the archive's lock


def test_no_store_is_no_conflict(tmp_path: Path) -> None:
    """A key may see no store."""
    with ExitStack() as held:
        assert locks(tmp_path, held).take_stores([]) == set()
