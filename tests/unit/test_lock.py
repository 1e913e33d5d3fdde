"""One run at a time per store, whatever happens to the process that holds the lock."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from market_photos.archive.lock import Claims, Lock, held_by
from market_photos.errors import AlreadyRunning, ArchiveUnwritable, ExitCode
from tests.unit.worlds import ToldClock, python

HOLD = """
import sys
from pathlib import Path
from market_photos.archive.lock import Claims, Lock
from market_photos.clock import SystemClock
path = Path(sys.argv[1])
with (Claims(path).exclusively() if sys.argv[2] == "exclusively" else Lock(path, sys.argv[2], SystemClock())):
    print("held")
    sys.stdin.read()
"""


def holder(path: Path, command: str) -> "subprocess.Popen[str]":
    """Another process that holds the lock until it is killed or its stdin is closed."""
    process = python(HOLD, path, command)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_run_learns_who_holds_the_lock_since_when(tmp_path: Path) -> None:
    """It learns command, process and start of the first run at once; afterwards the lock is free."""
    path = tmp_path / "run.lock"
    with holder(path, "sync --full") as other:
        with pytest.raises(AlreadyRunning) as caught:
            Lock(path, "sync", ToldClock())
        for part in ("`sync --full`", f"process {other.pid} ", "since 20", str(tmp_path)):
            assert part in caught.value.message
        assert caught.value.exit_code is ExitCode.RUNNING
        assert str(held_by(path)) in caught.value.message
        other.communicate()
    with Lock(path, "sync", ToldClock()):
        pass


def test_a_killed_run_frees_its_lock(tmp_path: Path) -> None:
    """`kill -9` leaves the file and its text, but nobody has to remove them."""
    path = tmp_path / "run.lock"
    with holder(path, "sync") as other:
        other.kill()
        other.communicate()
        assert path.read_text() != ""
        assert held_by(path) is None
        with Lock(path, "backfill", ToldClock()):
            assert "`backfill`" in str(held_by(path))


def test_the_lock_file_names_its_holder(tmp_path: Path) -> None:
    """A shorter text over a longer one, a second run of one process, other users kept out."""
    path = tmp_path / "run.lock"
    path.write_text("x" * 1000)
    path.unlink()
    before = os.umask(0)
    with Lock(path, "a long command " * 20, ToldClock()), pytest.raises(AlreadyRunning):
        Lock(path, "again", ToldClock())
    os.umask(before)
    with Lock(path, "sync", ToldClock(wall=0)):
        assert json.loads(path.read_text())["since"] == "1970-01-01T00:00:00Z"
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe", b"[" * 4096])
def test_a_lock_without_a_readable_holder_is_still_held(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "run.lock"
    with Lock(path, "sync", ToldClock()):
        path.write_bytes(text)
        assert str(held_by(path)) == "it does not say which"


def test_a_missing_lock_file_has_no_holder(tmp_path: Path) -> None:
    assert held_by(tmp_path / "none") is None
    assert list(tmp_path.iterdir()) == []


def test_a_disk_error_is_reported_and_keeps_no_lock(tmp_path: Path) -> None:
    """The error names the disk, and no lock is kept."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("none/run.lock", "link", "."):
        with pytest.raises(ArchiveUnwritable):
            Lock(tmp_path / name, "sync", ToldClock())
        with pytest.raises(ArchiveUnwritable):
            Claims(tmp_path / name)
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_that_cannot_be_signed_is_not_kept(tmp_path: Path) -> None:
    """An error after taking it gives it back, also while the process lives on."""
    path = tmp_path / "run.lock"
    with pytest.raises(OverflowError):
        Lock(path, "sync", ToldClock(wall=1e30))
    assert held_by(path) is None


LOOK = """
import sys
from pathlib import Path
from market_photos.archive.lock import held_by
print(held_by(Path(sys.argv[1])))
while True:
    held_by(Path(sys.argv[1]))
"""


def test_reading_the_holder_keeps_no_run_away(tmp_path: Path) -> None:
    """While another process calls `status` in a loop, no run takes it for another run."""
    path = tmp_path / "run.lock"
    Lock(path, "sync", ToldClock()).release()
    with python(LOOK, path) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "None\n"
            for _ in range(3000):
                Lock(path, "sync", ToldClock()).release()
            assert other.poll() is None
        finally:
            other.kill()


def test_the_second_process_waits_for_the_first(tmp_path: Path) -> None:
    """The second waits until the first is done, killed or not."""
    with Claims(tmp_path / "claims.lock") as claims:
        with claims.exclusively():
            other = python(HOLD, tmp_path / "claims.lock", "exclusively")
        with other:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            other.kill()
            other.communicate()
            with claims.exclusively():
                pass


def test_a_claim_ends_with_its_run_and_is_one_runs_only(tmp_path: Path) -> None:
    """One descriptor holds any number of stores, the largest ids included."""
    stores = [*range(2000), 2**63 - 1]
    with Claims(tmp_path / "claims.lock") as second:
        with Claims(tmp_path / "claims.lock") as first:
            assert all(first.take(store) for store in stores)
            assert all(first.take(store) for store in stores)
            assert not any(second.take(store) for store in stores)
            assert second.take(2000)
        assert all(second.take(store) for store in stores)
