"""A store that cannot be read costs the commands that read the other stores nothing."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.archives import ArchiveOf
from tests.integration.harness import World, a_world

#: The numbers of the stores; what is wrong is wrong with the one in the middle.
FIRST, WRONG, LAST = 101, 102, 103


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Three stores, each with a return that awaits a decision; the catalogue of one is damaged."""
    with a_world(tmp_path) as world:
        for number in (FIRST, WRONG, LAST):
            store = ArchiveOf(tmp_path / "archive", number, name=f"shop {number}")
            store.bring(store.add(return_id=number, order=number + 1000, refund="WAITING_FOR_DECISION"))
        folder = world.archive / str(WRONG)
        for file in folder.glob("catalog.sqlite3*"):
            file.unlink()
        (folder / "catalog.sqlite3").write_bytes(b"garbage" * 2000)
        yield world


def test_status_shows_the_others(world: World) -> None:
    outcome = world.command("status", "--json")
    assert outcome.code == 9
    assert [(store["campaign"], store["archived"]) for store in outcome.json["stores"]] == [(FIRST, 1), (LAST, 1)]
    (error,) = outcome.json["errors"]
    assert (error["campaign"], error["exit_code"]) == (WRONG, 9)
    assert f"{WRONG}/catalog.sqlite3" in error["message"]
    assert "rebuild" in error["hint"]
    text = world.command("status")
    assert text.code == 9
    assert text.stdout.startswith("2 stores: ")
    assert text.stderr.count("error: ") == 1


def test_status_of_a_store_that_cannot_be_read_does_not_say_that_there_is_none(world: World) -> None:
    outcome = world.command("status", f"--campaign={WRONG}")
    assert (outcome.code, outcome.stdout) == (9, "")
    assert f"{WRONG}/catalog.sqlite3" in outcome.stderr


def test_a_monitor_hears_of_the_store_and_of_the_others_that_are_overdue(world: World) -> None:
    outcome = world.command("status", "--max-age", "26h", "--json")
    assert outcome.code == 9
    overdue = " ".join(outcome.json["overdue"])
    assert (f"store {FIRST}" in overdue, f"store {WRONG}" in overdue, f"store {LAST}" in overdue) == (
        True,
        False,
        True,
    )
    assert world.command("status", "--max-age", "26h", f"--campaign={FIRST}").code == 1


def test_awaiting_lists_the_returns_of_the_others(world: World) -> None:
    outcome = world.command("awaiting", "--json")
    assert outcome.code == 9
    assert {entry["campaign"] for entry in outcome.json} == {FIRST, LAST}
    assert f"{WRONG}/catalog.sqlite3" in outcome.stderr
    text = world.command("awaiting")
    assert (text.code, text.stdout.splitlines()[0].partition(".")[0]) == (9, "2 returns await your decision")
    assert world.command("awaiting", f"--campaign={FIRST}").code == 0


def test_a_pack_of_another_store_is_written_and_what_it_may_lack_is_said(world: World, tmp_path: Path) -> None:
    for number, words in enumerate([("--order", f"{LAST + 1000}"), ("--return", f"{LAST}")]):
        out = tmp_path / f"pack-{number}.zip"
        outcome = world.command("export", *words, "--out", str(out))
        assert outcome.code == 9, outcome.text
        assert any(name.endswith(".jpg") for name in zipfile.ZipFile(out).namelist())
        assert f"warning: Store {WRONG}: could not be read" in outcome.stderr
    alone = world.command("export", "--return", f"{LAST}", f"--campaign={LAST}", "--out", str(tmp_path / "alone.zip"))
    assert alone.code == 0, alone.text


def test_a_return_that_only_the_damaged_store_may_have_is_not_called_unknown(world: World, tmp_path: Path) -> None:
    for words, what in [
        (("--order", f"{WRONG + 1000}"), f"order {WRONG + 1000}"),
        (("--return", f"{WRONG}", "--return", f"{LAST}"), f"return {WRONG}"),
    ]:
        outcome = world.command("export", *words, "--out", str(tmp_path / "pack.zip"))
        assert outcome.code == 9, outcome.text
        assert f"No store that can be read has {what}." in outcome.stderr
        assert not (tmp_path / "pack.zip").exists()


def test_a_table_that_would_lack_a_store_is_refused_before_anything_is_written(world: World) -> None:
    outcome = world.program("export", "--format", "csv", "--out", "-")
    assert (outcome.code, outcome.stdout) == (9, ""), outcome.text
    assert f"Store {WRONG}: the table would lack it" in outcome.stderr
    others = [f"--campaign={store}" for store in (FIRST, LAST)]
    table = world.program("export", "--format", "csv", "--out", "-", *others)
    assert table.code == 0, table.text
    assert len(table.stdout.splitlines()) == 3
