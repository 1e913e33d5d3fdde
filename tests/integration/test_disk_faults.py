"""A disk that is full, read-only, failing, not mounted or not ours: exit 5 at once, with what to do.

The catalogue stays right, and when the trouble is over the same command brings the rest; nothing is torn, and nothing
is asked for again beyond what was in flight. Real volumes and real system calls: what cannot be had here is skipped.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.archive_kit import Case, Outcome, a_case

#: parallel_requests, and the workers beside them that may hold a photo.
IN_FLIGHT = 5
SIZE = 40_000
_NO_RIGHTS = ("--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *_NO_RIGHTS)


def _do(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def _volume(folder: Path, options: str) -> Iterator[Path]:
    """A small tmpfs. Skips where there is no right to mount."""
    folder.mkdir()
    try:
        _do("mount", "-t", "tmpfs", "-o", f"mode=700,{options}", "tmpfs", str(folder))
    except OSError as error:
        pytest.skip(f"mounting a tmpfs needs root: {error}")
    try:
        yield folder
    finally:
        _do("umount", "--lazy", str(folder))


def _remount(folder: Path, options: str) -> None:
    _do("mount", "-o", f"remount,{options}", str(folder))


@contextmanager
def _on_volume(tmp_path: Path, options: str, *, photos: int = 30) -> Iterator[tuple[Case, Path]]:
    with _volume(tmp_path / "volume", options) as volume, a_case(tmp_path, returns=0, archive=volume) as case:
        for _ in range(photos // 3):
            case.market.stores[101].add_return(3, size=SIZE)
        yield case, volume


def _assert_stopped(case: Case, outcome: Outcome, *words: str) -> None:
    """Exit 5, said with a way out; the counts that are told add up."""
    assert outcome.code == 5, outcome.said
    for word in words:
        assert word in outcome.said
    told = outcome.json
    states = ("downloaded", "already", "gone", "failed", "pending", "pruned")
    assert told["discovered"] == sum(told[state] for state in states)
    assert told["exit_code"] == 5
    case.assert_no_key()


def _assert_goes_on(case: Case) -> None:
    """The same command ends complete; what was asked for twice was in flight when the disk failed."""
    outcome = case.sync()
    assert outcome.code == 0, outcome.said
    assert sum(count - 1 for count in case.asked().values()) <= IN_FLIGHT
    case.assert_whole()


def test_a_full_disk_stops_the_run_and_the_next_completes(tmp_path: Path) -> None:
    """ENOSPC in the middle of the photos; room is made, the same command goes on."""
    with _on_volume(tmp_path, "size=900k") as (case, volume):
        _assert_stopped(case, case.sync(), "Make room")
        assert 0 < len(case.files()) < 30
        assert not list(volume.rglob("*.part"))
        _remount(volume, "size=20m")
        _assert_goes_on(case)


@pytest.mark.parametrize("size", ["64k", "128k", "200k", "300k"])
def test_a_disk_full_from_the_start_is_reported(tmp_path: Path, size: str) -> None:
    """ENOSPC while the catalogue is made or the listing is recorded."""
    with _on_volume(tmp_path, f"size={size}") as (case, volume):
        assert case.sync().code == 5
        _remount(volume, "size=20m")
        assert case.sync().code == 0
        case.assert_whole()


@pytest.mark.parametrize("inodes", [7, 12, 20])
def test_a_disk_without_inodes_is_reported(tmp_path: Path, inodes: int) -> None:
    """Bytes are free, but no further file can be made."""
    with _on_volume(tmp_path, f"size=20m,nr_inodes={inodes}") as (case, volume):
        outcome = case.sync()
        assert outcome.code == 5, outcome.said
        assert "inodes" in outcome.said
        _remount(volume, "size=20m,nr_inodes=10000")
        _assert_goes_on(case)


def test_a_volume_that_turns_read_only_stops_the_run(tmp_path: Path) -> None:
    """EROFS, as after a disk error: nothing is asked for, and it goes on when the volume is writable again."""
    with _on_volume(tmp_path, "size=20m") as (case, volume):
        assert case.sync("--max-photos", "4").code == 7
        asked = case.asked()
        _remount(volume, "ro")
        outcome = case.sync()
        assert outcome.code == 5, outcome.said
        assert case.asked() == asked
        _remount(volume, "rw")
        _assert_goes_on(case)


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes system calls fail. Skips where nothing compiles it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler to make system calls fail with")
    library = tmp_path_factory.mktemp("eio") / "eio.so"
    _do(compiler, "-shared", "-fPIC", "-o", str(library), str(Path(__file__).with_name("eio.c")), "-ldl")
    return library


#: The call that fails, and on which file.
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
    """EIO of one call, at once or later: exit 5 and the disk is named; with the disk mended, complete."""
    with a_case(tmp_path, returns=12, photos=2) as case:
        outcome = case.sync(LD_PRELOAD=str(shim), EIO_CALL=call, EIO_PATH=path, EIO_NTH=nth)
        assert outcome.code == 5, outcome.said
        assert str(case.archive) in outcome.said
        assert not list(case.archive.rglob("*.part"))
        assert case.sync().code == 0
        assert sum(count - 1 for count in case.asked().values()) <= IN_FLIGHT
        case.assert_whole()


def _prefix_of_nobody() -> tuple[str, ...]:
    """How to run as somebody without rights; empty where we are nobody ourselves. Skips where that is impossible."""
    if os.geteuid():
        return ()
    done = subprocess.run([*NOBODY, sys.executable, "-c", ""], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("root may write everywhere, and another user cannot run this interpreter")
    return NOBODY


def test_a_folder_of_another_user_is_reported(tmp_path: Path) -> None:
    """EACCES: the user may not write there."""
    prefix = _prefix_of_nobody()
    with a_case(tmp_path) as case:
        for folder in (tmp_path, *tmp_path.parents):
            if folder.name.startswith(("pytest-", "popen-", "test_")):
                folder.chmod(0o755)
        case.archive.mkdir(mode=0o555)
        outcome = case.sync(prefix=prefix)
        assert outcome.code == 5, outcome.said
        assert "right to read and to write" in outcome.said
        assert case.sandbox.log.count("photo") == 0
        case.archive.chmod(0o777)
        assert case.sync(prefix=prefix).code == 0


def test_too_little_free_space_stops_the_run_at_its_start(tmp_path: Path) -> None:
    """Less free than min_free_bytes: nothing is asked for, and the setting is named."""
    with a_case(tmp_path) as case:
        case.configure(min_free_bytes=10**17)
        outcome = case.sync()
        assert (outcome.code, "min_free_bytes" in outcome.said) == (5, True)
        assert case.sandbox.log.count() == 0
        case.configure(min_free_bytes=0)
        _assert_goes_on(case)


def test_too_little_free_space_stops_a_run_that_fills_the_disk(tmp_path: Path) -> None:
    """The run stops before the volume is full, and leaves the floor free."""
    with _on_volume(tmp_path, "size=1500k") as (case, volume):
        case.configure(min_free_bytes=700_000)
        _assert_stopped(case, case.sync(), "min_free_bytes")
        assert shutil.disk_usage(volume).free > 700_000 - IN_FLIGHT * SIZE
        case.configure(min_free_bytes=0)
        _remount(volume, "size=20m")
        _assert_goes_on(case)


@pytest.mark.parametrize("command", ["sync", "doctor", "verify", "rebuild"])
def test_a_missing_marker_stops_the_run_before_any_write(tmp_path: Path, command: str) -> None:
    """Without the marker nothing is written, not even the folder, and nothing is asked of the Market's photos."""
    with a_case(tmp_path, marker="THIS-IS-IT") as case:
        outcome = case.run(command)
        assert outcome.code == 5, outcome.said
        assert "THIS-IS-IT" in outcome.said
        assert not case.archive.exists()
        case.archive.mkdir()
        assert case.run(command).code == 5
        assert list(case.archive.iterdir()) == []
        assert case.sandbox.log.count("photo") == case.sandbox.log.count("returns") == 0


def test_a_present_marker_lets_the_run_work(tmp_path: Path) -> None:
    """With the marker in its place all is as usual."""
    with a_case(tmp_path, marker="THIS-IS-IT") as case:
        case.archive.mkdir()
        (case.archive / "THIS-IS-IT").touch()
        _assert_goes_on(case)


@pytest.mark.parametrize("marker", ["", "a/b", "..", "."])
def test_a_marker_must_be_a_file_name(tmp_path: Path, marker: str) -> None:
    """A path is refused with the rule."""
    with a_case(tmp_path, marker=marker) as case:
        outcome = case.sync()
        assert (outcome.code, "archive.marker" in outcome.said) == (2, True)
