"""Verify finds, names and repairs faults of the archive without deleting anything."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.harness import CAMPAIGN, Outcome, World, a_world, wait_until


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Make a complete archive."""
    with a_world(tmp_path, odd=True, synced=True) as world:
        yield world


def _victim(world: World) -> Path:
    return world.file_of(world.market.photos()[0])


def _delete(world: World) -> None:
    _victim(world).unlink()


def _delete_folder(world: World) -> None:
    folder = _victim(world).parent
    folder.rename(world.folder / "elsewhere")


def _cut(world: World) -> None:
    os.truncate(_victim(world), 100)


def _flip(world: World) -> None:
    path = _victim(world)
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)


def _replace_by_link(world: World) -> None:
    path = _victim(world)
    copy = world.folder / "copy"
    path.rename(copy)
    path.symlink_to(copy)


def _part(world: World) -> None:
    path = _victim(world)
    path.with_name(f"{path.stem}.part").write_bytes(b"half")


def _stranger(world: World) -> None:
    (_victim(world).parent / "holiday.jpg").write_bytes(b"mine")


def _stranger_folder(world: World) -> None:
    (world.store / "photos" / "mine").mkdir()
    (world.store / "photos" / "mine" / "note.txt").write_text("mine")


def _return_nobody_knows(world: World) -> None:
    folder = _victim(world).parent.parent / "1-2"
    folder.mkdir()
    (folder / "3-abc.jpg").write_bytes(b"?")


def _delete_record(world: World) -> None:
    (_victim(world).parent / "return.json").unlink()


def _change_record(world: World) -> None:
    (_victim(world).parent / "return.json").write_bytes(b"{}\n")


Harm = Callable[[World], None]
#: The fault, and the problems that a quick and a full verify find.
HARMS: list[tuple[Harm, dict[str, int], dict[str, int]]] = [
    (_delete, {"missing": 1}, {"missing": 1}),
    (_delete_folder, {"missing": 3}, {"missing": 3}),
    (_cut, {"changed": 1}, {"changed": 1}),
    (_flip, {}, {"changed": 1}),
    (_replace_by_link, {"changed": 1}, {"changed": 1}),
    (_part, {"torn": 1}, {"torn": 1}),
    (_stranger, {"unknown": 1}, {"unknown": 1}),
    (_stranger_folder, {"unknown": 1}, {"unknown": 1}),
    (_return_nobody_knows, {"unknown": 1}, {"unknown": 1}),
    (_delete_record, {"missing": 1}, {"missing": 1}),
    (_change_record, {}, {"changed": 1}),
]


def _counts(world: World, *, full: bool = True, repair: bool = False) -> dict[str, int]:
    return dict(Counter(str(problem.kind) for problem in world.verify(full=full, repair=repair)))


@pytest.mark.parametrize(("harm", "quick", "full"), HARMS, ids=[harm.__name__ for harm, _, _ in HARMS])
def test_verify_finds_each_fault_and_repairs_it(
    world: World, harm: Harm, quick: dict[str, int], full: dict[str, int]
) -> None:
    """Each fault is found and named; after `--repair` and one sync the archive is whole, and nothing was deleted."""
    harm(world)
    photos_before = len(world.market.photos())
    assert _counts(world, full=False) == quick
    assert _counts(world) == full
    inodes = _inodes(world)
    assert _counts(world, repair=True) == full
    assert _inodes(world) >= inodes, "a repair deletes nothing"
    synced = world.sync_command()
    assert (synced.code, synced.json["discovered"], synced.json["pending"]) == (0, photos_before, 0)
    left = {kind: count for kind, count in full.items() if kind == "unknown"}
    assert _counts(world) == left
    world.assert_no_key()


def _inodes(world: World) -> set[int]:
    return {path.lstat().st_ino for path in world.store.rglob("*") if path.is_file() and "catalog" not in path.name}


def test_repair_requests_only_photos_that_are_wrong(world: World) -> None:
    """A repair queues the photos that are missing or changed, and the next sync asks for each of them once."""
    gone, changed = world.market.photos()[:2]
    changed_path = world.file_of(changed)
    world.file_of(gone).unlink()
    changed_path.write_bytes(b"something else")
    before = world.requests_per_photo()
    world.verify(repair=True)
    world.sync_command()
    again = {path for path, count in world.requests_per_photo().items() if count != before.get(path, 0)}
    assert {_hash(path) for path in again} == {gone.image_hash, changed.image_hash}
    aside = list((world.store / "set-aside").rglob(changed_path.name))
    assert [path.read_bytes() for path in aside] == [b"something else"]
    world.assert_complete()


def _hash(path: str) -> str:
    return path.rpartition("/")[2]


def test_a_file_set_aside_twice_keeps_both(world: World) -> None:
    path = _victim(world)
    for content in (b"first", b"second"):
        path.write_bytes(content)
        assert world.verify(repair=True)
        assert world.sync_command().code == 0
    aside = [path.read_bytes() for path in sorted((world.store / "set-aside").rglob("*")) if path.is_file()]
    assert aside == [b"first", b"second"]


def test_verify_beside_a_run_reports_nothing(tmp_path: Path) -> None:
    """During a sync, verify always finds a sound archive and changes nothing."""
    with a_world(tmp_path, returns=60, photos=3) as world:
        world.sandbox.latency = 0.02
        synced: list[int] = []
        sync = threading.Thread(target=lambda: synced.append(world.program("sync").code))
        sync.start()
        wait_until(lambda: world.log.count("photo", status=200) > 1)
        looks: list[Outcome] = []
        while sync.is_alive():
            looks.append(world.command("verify", "--full", "--json"))
        sync.join()
        assert synced == [0]
        seen = [look.json["stores"][0]["photos"] for look in looks if look.code == 0]
        assert [(look.code, look.text) for look in looks if look.code] == []
        assert any(0 < photos < 180 for photos in seen), "no look fell into the run"
        world.assert_complete()


def test_a_repair_beside_a_run_is_refused(tmp_path: Path) -> None:
    """A repair changes what a run relies on; a plain verify is allowed."""
    with a_world(tmp_path) as world:
        world.sandbox.latency = 1.0
        sync = threading.Thread(target=partial(world.program, "sync"))
        sync.start()
        while sync.is_alive() and not (world.store / "catalog.sqlite3").exists():
            pass
        refused = world.command("verify", "--repair")
        sync.join()
        assert (refused.code, "another run is at work" in refused.stderr) == (6, True)


@pytest.mark.parametrize(
    ("arguments", "words"), [((), "no archive yet"), (("--campaign", str(CAMPAIGN)), "no store 101")]
)
def test_a_missing_archive_is_not_reported_as_sound(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    with a_world(tmp_path) as world:
        outcome = world.command("verify", *arguments)
    assert (outcome.code, words in outcome.stderr) == (2, True)


def test_each_problem_is_a_line_with_its_path(world: World) -> None:
    """A person reads kind, path and reason of each problem, and what to do."""
    _delete(world)
    outcome = world.command("verify")
    [line] = outcome.stdout.splitlines()
    assert line.startswith("missing ")
    assert f"{CAMPAIGN}/photos/" in line
    assert "verify --repair" in outcome.stderr
