"""A store that cannot be checked or pruned costs the other stores nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from market_photos.archive.lock import Lock
from tests.archives import DAY, NOW, ArchiveOf, FixedClock
from tests.integration.harness import World, a_world

#: The numbers of the stores; what is wrong is wrong with the one in the middle.
FIRST, WRONG, LAST = 101, 102, 103


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        for number in (FIRST, WRONG, LAST):
            store = ArchiveOf(tmp_path / "archive", number)
            store.bring(store.add(created_at=NOW - 3000 * DAY))
        yield world


def _damage(world: World, store: int = WRONG) -> None:
    folder = world.archive / str(store)
    for file in folder.glob("catalog.sqlite3*"):
        file.unlink()
    (folder / "catalog.sqlite3").write_bytes(b"garbage" * 2000)


@pytest.mark.parametrize("words", [(), ("--repair",), ("--full",)])
def test_verify_tells_of_the_others(world: World, words: tuple[str, ...]) -> None:
    _damage(world)
    outcome = world.command("verify", "--json", *words)
    assert outcome.code == outcome.json["exit_code"] == 9
    assert [(store["campaign"], store["photos"]) for store in outcome.json["stores"]] == [(FIRST, 1), (LAST, 1)]
    (error,) = outcome.json["errors"]
    assert (error["campaign"], error["exit_code"]) == (WRONG, 9)
    assert "catalog.sqlite3" in error["message"]
    assert "rebuild" in outcome.stderr


def test_prune_prunes_the_others(world: World) -> None:
    _damage(world)
    outcome = world.command("prune", "--older-than", "1y", "--yes", "--json")
    assert (outcome.code, outcome.json["exit_code"], outcome.json["pruned_returns"]) == (9, 9, 2)
    assert [error["campaign"] for error in outcome.json["errors"]] == [WRONG]
    assert outcome.stderr.count("error: ") == 1
    again = world.command(
        "prune", "--older-than", "1y", "--yes", "--json", f"--campaign={FIRST}", f"--campaign={LAST}"
    )
    assert (again.code, again.json["pruned_returns"], again.json["errors"]) == (0, 0, [])


def test_prune_leaves_a_store_on_which_a_run_is_at_work(world: World) -> None:
    with Lock(world.archive / str(WRONG) / "run.lock", "sync", FixedClock()):
        outcome = world.command("prune", "--older-than", "1y", "--yes", "--json")
    assert (outcome.code, outcome.json["pruned_returns"]) == (6, 2)
    assert [(error["campaign"], error["exit_code"]) for error in outcome.json["errors"]] == [(WRONG, 6)]
    assert world.command("prune", "--older-than", "1y", "--yes", "--json").json["pruned_returns"] == 1


def test_rebuild_rebuilds_the_others(world: World) -> None:
    _damage(world, FIRST)
    _damage(world, LAST)
    with Lock(world.archive / str(FIRST) / "run.lock", "sync", FixedClock()):
        outcome = world.command("rebuild")
    assert outcome.code == 6
    assert "error: " in outcome.stderr
    assert world.command("verify", f"--campaign={LAST}").code == 0
    assert world.command("verify", f"--campaign={FIRST}").code == 9


def test_copy_copies_the_others(world: World, tmp_path: Path) -> None:
    _damage(world)
    with Lock(world.archive / str(FIRST) / "run.lock", "sync", FixedClock()):
        outcome = world.command("copy", "--to", str(tmp_path / "copy"))
    assert outcome.code == 9, outcome.text
    assert outcome.stderr.count("error: ") == 2
    assert f"Store {LAST}: " in outcome.stderr
    assert "Now set [archive]" not in outcome.stderr
    again = world.command("copy", "--to", str(tmp_path / "copy"), f"--campaign={FIRST}")
    assert again.code == 0, again.text
    world.settings["archive"] = {"directory": str(tmp_path / "copy")}
    verified = world.command("verify", "--full", "--json")
    assert (verified.code, [store["campaign"] for store in verified.json["stores"]]) == (0, [FIRST, LAST])
