"""Rebuild, verify and prune name odd things in the tree, leave them alone, and follow no link out of it."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from market_photos.archive.folder_files import FolderFiles
from market_photos.maintenance.salvage import salvage
from market_photos.sandbox import Market, running
from tests.integration.harness import CAMPAIGN, NOW, World, a_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Make a complete archive."""
    with a_world(tmp_path, odd=True, synced=True) as world:
        yield world


def _month(world: World) -> Path:
    return next((world.store / "photos").iterdir())


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


def _link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def _link_out(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _folder(path: Path) -> None:
    path.mkdir()


KINDS = [_pipe, _socket, _link_to_a_device, _link_to_itself, _link_out, _folder]


@pytest.mark.parametrize("make", KINDS)
def test_special_files_are_named_and_left(world: World, make: Callable[[Path], None]) -> None:
    """They stand in place of a photo, a record, a tombstone, a hold or a folder, and no command hangs."""
    month = _month(world)
    folder = world.file_of(world.market.photos()[0]).parent
    odd = [
        folder / "70000001-abc.jpg",
        folder / "pruned.json",
        folder / "hold",
        month / "1-1",
        month.parent / "2020-01",
    ]
    odd += [month.parent / "not-a-month", month / "99999999999999999999-1", month / "9223372036854775808-1"]
    if make is not _folder:
        (month / "5-5").mkdir()
        odd.append(month / "5-5" / "return.json")
    for path in odd:
        make(path)
    before = {path: path.lstat().st_mode for path in odd}
    files = len(world.files())
    verified = world.command("verify", "--full")
    assert verified.code in (0, 10)
    world.lose_catalog()
    rebuilt = world.command("rebuild")
    assert rebuilt.code == 0, rebuilt.text
    assert "13 photos here, 0 lacking" in rebuilt.stdout
    for name in ("70000001-abc.jpg", "99999999999999999999-1", "9223372036854775808-1", "not-a-month"):
        assert name in rebuilt.stdout
    assert {path: path.lstat().st_mode for path in odd} == before
    asked = world.requests_per_photo()
    assert world.sync_command().code == 0
    assert world.requests_per_photo() == asked
    assert len(world.files()) == files
    world.assert_no_key()


def test_names_that_are_not_utf_8_are_printed(world: World) -> None:
    """So are names with line ends: one line each, and no traceback."""
    folder = world.file_of(world.market.photos()[0]).parent
    for name in (b"\xd4\xee\xf2\xee.jpg", b"two\nlines", b"\x1b[31mred"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"mine")
        Path(os.fsdecode(os.fsencode(folder.parent) + b"/" + name)).mkdir()
    for command in (("verify",), ("verify", "--json"), ("prune", "--older-than", "90y", "--yes")):
        assert "Traceback" not in world.command(*command).text
    world.lose_catalog()
    rebuilt = world.command("rebuild")
    assert rebuilt.code == 0, rebuilt.text
    assert "two?lines" in rebuilt.stdout
    assert "\x1b" not in rebuilt.stdout


def _tombstone(folder: Path, photos: int) -> float:
    """Return the processor seconds for a tombstone of `photos` photos whose files are there too."""
    folder.mkdir(parents=True)
    listed = [{"item": number, "hash": f"{number:x}", "size": 1, "sha256": ""} for number in range(photos)]
    (folder / "pruned.json").write_text(json.dumps({"created_at": 1, "pruned_at": 2, "photos": listed}))
    for number in range(photos // 10):
        (folder / f"{number}-{number:x}.jpg").write_bytes(b"\xff\xd8\xff")
    began = time.process_time()
    found = salvage(CAMPAIGN, FolderFiles(folder.parents[1]), Path(*folder.parts[-2:])).found
    assert found is not None
    assert len(found.photos) == photos
    return time.process_time() - began


def test_a_huge_tombstone_takes_linear_time(tmp_path: Path) -> None:
    """Ten times the entries take about ten times as long, not a hundred times."""
    small = _tombstone(tmp_path / "2026-01" / "1-1", 2_000)
    large = _tombstone(tmp_path / "2026-01" / "1-2", 20_000)
    assert large < 40 * small + 0.2


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 200_000,
        b'{"photos": ' * 50_000,
        b'{"photos": [{"item": 9223372036854775808, "hash": "a"}, {"item": true, "hash": "b"}]}',
        b'{"photos": [{"item": 1, "hash": "\\ud800"}, {"item": 1, "hash": ""}, {"item": -1, "hash": "a"}, 5]}',
        b'{"created_at": 1e99, "pruned_at": 99999999999999999999, "photos": [{"item": 1, "hash": "a"}]}',
        b'{"created_at": 99999999999999999999, "photos": 5}',
        b"\xff\xfe",
        b"",
    ],
)
def test_a_malformed_tombstone_is_read_as_far_as_possible(world: World, content: bytes) -> None:
    world.file_of(world.market.photos()[0]).with_name("pruned.json").write_bytes(content)
    world.lose_catalog()
    rebuilt = world.command("rebuild")
    assert rebuilt.code == 0, rebuilt.text
    assert "13 photos here" in rebuilt.stdout
    assert world.sync_command().code == 0


@pytest.mark.parametrize(
    "content", [b'{"id": 1, "orderId": 2, "x": ' + b"[" * 5000 + b"]" * 5000 + b"}", b"[" * 100_000]
)
def test_a_record_that_is_too_deep_is_left(world: World, content: bytes) -> None:
    folder = _month(world) / "2-1"
    folder.mkdir()
    (folder / "return.json").write_bytes(content)
    (folder / "3-abc.jpg").write_bytes(b"\xff\xd8\xff\xd9")
    world.lose_catalog()
    rebuilt = world.command("rebuild")
    assert rebuilt.code == 0, rebuilt.text
    assert "2-1/return.json" in rebuilt.stdout
    assert "14 photos here" in rebuilt.stdout


def test_prune_deletes_nothing_behind_a_link(tmp_path: Path) -> None:
    """A folder of the archive that became a link is named (5); put back, the same prune goes on."""
    market = Market(seed=3, now=NOW)
    market.add_store(CAMPAIGN).add_return(2)
    with running(market) as sandbox:
        world = World(market, sandbox, tmp_path)
        assert world.sync_command().code == 0
        folder = world.file_of(market.photos()[0]).parent
        elsewhere = tmp_path / "elsewhere"
        folder.rename(elsewhere)
        folder.symlink_to(elsewhere)
        before = sorted(path.name for path in elsewhere.iterdir())
        outcome = world.command("prune", "--older-than", "1d", "--yes")
        assert outcome.code == 5, outcome.text
        assert str(folder) in outcome.text
        assert sorted(path.name for path in elsewhere.iterdir()) == before
        held = world.command("hold", "--return", str(market.return_ids[0]))
        assert held.code in (2, 5)
        assert sorted(path.name for path in elsewhere.iterdir()) == before
        folder.unlink()
        elsewhere.rename(folder)
        assert world.command("prune", "--older-than", "1d", "--yes").code == 0
        assert [path.name for path in folder.iterdir()] == ["pruned.json"]


def test_set_aside_files_behind_a_link_stay(world: World, tmp_path: Path) -> None:
    """A day in set-aside that is a link leads out of the archive."""
    photo = world.file_of(world.market.photos()[0])
    outside = tmp_path / "outside" / photo.parent.relative_to(world.store / "photos")
    outside.mkdir(parents=True)
    (outside / photo.name).write_bytes(b"mine")
    (world.store / "set-aside").mkdir()
    (world.store / "set-aside" / "2026-01-01").symlink_to(tmp_path / "outside")
    assert world.command("prune", "--older-than", "1d", "--yes").code == 0
    assert (outside / photo.name).read_bytes() == b"mine"


def test_a_folder_in_a_photos_place_stops_no_prune(world: World) -> None:
    """It is named and stays; everything else is pruned."""
    photo = world.file_of(world.market.photos()[0])
    photo.unlink()
    photo.mkdir()
    (photo / "mine").write_text("mine")
    outcome = world.command("prune", "--older-than", "1d", "--yes")
    assert outcome.code == 5
    assert photo.name in outcome.text
    assert (photo / "mine").read_text() == "mine"
    assert {path.name for path in world.files()} == {"mine", "pruned.json"}


def test_a_folder_removed_while_it_is_read_is_empty(tmp_path: Path) -> None:
    found = salvage(CAMPAIGN, FolderFiles(tmp_path), Path("2026-01", "1-1"))
    assert (found.found, found.unexplained) == (None, [])
