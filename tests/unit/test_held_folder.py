"""A run notices before a commit that the folder of its store has been moved or replaced."""

import os
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.held_folder import HeldFolder
from market_photos.errors import ArchiveUnwritable
from tests.unit.worlds import ToldClock

NAMES = ("catalog.sqlite3", "run.lock")


@pytest.fixture
def held_folder(tmp_path: Path) -> Iterator[HeldFolder]:
    """Hold the folder of a store with photos, in an archive with a marker."""
    store = tmp_path / "archive" / "101"
    (store / "photos").mkdir(parents=True)
    (store.parent / "MARKER").touch()
    with HeldFolder(store, "MARKER") as held_folder:
        for name in NAMES:
            (store / name).touch()
            held_folder.keep(name)
        yield held_folder


def replace(path: Path) -> None:
    """Move it aside and put another one of its kind in its place."""
    kept = path.rename(path.with_name(f"{path.name}.aside"))
    if kept.is_dir():
        path.mkdir()
    else:
        path.touch()


def remove(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.aside"))


@pytest.mark.parametrize("harm", [replace, remove])
@pytest.mark.parametrize("name", [".", "..", "photos", *NAMES])
def test_a_moved_or_replaced_part_is_named(held_folder: HeldFolder, harm: Callable[[Path], None], name: str) -> None:
    """The archive, the store's folder, its photos, catalogue and lock are watched."""
    held_folder.require_same()
    target = Path(os.path.normpath(held_folder.folder / name))
    harm(target)
    with pytest.raises(ArchiveUnwritable, match="moved, removed or unmounted") as caught:
        held_folder.require_same()
    assert str(target) in caught.value.message
    before = sorted(held_folder.folder.parent.parent.rglob("*"))
    with pytest.raises(ArchiveUnwritable):
        held_folder.make_folder(held_folder.folder / "photos" / "2026-01" / "1-1")
    assert sorted(held_folder.folder.parent.parent.rglob("*")) == before


def test_a_missing_marker_is_noticed(held_folder: HeldFolder) -> None:
    (held_folder.folder.parent / "MARKER").unlink()
    with pytest.raises(ArchiveUnwritable, match="MARKER"):
        held_folder.require_same()


def test_a_switched_link_to_the_archive_is_noticed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "101").mkdir(parents=True)
    (tmp_path / "archive").symlink_to("one")
    with HeldFolder(tmp_path / "archive" / "101") as held_folder:
        held_folder.make_folder(held_folder.folder / "photos" / "2026-01")
        (tmp_path / "archive").unlink()
        (tmp_path / "archive").symlink_to("two")
        with pytest.raises(ArchiveUnwritable):
            held_folder.make_folder(held_folder.folder / "photos" / "2026-02")
    assert list((tmp_path / "two" / "101").iterdir()) == []


def test_a_photos_folder_made_during_the_run_is_watched_too(tmp_path: Path) -> None:
    with HeldFolder(tmp_path) as held_folder:
        held_folder.make_folder(tmp_path / "photos" / "2026-01")
        held_folder.require_same()
        replace(tmp_path / "photos")
        with pytest.raises(ArchiveUnwritable, match="photos"):
            held_folder.require_same()


def test_other_files_may_come_and_go(held_folder: HeldFolder) -> None:
    (held_folder.folder / "catalog.sqlite3-wal").touch()
    (held_folder.folder / "photos" / "2026-01").mkdir()
    (held_folder.folder / "photos" / "2026-01").rmdir()
    held_folder.require_same()


def test_a_removed_catalogue_takes_no_commit(tmp_path: Path) -> None:
    """SQLite alone would go on writing to the removed file, and report success."""
    with Catalog(tmp_path, 101, ToldClock()) as catalog:
        catalog.returns.set_meta("name", "before")
        (tmp_path / "catalog.sqlite3").unlink()
        with pytest.raises(ArchiveUnwritable, match=r"catalog\.sqlite3"):
            catalog.returns.set_meta("name", "after")
        assert catalog.returns.meta("name") == "before"


def test_a_check_costs_microseconds(held_folder: HeldFolder) -> None:
    """Each photo needs two; 11 µs together where it was measured. The bound leaves room for a busy machine."""
    assert min(timeit.repeat(held_folder.require_same, number=200, repeat=5)) / 200 < 100e-6
