"""Prune shows what it will delete, leaves tombstones, and no deleted photo is fetched again."""

import contextlib
import json
import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from market_photos.archive import layout
from market_photos.archive.catalog.record_codec import unpack
from market_photos.sandbox import Market, running
from tests.integration.harness import CAMPAIGN, NOW, World, a_world, assert_adds_up

COMMENT = "Neighbours know my telephone number 8-921-000-00-00"


def _market() -> Market:
    """Four returns of two photos: two from five years ago, one of two years ago, one of yesterday."""
    market = Market(seed=11, now=NOW)
    store = market.add_store(CAMPAIGN)
    for days, status in ((1830, "REFUNDED"), (1829, "REJECTED"), (740, "REFUNDED"), (1, "REFUNDED")):
        created = market.now - timedelta(days=days)
        store.add_return(2, created=created, comment=f"{COMMENT} {days}", refundStatus=status)
    return market


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Make the complete archive of that market."""
    with a_world(tmp_path, _market, synced=True) as world:
        yield world


def _prune(world: World, *arguments: str) -> dict[str, Any]:
    outcome = world.command("prune", "--yes", "--json", *arguments)
    assert outcome.code == 0, outcome.text
    told: dict[str, Any] = outcome.json
    return told


def _states(world: World) -> dict[str, int]:
    return dict(world.rows("SELECT state, count(*) FROM photos GROUP BY state"))


#: Arguments, and how many of the eight photos go.
AGES = [
    (("--older-than", "3y"), 4),
    (("--older-than", "36mo"), 4),
    (("--older-than", "1y"), 6),
    (("--older-than", "9y"), 0),
    (("--older-than", "3y", "--status", "REFUNDED"), 2),
    (("--older-than", "3y", "--status", "refunded", "--status", "REJECTED"), 4),
    (("--older-than", "3y", "--status", "CANCELLED"), 0),
]


@pytest.mark.parametrize(("arguments", "gone"), AGES)
def test_old_returns_of_the_status_go_and_others_stay(world: World, arguments: tuple[str, ...], gone: int) -> None:
    """Photos, record and the buyer's words of old returns with that status are deleted; the rest stays."""
    told = _prune(world, *arguments)
    assert told["pruned_returns"] * 2 == told["stores"][0]["photos"] == gone
    assert _states(world) == {state: n for state, n in (("archived", 8 - gone), ("pruned", gone)) if n}
    stay = [path for path in world.files() if path.name != "pruned.json"]
    assert len(stay) == 8 - gone
    assert len(list(world.archive.rglob("return.json"))) == (8 - gone) // 2
    assert world.verify() == []


def test_thumbnails_and_index_of_browse_go_too(world: World) -> None:
    """Small pictures and the index of the words are personal data as well; the next browse makes them again."""
    small = world.store / layout.THUMBNAILS / "ab" / "abcd-480.jpg"
    small.parent.mkdir(parents=True)
    small.write_bytes(b"a buyer's photo")
    index = [world.store / f"{layout.BROWSE_INDEX}{suffix}" for suffix in ("", "-wal", "-shm")]
    for path in index:
        path.write_bytes(b"a buyer's words")
    _prune(world, "--older-than", "900y")
    assert small.exists(), "nothing was pruned"
    _prune(world, "--older-than", "3y")
    assert not small.parent.parent.exists()
    assert not any(path.exists() for path in index)


@pytest.mark.parametrize("command", [("sync",), ("sync", "--full"), ("backfill", "--from", "2019-01-01"), ("fetch",)])
def test_a_pruned_photo_is_never_fetched_again(world: World, command: tuple[str, ...]) -> None:
    """No command asks for a pruned photo, also where its return has changed since; the counts add up."""
    _prune(world, "--older-than", "3y")
    oldest = next(iter(world.market.returns))
    for back in world.market.returns:
        back.updated = world.market.now
        back.fields["refundStatus"] = "COMPLETE_WITHOUT_REFUND"
    asked = world.requests_per_photo()
    if command == ("fetch",):
        numbers = ("--campaign", str(CAMPAIGN), "--order", str(oldest.order), "--return", str(oldest.id))
        command = ("fetch", *numbers)
    outcome = world.command(*command, "--json")
    told = outcome.json
    assert outcome.code == 0, outcome.text
    assert world.requests_per_photo() == asked
    assert_adds_up(told)
    assert told["pruned"] == (2 if "fetch" in command else 4)
    assert "4 pruned" in world.command("status").stdout
    assert not list(oldest_folder(world, oldest.order).glob("return.json")), "the record came back"
    assert _words_left(world, 1830) == []


def oldest_folder(world: World, order: int) -> Path:
    [folder] = (world.store / "photos").glob(f"*/{order}-*")
    return folder


def _words_left(world: World, days: int) -> list[Path]:
    """Files in which the buyer's words of that return still stand, the packed record in the catalogue included."""
    words = f"{COMMENT} {days}"
    records = [row[0] for row in world.rows("SELECT record FROM returns WHERE record IS NOT NULL")]
    found = [world.store / "catalog.sqlite3" for record in records if words in json.dumps(unpack(record))]
    return found + [path for path in world.store.rglob("*") if path.is_file() and words.encode() in path.read_bytes()]


def test_the_record_is_overwritten_in_the_catalogue(world: World) -> None:
    """Rows deleted from the catalogue do not stay in free pages of its file."""
    record = world.rows("SELECT record FROM returns ORDER BY created_at LIMIT 1")[0][0]
    assert record in (world.store / "catalog.sqlite3").read_bytes()
    _prune(world, "--older-than", "3y")
    left = [path for path in world.store.glob("catalog*") if record in path.read_bytes()]
    assert left == []


def test_prune_shows_what_goes_and_asks(world: World) -> None:
    """Counts, bytes and dates come first; without a terminal and without --yes nothing goes (2)."""
    for arguments, code in ((("--dry-run",), 0), ((), 2)):
        outcome = world.command("prune", "--older-than", "3y", *arguments)
        assert outcome.code == code
        created = [f"{world.market.now - timedelta(days=days):%Y-%m-%d}" for days in (1830, 1829)]
        for word in ("4 photos", "of 2 returns", "KB", *created):
            assert word in outcome.text
        assert _states(world) == {"archived": 8}
    assert "--yes" in outcome.text


@pytest.mark.parametrize(("answer", "left"), [("y\n", 4), ("n\n", 8), ("\n", 8)])
def test_only_a_yes_on_the_terminal_confirms(world: World, answer: str, left: int) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "market_photos", "prune", "--older-than", "3y", "--config", str(world.config())]
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    os.write(ours, answer.encode())
    said = process.communicate(timeout=60)[0]
    os.close(ours)
    os.close(theirs)
    assert b"for good?" in said
    assert _states(world)["archived"] == left


def test_a_hold_exempts_until_it_is_released(world: World) -> None:
    """A return on hold stays, and is mentioned; released, it goes with the others."""
    held = world.market.return_ids[0]
    assert "on hold" in world.command("hold", "--return", str(held)).stdout
    told = world.command("prune", "--older-than", "3y", "--yes")
    assert "1 return of that age on hold" in told.stderr
    assert _states(world) == {"archived": 6, "pruned": 2}
    assert world.verify() == []
    assert world.command("release", "--return", str(held)).code == 0
    assert _prune(world, "--older-than", "3y")["pruned_returns"] == 1
    assert _states(world) == {"archived": 4, "pruned": 4}


def test_a_return_that_is_pruned_cannot_be_held(world: World) -> None:
    """Exit 2, also while its files are still to go; nothing says that it is on hold, and its folder gets no file."""
    pruned = world.market.return_ids[0]
    _prune(world, "--older-than", "3y")
    for pruning in (0, 1):
        with contextlib.closing(sqlite3.connect(world.store / "catalog.sqlite3")) as connection, connection:
            connection.execute("UPDATE returns SET pruning = ? WHERE return_id = ?", (pruning, pruned))
        outcome = world.command("hold", "--return", str(pruned))
        assert outcome.code == 2, outcome.text
        assert "is pruned" in outcome.stderr
        assert world.rows("SELECT count(*) FROM returns WHERE held_at IS NOT NULL") == [(0,)]
        assert not list(world.store.rglob("hold"))


def test_hold_and_prune_at_once_leave_a_consistent_return(world: World) -> None:
    """Either the return is held and stays whole, or it is pruned and the hold is refused."""
    held = world.market.return_ids[0]
    command = [sys.executable, "-m", "market_photos"]
    ends = ["--config", str(world.config())]
    prune = subprocess.Popen([*command, "prune", "--older-than", "3y", "--yes", *ends], stderr=subprocess.DEVNULL)
    hold = world.command("hold", "--return", str(held))
    assert prune.wait(timeout=60) == 0
    states = world.rows(
        f"SELECT DISTINCT state FROM photos p JOIN returns r ON r.id = return_row WHERE return_id = {held}"
    )
    assert (hold.code, states) in [(0, [("archived",)]), (2, [("pruned",)])]


def test_catalogues_set_aside_by_rebuild_are_named_and_go(world: World) -> None:
    """They hold the records of buyers, those of pruned returns included."""
    aside = world.store / "catalog.sqlite3.damaged-2026-01-01T000000Z"
    aside.write_bytes(b"a buyer's words")
    told = world.command("prune", "--older-than", "90y", "--dry-run")
    assert aside.name in told.stderr
    assert "buyers' records" in told.stderr
    assert aside.exists()
    assert world.command("prune", "--older-than", "90y").code == 2, "nobody said yes"
    assert _prune(world, "--older-than", "90y")["stores"][0]["set_aside"] == {aside.name: 15}
    assert not aside.exists()
    assert _states(world) == {"archived": 8}


def test_a_hold_names_exactly_one_return(tmp_path: Path) -> None:
    """For no return or several with that number: exit 2, and how to name one."""
    market = Market(seed=11)
    for campaign in (CAMPAIGN, 102):
        market.add_store(campaign).add_return(1, id=40_000_001)
    with running(market) as sandbox:
        world = World(market, sandbox, tmp_path)
        world.sync_command()
        missing, twice = world.command("hold", "--return", "7"), world.command("hold", "--return", "40000001")
        assert (missing.code, "no return 7" in missing.stderr) == (2, True)
        assert (twice.code, "--campaign 102 --order" in twice.stderr) == (2, True)
        assert world.command("hold", "--return", "40000001", "--campaign", "102").code == 0
        assert world.rows("SELECT count(*) FROM returns WHERE held_at IS NOT NULL") == [(0,)]


def test_other_peoples_files_stay(world: World) -> None:
    """In the folder of a pruned return only our files are deleted, and with them those that verify had set aside."""
    photo = world.file_of(world.market.photos()[0])
    (photo.parent / "letter.pdf").write_text("mine")
    photo.write_bytes(b"changed")
    assert world.verify(repair=True)
    assert world.sync_command().code == 0
    _prune(world, "--older-than", "3y")
    assert (photo.parent / "letter.pdf").read_text() == "mine"
    assert [path for path in (world.store / "set-aside").rglob("*") if path.is_file()] == []


def test_pending_photos_of_pruned_returns_are_never_fetched(world: World) -> None:
    """Pending photos of returns that are old enough become tombstones too: no run brings them for the next prune."""
    store = world.market.stores[CAMPAIGN]
    oldest = next(iter(world.market.returns))
    store.add_photo(oldest)
    oldest.updated = world.market.now
    assert world.sync_command("--max-photos", "0").code == 7
    told = _prune(world, "--older-than", "3y")
    assert told["stores"][0]["lacking"] == 1
    asked = world.requests_per_photo()
    assert world.sync_command("--full").code == 0
    assert world.requests_per_photo() == asked


@pytest.mark.parametrize("age", ["3", "y", "0y", "-1y", "3 years", "9999y", "1h"])
def test_a_malformed_age_is_refused_before_anything_is_read(world: World, age: str) -> None:
    outcome = world.command("prune", f"--older-than={age}", "--yes")
    assert (outcome.code, _states(world)) == (2, {"archived": 8})
