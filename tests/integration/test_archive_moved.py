"""The archive is moved, removed, replaced or unmounted while a run is at work: exit 5 at once, and nothing made anew.

Mounts need root and are skipped without; they are made in the test's own folder and unmounted again.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from market_photos.sandbox import actions
from tests.integration.archive_kit import CAMPAIGN, Case, Outcome, a_case
from tests.integration.test_disk_faults import IN_FLIGHT, _do, _volume

#: Photos that come before it happens, and all.
BEFORE, PHOTOS = 20, 60
MARKER = "THIS-IS-IT"


def _replace(path: Path) -> None:
    """Another one of its kind in its place; what was there stays under another name."""
    path.rename(path.with_name(f"{path.name}.aside"))
    if path.suffix:
        path.touch()
    else:
        path.mkdir()


def _move_away(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.aside"))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)  # the run may be adding a file to it
        _move_away(path)
    else:
        path.unlink()


def _replace_with_stores(path: Path) -> None:
    """By an archive that has a folder for the same store, as an older copy would."""
    _replace(path)
    (path / str(CAMPAIGN) / "photos").mkdir(parents=True)


def _sync_while(case: Case, happens: Callable[[], object], *, kind: str = "photo", nth: int = BEFORE) -> Outcome:
    case.sandbox.faults.add(actions.meanwhile(happens), kind=kind, nth=nth)
    return case.sync()


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def _assert_stopped(case: Case, outcome: Outcome) -> None:
    """At once: what was in flight, and what the workers had begun, is all that was asked for afterwards."""
    assert outcome.code == 5, outcome.said
    assert "moved, removed or unmounted" in outcome.said
    assert sum(case.asked().values()) <= BEFORE + 2 * IN_FLIGHT
    case.assert_no_key()


#: What happens, and to what, relative to the archive.
HARMS = [
    (_move_away, "."),
    (_remove, "."),
    (_replace, "."),
    (_replace_with_stores, "."),
    (_move_away, "101"),
    (_remove, "101"),
    (_replace, "101"),
    (_move_away, "101/photos"),
    (_replace, "101/photos"),
    (_remove, "101/catalog.sqlite3"),
    (_replace, "101/catalog.sqlite3"),
    (_remove, "101/run.lock"),
    (_replace, "101/run.lock"),
]


@pytest.mark.parametrize(("harm", "name"), HARMS)
def test_a_change_of_the_archive_during_a_run_stops_it_with_5(
    tmp_path: Path, harm: Callable[[Path], None], name: str
) -> None:
    with a_case(tmp_path, returns=PHOTOS // 2, photos=2) as case:
        left: list[str] = []

        def happens() -> None:
            harm(Path(os.path.normpath(case.archive / name)))
            left.extend(_tree(case.archive) if case.archive.exists() else [])

        _assert_stopped(case, _sync_while(case, happens))
        if name == "." and harm is not _remove:  # what is left of an archive that was removed may be anything
            assert (_tree(case.archive) if case.archive.exists() else []) == left


def test_an_archive_moved_during_the_listing_stops_the_run(tmp_path: Path) -> None:
    """No page is recorded in an archive that nobody will find, and no photo is asked for."""
    with a_case(tmp_path, returns=PHOTOS // 2, photos=2) as case:
        outcome = _sync_while(case, lambda: _move_away(case.archive), kind="returns", nth=1)
        assert outcome.code == 5, outcome.said
        assert (case.asked(), case.archive.exists()) == ({}, False)


def test_an_archive_moved_before_the_first_store_is_opened_stops_the_run(tmp_path: Path) -> None:
    """Between the lock and the catalogue."""
    with a_case(tmp_path, returns=1) as case:
        case.config.write_text(f"{case.config.read_text()}[campaigns]\nids = [{CAMPAIGN}]\n")
        outcome = _sync_while(case, lambda: _replace_with_stores(case.archive), kind="campaigns", nth=1)
        assert outcome.code == 5, outcome.said
        assert _tree(case.archive) == [str(CAMPAIGN), f"{CAMPAIGN}/photos"]


def test_a_moved_archive_is_complete_once_it_is_back(tmp_path: Path) -> None:
    with a_case(tmp_path, returns=PHOTOS // 2, photos=2) as case:
        _assert_stopped(case, _sync_while(case, lambda: _move_away(case.archive)))
        case.archive.with_name("archive.aside").rename(case.archive)
        outcome = case.sync()
        assert outcome.code == 0, outcome.said
        assert sum(count - 1 for count in case.asked().values()) <= IN_FLIGHT
        case.assert_whole()


@pytest.mark.parametrize("marker", [None, MARKER])
@pytest.mark.parametrize("mount_over", [False, True])
def test_a_volume_unmounted_or_covered_during_a_run_takes_no_photo(
    tmp_path: Path, marker: str | None, mount_over: bool
) -> None:
    """Unmounted, or covered by another volume: no photo goes into what the path leads to then."""
    with (
        _volume(tmp_path / "volume", "size=20m") as volume,
        a_case(tmp_path, returns=PHOTOS // 2, photos=2, archive=volume, marker=marker or "lost") as case,
    ):
        (volume / (marker or "lost")).touch()
        if marker is None:
            case.configure()
        if mount_over:
            harm = lambda: _do("mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", str(volume))  # noqa: E731
        else:
            harm = lambda: _do("umount", "--lazy", str(volume))  # noqa: E731
        try:
            _assert_stopped(case, _sync_while(case, harm))
            assert _tree(volume) == []
        finally:
            if not mount_over:  # `_volume` unmounts one
                _do("mount", "-t", "tmpfs", "tmpfs", str(volume))
            else:
                _do("umount", "--lazy", str(volume))


def test_a_marker_removed_during_a_run_stops_it(tmp_path: Path) -> None:
    with a_case(tmp_path, returns=PHOTOS // 2, photos=2, marker=MARKER) as case:
        case.archive.mkdir()
        (case.archive / MARKER).touch()
        _assert_stopped(case, _sync_while(case, (case.archive / MARKER).unlink))
