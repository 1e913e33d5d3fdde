"""`status --max-age`: silence is not success."""

import json
from pathlib import Path
from typing import Any

import pytest

from market_photos.cli.status import StatusOptions, show, watch
from market_photos.clock import Moment
from market_photos.config import Settings
from market_photos.errors import ExitCode
from market_photos.settings import Archive as ArchiveSettings
from market_photos.settings import Campaigns
from tests.archives import ArchiveOf

NOW = 1_790_000_000
HOUR = 3600


class Clock:
    def now(self) -> Moment:
        return Moment(NOW)


def add_run(store: ArchiveOf, command: str, code: int | None, ended_at: int | None, summary: str = "{}") -> None:
    row = (command, (ended_at or 0) - 60, ended_at, code, summary)
    store.execute("INSERT INTO runs(command, started_at, ended_at, exit_code, summary) VALUES (?, ?, ?, ?, ?)", row)


def asked(tmp_path: Path, *, ids: tuple[int, ...] = (), **options: Any) -> ExitCode:
    settings = Settings(archive=ArchiveSettings(directory=tmp_path), campaigns=Campaigns(ids=ids))
    return show(settings, StatusOptions(**{"max_age": 26.0 * HOUR} | options), Clock())


@pytest.mark.parametrize(
    ("runs", "is_fresh"),
    [
        ([("sync", 0, NOW - 25 * HOUR, "{}")], True),
        ([("sync --full --quiet", 0, NOW - HOUR, "{}")], True),
        ([("sync", 0, NOW + 60, "{}")], True),
        ([("sync", 0, NOW - 27 * HOUR, "{}")], False),
        ([("sync", 3, NOW - HOUR, "{}")], False),
        ([("sync", 0, NOW - 27 * HOUR, "{}"), ("sync", 7, NOW - HOUR, "{}")], False),
        ([("sync", None, None, "{}")], False),
        ([("backfill --from 2024-01-01", 0, NOW - HOUR, "{}")], False),
        ([("fetch", 0, NOW - HOUR, "{}")], False),
        ([("syncopate", 0, NOW - HOUR, "{}")], False),
        ([("sync --dry-run", 0, NOW - HOUR, json.dumps({"would_fetch": 0}))], False),
        ([("sync", 0, NOW + 30 * HOUR, "{}")], False),
        ([], False),
    ],
)
def test_only_a_complete_sync_counts(
    tmp_path: Path,
    runs: list[tuple[str, int | None, int | None, str]],
    is_fresh: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 0 of a real sync, not too long ago; neither failures, dry runs, other commands nor a clock gone wrong."""
    store = ArchiveOf(tmp_path)
    for run in runs:
        add_run(store, *run)
    assert (asked(tmp_path) is ExitCode.COMPLETE) is is_fresh
    assert ("overdue: store 101" in capsys.readouterr().err) is not is_fresh


def test_every_selected_store_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also one of the configuration that was never synced; not one that nobody wants."""
    fresh, stale = ArchiveOf(tmp_path, 101), ArchiveOf(tmp_path, 102)
    add_run(fresh, "sync", 0, NOW - HOUR)
    add_run(stale, "sync", 0, NOW - 50 * HOUR)
    assert asked(tmp_path) is ExitCode.INTERNAL
    assert asked(tmp_path, ids=(101,)) is ExitCode.COMPLETE
    assert asked(tmp_path, campaigns=(101,)) is ExitCode.COMPLETE
    capsys.readouterr()
    assert asked(tmp_path, ids=(101, 103), as_json=True) is ExitCode.INTERNAL
    out, err = capsys.readouterr()
    assert "store 103: no sync has ever been complete" in err
    assert json.loads(out)["overdue"] == ["store 103: no sync has ever been complete"]


def test_an_archive_without_stores_is_overdue(tmp_path: Path) -> None:
    assert asked(tmp_path) is ExitCode.INTERNAL
    assert asked(tmp_path, max_age=None) is ExitCode.COMPLETE


def test_an_overdue_store_is_named_with_its_last_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ArchiveOf(tmp_path)
    add_run(store, "sync", 0, NOW - 50 * HOUR)
    asked(tmp_path)
    err = capsys.readouterr().err
    assert "no complete sync since 2026-09-19T12:13:20Z, 2 days 2 h ago; at most 26 h 00 min is allowed" in err


def test_several_stores_begin_with_their_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for campaign, photos in ((101, 2), (102, 3)):
        ArchiveOf(tmp_path, campaign).add(photos=photos)
    asked(tmp_path, max_age=None)
    assert capsys.readouterr().out.splitlines()[0] == (
        "2 stores: 0 archived, 5 pending, 0 failed, 0 pruned, 0 gone, 0 bytes"
    )


def test_watching_returns_the_exit_code_of_the_last_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is the way out, not an error; the exit code is what the last look found."""
    codes = iter([ExitCode.COMPLETE, ExitCode.INTERNAL])
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", nap)
    assert watch(lambda: next(codes), 7.0, clear=False) is ExitCode.INTERNAL
    assert naps == [7.0, 7.0]
