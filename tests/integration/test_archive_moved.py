"""The archive is moved, removed, replaced or unmounted while a run is at work: exit 5 at once, nothing made again.

Mounts need root and are skipped without; they are made in the test's own folder and unmounted again.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from market_photos.sandbox import actions
from tests.integration.harness import CAMPAIGN, Outcome, World, a_world
from tests.integration.test_disk_faults import IN_FLIGHT
from tests.integration.volumes import execute, small_volume

#: Photos that arrive before the change, and photos in all.
BEFORE, PHOTOS = 20, 60
MARKER = "THIS-IS-IT"


def _replace(path: Path) -> None:
    """Put a new one of the same kind in its place, and keep the old one under another name."""
    path.rename(path.with_name(f"{path.name}.aside"))
    if path.suffix:
        path.touch()
    else:
        path.mkdir()


def _move_away(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.aside"))


def _remove(path: Path) -> None:
    if path.is_dir():
        _move_away(path)
        shutil.rmtree(path.with_name(f"{path.name}.aside"), ignore_errors=True)  # the run may be adding a file to it
    else:
        path.unlink()


def _replace_with_stores(path: Path) -> None:
    """Replace the archive by one that has a folder for the same store, as an older copy has."""
    _replace(path)
    (path / str(CAMPAIGN) / "photos").mkdir(parents=True)


def _sync_while(world: World, happens: Callable[[], object], *, kind: str = "photo", nth: int = BEFORE) -> Outcome:
    world.sandbox.faults.add(actions.meanwhile(happens), kind=kind, nth=nth)
    return world.sync_command()


def _tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def _assert_stopped(world: World, outcome: Outcome) -> None:
    """Assert that the run stopped at once: no requests follow except those that the workers had begun."""
    assert outcome.code == 5, outcome.text
    assert "moved, removed or unmounted" in outcome.text
    assert sum(world.requests_per_photo().values()) <= BEFORE + 2 * IN_FLIGHT
    world.assert_no_key()


#: The change, and the path that it concerns, relative to the archive.
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
    with a_world(tmp_path, returns=PHOTOS // 2, photos=2) as world:
        left: list[str] = []
        is_whole = name == "." and harm is not _remove  # a removed folder may leave anything, and change any time

        def happens() -> None:
            harm(Path(os.path.normpath(world.archive / name)))
            if is_whole and world.archive.exists():
                left.extend(_tree(world.archive))

        _assert_stopped(world, _sync_while(world, happens))
        if is_whole:
            assert (_tree(world.archive) if world.archive.exists() else []) == left


def test_an_archive_moved_during_the_listing_stops_the_run(tmp_path: Path) -> None:
    """No page is recorded in the moved archive, and no photo is requested."""
    with a_world(tmp_path, returns=PHOTOS // 2, photos=2) as world:
        outcome = _sync_while(world, lambda: _move_away(world.archive), kind="returns", nth=1)
        assert outcome.code == 5, outcome.text
        assert (world.requests_per_photo(), world.archive.exists()) == ({}, False)


def test_an_archive_moved_before_the_first_store_is_opened_stops_the_run(tmp_path: Path) -> None:
    with a_world(tmp_path, returns=1) as world:
        world.settings["campaigns"] = {"ids": [CAMPAIGN]}
        outcome = _sync_while(world, lambda: _replace_with_stores(world.archive), kind="campaigns", nth=1)
        assert outcome.code == 5, outcome.text
        assert _tree(world.archive) == [str(CAMPAIGN), f"{CAMPAIGN}/photos"]


def test_a_moved_archive_is_complete_once_it_is_back(tmp_path: Path) -> None:
    with a_world(tmp_path, returns=PHOTOS // 2, photos=2) as world:
        _assert_stopped(world, _sync_while(world, lambda: _move_away(world.archive)))
        world.archive.with_name("archive.aside").rename(world.archive)
        outcome = world.sync_command()
        assert outcome.code == 0, outcome.text
        assert sum(count - 1 for count in world.requests_per_photo().values()) <= IN_FLIGHT
        world.assert_complete()


@pytest.mark.parametrize("marker", [None, MARKER])
@pytest.mark.parametrize("mount_over", [False, True])
def test_a_volume_unmounted_or_covered_during_a_run_takes_no_photo(
    tmp_path: Path, marker: str | None, mount_over: bool
) -> None:
    """Unmounted, or covered by another volume: no photo goes into what the path leads to then."""
    with (
        small_volume(tmp_path / "volume", "size=20m") as volume,
        a_world(tmp_path, returns=PHOTOS // 2, photos=2, archive={"directory": str(volume)}) as world,
    ):
        if marker:
            (volume / marker).touch()
            world.settings["archive"]["marker"] = marker
        if mount_over:
            harm = lambda: execute("mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", str(volume))  # noqa: E731
        else:
            harm = lambda: execute("umount", "--lazy", str(volume))  # noqa: E731
        try:
            _assert_stopped(world, _sync_while(world, harm))
            assert _tree(volume) == []
        finally:
            if not mount_over:  # `small_volume` unmounts the other
                execute("mount", "-t", "tmpfs", "tmpfs", str(volume))
            else:
                execute("umount", "--lazy", str(volume))


def test_a_marker_removed_during_a_run_stops_it(tmp_path: Path) -> None:
    with a_world(tmp_path, returns=PHOTOS // 2, photos=2, archive={"marker": MARKER}) as world:
        world.archive.mkdir()
        (world.archive / MARKER).touch()
        _assert_stopped(world, _sync_while(world, (world.archive / MARKER).unlink))
