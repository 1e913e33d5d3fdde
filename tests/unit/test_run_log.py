"""The runs of an archive, also those that ended before any store was known."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from market_photos.archive.catalog.requests import PastRun
from market_photos.archive.lock import Holder
from market_photos.clock import Moment
from market_photos.errors import ExitCode, KeyRefused
from market_photos.reporting.run_log import FOLDER, KEPT, RunRecord, last_runs, recording_of
from market_photos.reporting.status import run_text, with_holder
from market_photos.reporting.summary import outcome_of
from market_photos.settings import Archive

REFUSED = outcome_of(None, KeyRefused("The API refuses the key.", "Check it."))


class Clock:
    def __init__(self, wall: float = 1_790_000_000) -> None:
        self.wall = wall

    def now(self) -> Moment:
        return Moment(self.wall)


def test_a_run_without_a_report_is_on_record_with_its_reason(tmp_path: Path) -> None:
    with recording_of(Archive(directory=tmp_path), "sync", Clock()) as record:
        record.end(REFUSED)
    (run,) = last_runs(tmp_path)
    assert (run.command, run.exit_code, run.outcome) == ("sync", ExitCode.KEY, "not complete")
    assert run_text(run).endswith("the key is refused (exit 4): The API refuses the key.")


def test_a_run_is_at_work_while_its_process_holds_the_record(tmp_path: Path) -> None:
    """A dead process frees the lock, so that a run that was killed is known as cut short."""
    with recording_of(Archive(directory=tmp_path), "sync", Clock()):
        assert last_runs(tmp_path)[0].outcome == "at work"
    assert last_runs(tmp_path)[0].outcome == "cut short"


def test_the_first_run_of_an_archive_is_recorded_at_its_end(tmp_path: Path) -> None:
    """It makes the archive's folder; the record does not, as the volume may not be mounted."""
    archive = tmp_path / "archive"
    with recording_of(Archive(directory=archive), "sync", Clock()) as record:
        assert not archive.exists()
        archive.mkdir()
        record.end(REFUSED)
    assert [run.exit_code for run in last_runs(archive)] == [ExitCode.KEY]


def test_nothing_is_recorded_in_the_folder_that_replaces_a_moved_archive(tmp_path: Path) -> None:
    """It may be the mount point of a volume that was unmounted, or another archive."""
    archive = tmp_path / "archive"
    archive.mkdir()
    with recording_of(Archive(directory=archive), "sync", Clock()) as record:
        archive.rename(tmp_path / "moved")
        (archive / FOLDER).mkdir(parents=True)
        record.end(REFUSED)
    assert list(archive.rglob("*.json")) == []


@pytest.mark.parametrize("marker", ["MOUNTED", None])
def test_nothing_is_recorded_where_no_archive_is_mounted(tmp_path: Path, marker: str | None) -> None:
    folder = tmp_path if marker else tmp_path / "none"
    with recording_of(Archive(directory=folder, marker=marker), "sync", Clock()) as record:
        record.end(REFUSED)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_does_not_concern_the_run(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("in the way")
    with recording_of(Archive(directory=tmp_path), "sync", Clock()) as record:
        record.end(REFUSED)
    assert last_runs(tmp_path) == []


def test_the_records_are_few(tmp_path: Path) -> None:
    clock = Clock()
    for number in range(KEPT + 20):
        clock.wall += 1
        with ExitStack() as held:
            record = RunRecord(Archive(directory=tmp_path), f"sync {number}", clock, held)
            record.begin()
            record.end(REFUSED)
    assert len(list((tmp_path / FOLDER).iterdir())) == KEPT
    assert [run.command for run in last_runs(tmp_path, 2)] == [f"sync {KEPT + 19}", f"sync {KEPT + 18}"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"command": 1}', b"[" * 9999, b'{"since": "x", "command": ""}']
)
def test_a_file_that_no_run_has_written_is_no_run(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "1.json").write_bytes(content)
    assert last_runs(tmp_path) == []


BEGUN = PastRun("sync", 1_790_000_000, None, None, {})


@pytest.mark.parametrize(
    ("holder", "outcome"),
    [
        (None, "cut short"),
        (Holder("sync", 1, "here", "2026-09-21T14:13:00Z"), "at work"),
        (Holder("verify", 1, "here", "2026-09-21T14:13:00Z"), "cut short"),
        (Holder("sync", 1, "here", "2026-09-22T14:13:00Z"), "cut short"),
    ],
)
def test_a_run_without_an_end_is_at_work_only_while_it_holds_the_lock(holder: Holder | None, outcome: str) -> None:
    """Not one that was killed before the present holder took the lock."""
    run = with_holder(BEGUN, holder)
    assert run.outcome == outcome
    assert outcome in run_text(run)


def test_a_dry_run_is_called_one(tmp_path: Path) -> None:
    run = PastRun("sync --dry-run", 0, 1, ExitCode.COMPLETE, {"would_fetch": 62})
    assert run.as_json()["outcome"] == "dry run"
    assert run_text(run).endswith("a dry run: 62 photos would be fetched")
    assert json.dumps(run.as_json())
