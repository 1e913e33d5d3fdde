"""A run claims its stores before it sends a request, locks those that are open, and of two runs one gets a store."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from market_photos.archive.lock import held_by
from market_photos.errors import AlreadyRunning
from market_photos.sync.store_locks import StoreLocks
from tests.unit.worlds import ToldClock


def locks(archive: Path, held: ExitStack) -> StoreLocks:
    return StoreLocks(archive, "sync", ToldClock(), held)


def test_a_store_is_claimed_until_the_run_ends(tmp_path: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        assert locks(tmp_path, first).claim([1, 2]) == {1, 2}
        others = locks(tmp_path, second)
        assert others.claim([1, 2]) == set()
        assert sorted(others.refused) == [1, 2]
        assert all(f"/{store}: another run is at work" in str(error) for store, error in others.refused.items())
        first.close()
        assert locks(tmp_path, second).claim([1, 2]) == {1, 2}


def test_a_run_takes_the_stores_that_are_free_and_names_the_others(tmp_path: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        locks(tmp_path, first).claim([1])
        others = locks(tmp_path, second)
        assert others.claim([1, 2]) == {2}
        assert set(others.refused) == {1}


def test_a_store_is_locked_while_it_is_open(tmp_path: Path) -> None:
    """For `status`, and for commands that change a single store: they meet a run only in the stores that are open."""
    path = tmp_path / "1" / "run.lock"
    with ExitStack() as first, ExitStack() as second:
        mine = locks(tmp_path, first)
        mine.claim([1])
        assert held_by(path) is None
        with mine.opened(1) as (held_folder, lock):
            assert (held_folder.folder, lock.path) == (path.parent, path)
            assert "`sync`" in str(held_by(path))
            others = locks(tmp_path, second)
            assert others.claim([1]) == set()
            assert "`sync`" in str(others.refused[1])
        assert held_by(path) is None


def test_two_runs_over_every_store_exclude_each_other(tmp_path: Path) -> None:
    with ExitStack() as first, ExitStack() as second:
        locks(tmp_path, first).take_archive()
        with pytest.raises(AlreadyRunning):
            locks(tmp_path, second).take_archive()
        assert locks(tmp_path, second).claim([1]) == {1}  # named stores do not need the archive's lock


def test_no_store_is_no_conflict(tmp_path: Path) -> None:
    """A key may see no stores."""
    with ExitStack() as held:
        assert locks(tmp_path, held).claim([]) == set()
