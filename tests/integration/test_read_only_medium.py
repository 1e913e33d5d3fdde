"""A backup on a medium that cannot be written: verify, status, export and browse read it, whatever SQLite left in it.

The medium is a read-only mount (needs root), or folders without the right to write (needs a user whom they hold for).
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.harness import CAMPAIGN, World, a_world
from tests.integration.volumes import execute

#: Runs a command without root's right to pass over the rights of files.
WITHOUT_OVERRIDE = (
    "setpriv",
    "--inh-caps=-all",
    "--ambient-caps=-all",
    "--bounding-set=-dac_override,-dac_read_search",
)
#: Makes the archive of a world unwritable; the prefix of commands that shall find it so.
Seal = Callable[[World], tuple[str, ...]]


@pytest.fixture(params=["mount", "rights"])
def seal(request: pytest.FixtureRequest) -> Iterator[Seal]:
    with ExitStack() as undone:

        def mounted(world: World) -> tuple[str, ...]:
            if os.geteuid():
                pytest.skip("mounting needs root")
            execute("mount", "--bind", str(world.archive), str(world.archive))
            undone.callback(execute, "umount", "--lazy", str(world.archive))
            execute("mount", "-o", "remount,bind,ro", str(world.archive))
            return ()

        def without_rights(world: World) -> tuple[str, ...]:
            execute("chmod", "-R", "a-w", str(world.archive))
            undone.callback(execute, "chmod", "-R", "u+w", str(world.archive))
            return _bound_by_rights()

        yield mounted if request.param == "mount" else without_rights


def _bound_by_rights() -> tuple[str, ...]:
    """The prefix of commands that the rights of files hold for, as root they do not. Skips where there is none."""
    if os.geteuid():
        return ()
    done = subprocess.run([*WITHOUT_OVERRIDE, "true"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"root may read and write everything, and cannot give that up: {done.stderr.decode()}")
    return WITHOUT_OVERRIDE


def _leave(world: World, *files: str) -> None:
    """The catalogue as a backup taken beside a run has it: its last change is in the WAL. `files`: beside it."""
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
def test_a_backup_is_read_without_being_changed(tmp_path: Path, seal: Seal, left: str) -> None:
    """Status and verify say what the catalogue and its WAL say; nothing is left in the temporary folder."""
    with a_world(tmp_path, synced=True) as world:
        _leave(world, *LEFT[left])
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        prefix = seal(world)
        outcome = world.program("status", "--json", prefix=prefix, env={"TMPDIR": str(temporary)})
        assert outcome.code == 0, outcome.text
        [store] = outcome.json["stores"]
        assert store["archived"] == 6
        assert (store["name"] == "from the WAL") == ("-wal" in LEFT[left])
        outcome = world.program("verify", "--full", "--json", prefix=prefix, env={"TMPDIR": str(temporary)})
        assert (outcome.code, outcome.json["stores"][0]["photos"]) == (0, 6), outcome.text
        assert list(temporary.iterdir()) == []


def test_a_backup_is_exported(tmp_path: Path, seal: Seal) -> None:
    with a_world(tmp_path, synced=True) as world:
        _leave(world, "-wal")
        prefix = seal(world)
        outcome = world.program("export", "--format", "csv", "--out", "-", prefix=prefix)
        assert (outcome.code, outcome.stdout.count(";archived;")) == (0, 6), outcome.text


def test_a_backup_is_browsed(tmp_path: Path, seal: Seal) -> None:
    """Its search works and previews are drawn; what that takes is in a temporary folder, gone at the end."""
    with a_world(tmp_path, synced=True) as world:
        _leave(world, "-wal")
        (tmp_path / "temporary").mkdir()
        [photo, *_] = world.market.photos()
        prefix = seal(world)
        temporary = {"TMPDIR": str(tmp_path / "temporary")}
        with world.start("browse", "--port", "0", prefix=prefix, env=temporary) as process:
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
        assert list((tmp_path / "temporary").iterdir()) == []


def _found(address: str, word: str) -> str:
    """The page, once the index has the word; the last one after a while."""
    for _ in range(100):
        with urllib.request.urlopen(address, timeout=30) as response:
            page: str = response.read().decode()
        if f"/return/{CAMPAIGN}/{word}/" in page:
            break
        time.sleep(0.1)
    return page


@pytest.mark.parametrize("command", ["sync", "prune", "rebuild", "verify"])
def test_a_writing_command_reports_a_read_only_archive(tmp_path: Path, seal: Seal, command: str) -> None:
    options = {"prune": ("--older-than", "1d", "--yes"), "verify": ("--repair",)}
    with a_world(tmp_path, synced=True) as world:
        prefix = seal(world)
        outcome = world.program(command, *options.get(command, ()), prefix=prefix)
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
def test_an_unreadable_archive_is_reported(tmp_path: Path, folder: str, rights: int, command: str) -> None:
    """It exists, so "no archive yet" would be untrue."""
    _assert_not_readable(tmp_path, folder, rights, command)


@pytest.mark.parametrize("rights", [0, 0o400, 0o100])
@pytest.mark.parametrize("folder", ["101/photos", "101/photos/*", "101/photos/*/*"])
def test_unreadable_photos_are_reported(tmp_path: Path, folder: str, rights: int) -> None:
    _assert_not_readable(tmp_path, folder, rights, "verify")


def _assert_not_readable(tmp_path: Path, folder: str, rights: int, command: str) -> None:
    prefix = _bound_by_rights()
    with a_world(tmp_path, synced=True) as world:
        target = world.archive if folder == "." else next(world.archive.glob(folder))
        target.chmod(rights)
        try:
            outcome = world.program(*command.split(), prefix=prefix)
        finally:
            target.chmod(0o700)
        assert outcome.code == 5, outcome.text
        assert str(world.archive) in outcome.text
        assert "right to read" in outcome.text
        assert world.sandbox.log.count("photo") == 0
