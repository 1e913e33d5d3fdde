"""A catalogue that cannot be used: exit 9 and the next step in words, never on without it; and that step works."""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from market_photos.archive.catalog.catalog import Catalog
from tests.integration.harness import World, a_world

Harm = Callable[[Path], None]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Make a complete archive."""
    with a_world(tmp_path, returns=30, photos=1, odd=True, synced=True) as world:
        yield world


def _missing(path: Path) -> None:
    path.unlink()


def _emptied(path: Path) -> None:
    os.truncate(path, 0)


def _cut_in_the_header(path: Path) -> None:
    os.truncate(path, 50)


def _cut_to_a_page(path: Path) -> None:
    os.truncate(path, 4096)


def _cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def _cut_at_an_odd_byte(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 777)


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(40_000))


def _garbage_behind_the_header(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (size - 100))


def _another_programs(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cookies(name)")


def _before_the_first_release(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA application_id = {0x4D504831}")


def _a_cell(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("UPDATE photos SET state = 'arciived' WHERE id = 1")


def _a_trigger(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER photo_changed")


def _text(path: Path) -> None:
    path.write_text("SQLite format 3 is what this is not\n" * 300)


HARMS: list[Harm] = [
    _missing,
    _emptied,
    _cut_in_the_header,
    _cut_to_a_page,
    _cut_in_half,
    _cut_at_an_odd_byte,
    _garbage,
    _garbage_behind_the_header,
    _another_programs,
    _text,
    _before_the_first_release,
    _a_cell,
    _a_trigger,
]


@pytest.mark.parametrize("harm", HARMS, ids=[harm.__name__ for harm in HARMS])
def test_a_damaged_catalogue_is_refused_until_it_is_rebuilt(world: World, harm: Harm) -> None:
    """A run refuses it and names `rebuild`; after that, a sync ends complete. No photo is requested twice."""
    harm(world.store / "catalog.sqlite3")
    asked = world.requests_per_photo()
    outcome = world.sync_command()
    assert outcome.code == 9, outcome.text
    assert "market-photos rebuild" in outcome.text
    assert world.requests_per_photo() == asked
    assert world.command("rebuild").code == 0
    synced = world.sync_command()
    assert (synced.code, synced.json["downloaded"]) == (0, 0)
    assert world.requests_per_photo() == asked
    world.assert_complete()


@pytest.mark.parametrize("harm", [_emptied, _garbage])
@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("verify",),
        ("verify", "--repair"),
        ("prune", "--older-than", "1y", "--yes"),
        ("hold", "--return", "40000001"),
    ],
    ids=" ".join,
)
def test_no_command_works_without_the_catalogue(world: World, command: tuple[str, ...], harm: Harm) -> None:
    harm(world.store / "catalog.sqlite3")
    outcome = world.command(*command)
    assert outcome.code == 9, outcome.text
    assert "market-photos rebuild" in outcome.text


def test_a_catalogue_of_a_newer_version_is_left_as_it_is(world: World) -> None:
    """Not even rebuild touches it; the message asks for an update of the program."""
    path = world.store / "catalog.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("ALTER TABLE photos ADD COLUMN colour TEXT")
    for command in ("sync", "rebuild", "status"):
        outcome = world.command(command)
        assert outcome.code == 9, outcome.text
        assert "Update market-photos" in outcome.text
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM photos").fetchone() == (37,)


def test_a_catalogue_locked_by_another_program_ends_with_9(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locked for longer than the run waits: exit 9 with the next step; once unlocked, the next run completes."""
    monkeypatch.setitem(Catalog.__init__.__kwdefaults__ or {}, "busy_seconds", 0.5)
    world.market.stores[101].add_return(2)
    with contextlib.closing(sqlite3.connect(world.store / "catalog.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        outcome = world.sync_command()
        assert outcome.code == 9, outcome.text
        assert "Close the program" in outcome.text
    assert world.sync_command().code == 0
    world.assert_complete()


@pytest.mark.slow
def test_a_short_lock_is_waited_for(world: World) -> None:
    """A backup of the catalogue disturbs no run."""
    world.market.stores[101].add_return(2)
    other = sqlite3.connect(world.store / "catalog.sqlite3", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(2, lambda: other.execute("ROLLBACK"))
    release.start()
    assert world.sync_command().code == 0
    release.join()
    other.close()
    world.assert_complete()


def test_the_catalogue_is_small(tmp_path: Path) -> None:
    """At most 600 bytes a photo, returns and their records included."""
    with a_world(tmp_path, returns=400, photos=3) as world:
        assert world.sync_command().code == 0
        with contextlib.closing(sqlite3.connect(world.store / "catalog.sqlite3", isolation_level=None)) as connection:
            connection.execute("DELETE FROM requests")
            connection.execute("VACUUM")
        assert (world.store / "catalog.sqlite3").stat().st_size / 1200 <= 600


@pytest.mark.parametrize(
    "command",
    [
        ("verify", "--full"),
        ("prune", "--older-than", "1d", "--status", "REFUNDED", "--yes"),
        ("export", "--format", "jsonl", "--out", "-"),
    ],
)
def test_a_damaged_record_is_reported_with_the_remedy(world: World, command: tuple[str, ...]) -> None:
    """Every reader names the catalogue and the remedy, without a traceback."""
    with contextlib.closing(sqlite3.connect(world.store / "catalog.sqlite3")) as connection, connection:
        connection.execute("UPDATE returns SET record = x'00112233' WHERE record IS NOT NULL")
    outcome = world.command(*command)
    assert "Traceback" not in outcome.text
    assert outcome.code == 9, outcome.text
    assert "catalog.sqlite3" in outcome.text
    assert "rebuild" in outcome.text
