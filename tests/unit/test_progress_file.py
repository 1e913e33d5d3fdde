"""What a run leaves on disk of how far it is: nothing, once it is over, whatever the disk says."""

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from market_photos.reporting.progress import NAME, StoreProgress, read_progress
from market_photos.sync import progress_file
from tests.unit.worlds import ToldClock

PROGRESS = StoreProgress("101 shop", "", 3, 250, 1200, 5 * 10**6, 9, 4800.0, 0.25, 7200.0, "")
CLOCK = ToldClock()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run of one store, as far as the pulse asks."""

    async def measure(*_: object) -> StoreProgress:
        return PROGRESS

    monkeypatch.setattr(progress_file, "measure", measure)
    store = SimpleNamespace(is_dry=False, folder=tmp_path, title="101 shop")
    return SimpleNamespace(visitor=SimpleNamespace(at_work=[store]), clock=CLOCK)


@pytest.fixture
def writing(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Each renaming waits to be let go: when it has `begun`, `go` lets it, and then it has `ended`."""
    steps = SimpleNamespace(begun=threading.Event(), go=threading.Event(), ended=threading.Event())
    rename = Path.replace

    def replace(part: Path, target: Path) -> Path:
        steps.begun.set()
        steps.go.wait(10)
        try:
            return rename(part, target)
        finally:
            steps.ended.set()

    monkeypatch.setattr(Path, "replace", replace)
    return steps


async def the_end_of(beating: "asyncio.Task[None]", writing: SimpleNamespace) -> None:
    """Cancelled while it writes."""
    await asyncio.to_thread(writing.begun.wait, 10)
    beating.cancel()
    await asyncio.sleep(0)
    writing.go.set()
    await asyncio.gather(beating, return_exceptions=True)
    await asyncio.to_thread(writing.ended.wait, 10)


async def test_the_progress_file_exists_while_the_run_lasts(
    run: Any, tmp_path: Path, writing: SimpleNamespace
) -> None:
    beating = asyncio.create_task(progress_file.write_progress(run))
    writing.go.set()
    await asyncio.to_thread(writing.ended.wait, 10)
    assert read_progress(tmp_path, CLOCK) == PROGRESS
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    assert list(tmp_path.iterdir()) == []


async def test_a_cancel_during_a_write_leaves_nothing(run: Any, tmp_path: Path, writing: SimpleNamespace) -> None:
    """The writing thread cannot be stopped; its file is removed when it is done."""
    await the_end_of(asyncio.create_task(progress_file.write_progress(run)), writing)
    assert list(tmp_path.iterdir()) == []


async def test_a_failed_rename_leaves_no_part(run: Any, tmp_path: Path, writing: SimpleNamespace) -> None:
    (tmp_path / NAME / "in the way").mkdir(parents=True)
    await the_end_of(asyncio.create_task(progress_file.write_progress(run)), writing)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
