"""A disk that is full, read-only, failing, not mounted or not ours: exit 5 at once, with what to do.

The catalogue stays right, and once the fault is mended the same command downloads the rest; no file is torn, and only
photos in flight are requested again. The tests use real volumes and system calls, and skip where these are missing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.harness import Outcome, World, a_world, assert_adds_up
from tests.integration.volumes import execute, remount, small_volume

pytestmark = pytest.mark.usefixtures("short_cool_down")
#: parallel_requests, and the spare workers that may hold a photo.
IN_FLIGHT = 5
SIZE = 40_000
_NO_RIGHTS = ("--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *_NO_RIGHTS)


@contextmanager
def _on_volume(tmp_path: Path, options: str, *, photos: int = 30) -> Iterator[tuple[World, Path]]:
    with (
        small_volume(tmp_path / "volume", options) as volume,
        a_world(tmp_path, returns=0, archive={"directory": str(volume)}) as world,
    ):
        for _ in range(photos // 3):
            world.market.stores[101].add_return(3, size=SIZE)
        yield world, volume


def _assert_stopped(world: World, outcome: Outcome, *words: str) -> None:
    """Assert exit 5, a message with the next step, and counts that add up."""
    assert outcome.code == 5, outcome.text
    for word in words:
        assert word in outcome.text
    assert_adds_up(outcome.json)
    assert outcome.json["exit_code"] == 5
    world.assert_no_key()


def _assert_goes_on(world: World) -> None:
    """Assert that the same command ends complete, and that only photos in flight were requested twice."""
    outcome = world.sync_command()
    assert outcome.code == 0, outcome.text
    assert sum(count - 1 for count in world.requests_per_photo().values()) <= IN_FLIGHT
    world.assert_complete()


def test_a_full_disk_stops_the_run_and_the_next_completes(tmp_path: Path) -> None:
    """ENOSPC comes during the downloads; after room is made, the same command goes on."""
    with _on_volume(tmp_path, "size=900k") as (world, volume):
        _assert_stopped(world, world.sync_command(), "Make room")
        assert 0 < len(world.files()) < 30
        assert not list(volume.rglob("*.part"))
        remount(volume, "size=20m")
        _assert_goes_on(world)


@pytest.mark.parametrize("size", ["64k", "128k", "200k", "300k"])
def test_a_disk_full_from_the_start_is_reported(tmp_path: Path, size: str) -> None:
    """ENOSPC comes while the catalogue is made or the listing is recorded."""
    with _on_volume(tmp_path, f"size={size}") as (world, volume):
        assert world.sync_command().code == 5
        remount(volume, "size=20m")
        assert world.sync_command().code == 0
        world.assert_complete()


@pytest.mark.parametrize("inodes", [7, 12, 20])
def test_a_disk_without_inodes_is_reported(tmp_path: Path, inodes: int) -> None:
    with _on_volume(tmp_path, f"size=20m,nr_inodes={inodes}") as (world, volume):
        outcome = world.sync_command()
        assert outcome.code == 5, outcome.text
        assert "inodes" in outcome.text
        remount(volume, "size=20m,nr_inodes=10000")
        _assert_goes_on(world)


def test_a_volume_that_turns_read_only_stops_the_run(tmp_path: Path) -> None:
    """EROFS comes as after a disk error: nothing is requested until the volume is writable again."""
    with _on_volume(tmp_path, "size=20m") as (world, volume):
        assert world.sync_command("--max-photos", "4").code == 7
        asked = world.requests_per_photo()
        remount(volume, "ro")
        outcome = world.sync_command()
        assert outcome.code == 5, outcome.text
        assert world.requests_per_photo() == asked
        remount(volume, "rw")
        _assert_goes_on(world)


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library that makes system calls fail. Skips where no compiler is found."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler to make system calls fail with")
    library = tmp_path_factory.mktemp("eio") / "eio.so"
    execute(compiler, "-shared", "-fPIC", "-o", str(library), str(Path(__file__).with_name("eio.c")), "-ldl")
    return library


#: The call that fails, and the file.
IO_ERRORS = [
    ("open", ".part"),
    ("write", ".part"),
    ("fsync", ".part"),
    ("rename", ".part"),
    ("fsync", "/photos/"),
    ("open", "return.json.part"),
    ("write", "return.json.part"),
    ("fsync", "return.json.part"),
    ("rename", "return.json.part"),
    ("pwrite", "catalog.sqlite3-wal"),
    ("fsync", "catalog.sqlite3-wal"),
]


@pytest.mark.parametrize("nth", ["1", "9"])
@pytest.mark.parametrize(("call", "path"), IO_ERRORS)
def test_a_disk_that_reports_errors_is_named(tmp_path: Path, shim: Path, call: str, path: str, nth: str) -> None:
    """One call fails with EIO, at once or later: exit 5 names the disk; after the repair, the next run completes."""
    with a_world(tmp_path, returns=12, photos=2) as world:
        environment = {"LD_PRELOAD": str(shim), "EIO_CALL": call, "EIO_PATH": path, "EIO_NTH": nth}
        outcome = world.program("sync", "-v", env=environment)
        assert outcome.code == 5, outcome.text
        assert str(world.archive) in outcome.text
        assert not list(world.archive.rglob("*.part"))
        assert world.sync_command().code == 0
        assert sum(count - 1 for count in world.requests_per_photo().values()) <= IN_FLIGHT
        world.assert_complete()


def _prefix_of_nobody() -> tuple[str, ...]:
    """Return the prefix that runs a program as a user without rights. Skips where that is impossible."""
    if os.geteuid():
        return ()
    done = subprocess.run([*NOBODY, sys.executable, "-c", ""], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("root may write everywhere, and another user cannot run this interpreter")
    return NOBODY


def test_a_folder_of_another_user_is_reported() -> None:
    prefix = _prefix_of_nobody()
    # Not in tmp_path: another session of pytest would close the folder that all share to others.
    with tempfile.TemporaryDirectory() as name, a_world(folder := Path(name)) as world:
        folder.chmod(0o755)
        world.archive.mkdir(mode=0o555)
        outcome = world.program("sync", "-v", prefix=prefix)
        assert outcome.code == 5, outcome.text
        assert "right to read and to write" in outcome.text
        assert world.sandbox.log.count("photo") == 0
        world.archive.chmod(0o777)
        assert world.program("sync", "-v", prefix=prefix).code == 0


def test_too_little_free_space_stops_the_run_at_its_start(tmp_path: Path) -> None:
    """Nothing is requested, and the message names the setting."""
    with a_world(tmp_path) as world:
        world.settings["archive"] = {"min_free_bytes": 10**17}
        outcome = world.sync_command()
        assert (outcome.code, "min_free_bytes" in outcome.text) == (5, True)
        assert world.sandbox.log.count() == 0
        world.settings["archive"] = {}
        _assert_goes_on(world)


def test_too_little_free_space_stops_a_run_that_fills_the_disk(tmp_path: Path) -> None:
    """The run stops before the volume is full, and leaves the floor free."""
    with _on_volume(tmp_path, "size=1500k") as (world, volume):
        world.settings["archive"]["min_free_bytes"] = 700_000
        _assert_stopped(world, world.sync_command(), "min_free_bytes")
        assert shutil.disk_usage(volume).free > 700_000 - IN_FLIGHT * SIZE
        world.settings["archive"]["min_free_bytes"] = 0
        remount(volume, "size=20m")
        _assert_goes_on(world)


@pytest.mark.parametrize("command", ["sync", "doctor", "verify", "rebuild"])
def test_a_missing_marker_stops_the_run_before_any_write(tmp_path: Path, command: str) -> None:
    """Without the marker nothing is written, not even the folder, and no photo is requested."""
    with a_world(tmp_path, archive={"marker": "THIS-IS-IT"}) as world:
        outcome = world.command(command)
        assert outcome.code == 5, outcome.text
        assert "THIS-IS-IT" in outcome.text
        assert not world.archive.exists()
        world.archive.mkdir()
        assert world.command(command).code == 5
        assert list(world.archive.iterdir()) == []
        assert world.sandbox.log.count("photo") == world.sandbox.log.count("returns") == 0


def test_a_present_marker_lets_the_run_work(tmp_path: Path) -> None:
    with a_world(tmp_path, archive={"marker": "THIS-IS-IT"}) as world:
        world.archive.mkdir()
        (world.archive / "THIS-IS-IT").touch()
        _assert_goes_on(world)


@pytest.mark.parametrize("marker", ["", "a/b", "..", "."])
def test_a_marker_must_be_a_file_name(tmp_path: Path, marker: str) -> None:
    with a_world(tmp_path, archive={"marker": marker}) as world:
        outcome = world.sync_command()
        assert (outcome.code, "archive.marker" in outcome.text) == (2, True)
