"""A backup on a medium that cannot be written: verify, status, export and browse read it, whatever SQLite left in it.

The medium is a read-only mount (needs root), or folders without the right to write.
"""

import os
import shutil
import signal
import sqlite3
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.harness import CAMPAIGN, World, a_world
from tests.integration.volumes import bound_by_rights, execute

#: Makes the archive of a world unwritable until the test ends.
Seal = Callable[[World], None]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path, synced=True) as world:
        yield world


@pytest.fixture(params=["mount", "rights"])
def seal(request: pytest.FixtureRequest) -> Iterator[Seal]:
    with ExitStack() as undone:

        def mounted(world: World) -> None:
            if os.geteuid():
                pytest.skip("mounting needs root")
            execute("mount", "--bind", str(world.archive), str(world.archive))
            undone.callback(execute, "umount", "--lazy", str(world.archive))
            execute("mount", "-o", "remount,bind,ro", str(world.archive))

        def without_rights(world: World) -> None:
            execute("chmod", "-R", "a-w", str(world.archive))
            undone.callback(execute, "chmod", "-R", "u+w", str(world.archive))
            undone.enter_context(bound_by_rights())

        yield mounted if request.param == "mount" else without_rights


def _leave(world: World, *files: str) -> None:
    """Leave the catalogue as in a backup taken during a run: its last change is in the WAL. `files` lie beside it."""
    catalog, away = world.store / "catalog.sqlite3", world.folder / "away"
    away.mkdir()
    run = sqlite3.connect(catalog)
    run.execute("UPDATE meta SET value = 'from the WAL' WHERE key = 'name'")
    run.commit()
    for suffix in ("", "-wal", "-shm"):
        shutil.copy(f"{catalog}{suffix}", away)
    run.close()
    for suffix in ("-wal", "-shm"):
        Path(f"{catalog}{suffix}").unlink(missing_ok=True)
    for file in ("", *files):
        suffix, _, content = file.partition("=")
        shutil.copy(away / f"{catalog.name}{suffix}", world.store)
        if content:
            Path(f"{catalog}{suffix}").write_bytes(b"" if content == "empty" else b"\x55" * 32768)


#: What lies beside the catalogue. Without its WAL a catalogue is the older one, and in order.
LEFT = {
    "nothing": (),
    "an empty WAL": ("-wal=empty",),
    "an empty WAL and its index": ("-wal=empty", "-shm"),
    "a WAL": ("-wal",),
    "a WAL and its index": ("-wal", "-shm"),
    "a WAL and an empty index": ("-wal", "-shm=empty"),
    "a WAL and a wrong index": ("-wal", "-shm=wrong"),
}


@pytest.mark.parametrize("left", LEFT)
def test_a_backup_is_read_without_being_changed(world: World, seal: Seal, left: str) -> None:
    """Status and verify report the content of the catalogue and its WAL."""
    _leave(world, *LEFT[left])
    seal(world)
    outcome = world.command("status", "--json")
    assert outcome.code == 0, outcome.text
    [store] = outcome.json["stores"]
    assert store["archived"] == 6
    assert (store["name"] == "from the WAL") == ("-wal" in LEFT[left])
    outcome = world.command("verify", "--full", "--json")
    assert (outcome.code, outcome.json["stores"][0]["photos"]) == (0, 6), outcome.text


@pytest.mark.parametrize("arguments", ["status --json", "verify --full"])
def test_the_copy_of_a_catalogue_is_removed_at_the_end(world: World, seal: Seal, arguments: str) -> None:
    """A catalogue with a WAL that cannot be written is read from a copy in the temporary folder."""
    _leave(world, "-wal")
    temporary = world.folder / "temporary"
    temporary.mkdir()
    seal(world)
    outcome = world.program(*arguments.split(), env={"TMPDIR": str(temporary)})
    assert outcome.code == 0, outcome.text
    assert list(temporary.iterdir()) == []


def test_a_backup_is_exported(world: World, seal: Seal) -> None:
    _leave(world, "-wal")
    seal(world)
    outcome = world.command("export", "--format", "csv", "--out", "index.csv")
    assert (outcome.code, (world.folder / "index.csv").read_text().count(";archived;")) == (0, 6), outcome.text


def test_a_backup_is_browsed(world: World, seal: Seal) -> None:
    """Search and previews work; their files lie in a temporary folder that is gone at the end."""
    _leave(world, "-wal")
    [photo, *_] = world.market.photos()
    seal(world)
    temporary = world.folder / "temporary"
    temporary.mkdir()
    environment = {"TMPDIR": str(temporary)}
    with world.start("browse", "--port", "0", env=environment) as process:
        assert process.stdout
        try:
            address = process.stdout.readline().strip()
            assert str(photo.order) in _found(f"{address}?q={photo.order}", str(photo.order))
            page = f"{address}photo/101/{photo.order}/{photo.return_id}/{photo.item}-{photo.image_hash}"
            for picture in ("thumb", "file"):
                with urllib.request.urlopen(page.replace("/photo/", f"/{picture}/"), timeout=30) as response:
                    assert response.headers["Content-Type"].startswith("image/")
                    assert "svg" not in response.headers["Content-Type"]
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, "Traceback" in errors) == (0, False), errors
    assert list(temporary.iterdir()) == []


def _found(address: str, word: str) -> str:
    """Return the page once the index has the word, or the last one after ten seconds."""
    for _ in range(100):
        with urllib.request.urlopen(address, timeout=30) as response:
            page: str = response.read().decode()
        if f"/return/{CAMPAIGN}/{word}/" in page:
            break
        time.sleep(0.1)
    return page


@pytest.mark.parametrize("command", ["sync", "prune", "rebuild", "verify"])
def test_a_writing_command_reports_a_read_only_archive(world: World, seal: Seal, command: str) -> None:
    options = {"prune": ("--older-than", "1d", "--yes"), "verify": ("--repair",)}
    seal(world)
    outcome = world.command(command, *options.get(command, ()))
    assert outcome.code == 5, outcome.text
    world.assert_no_key()


READING = [
    "status",
    "status --max-age 1d --campaign 101",
    "verify",
    "export --format csv --out -",
    "export --format csv --out - --campaign 101",
    "sync",
    "rebuild",
    "browse",
]


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("rights", [0, 0o400])
@pytest.mark.parametrize("folder", [".", "101"])
def test_an_unreadable_archive_is_reported(world: World, folder: str, rights: int, command: str) -> None:
    """The archive exists, so "no archive yet" would be untrue."""
    _assert_not_readable(world, folder, rights, command)


@pytest.mark.parametrize("rights", [0, 0o400, 0o100])
@pytest.mark.parametrize("folder", ["101/photos", "101/photos/*", "101/photos/*/*"])
def test_unreadable_photos_are_reported(world: World, folder: str, rights: int) -> None:
    _assert_not_readable(world, folder, rights, "verify")


def _assert_not_readable(world: World, folder: str, rights: int, command: str) -> None:
    target = world.archive if folder == "." else next(world.archive.glob(folder))
    target.chmod(rights)
    try:
        with bound_by_rights():
            outcome = world.program("browse") if command == "browse" else world.command(*command.split())
    finally:
        target.chmod(0o700)
    assert outcome.code == 5, outcome.text
    assert str(world.archive) in outcome.text
    assert "right to read" in outcome.text
    assert world.sandbox.log.count("photo") == 0
