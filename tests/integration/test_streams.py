"""Every command gives its true exit code, without a traceback, whatever standard streams it is given."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.archives import ArchiveOf

PROGRAM = f"{sys.executable} -m market_photos"
REDIRECTIONS = [">&-", "2>&-", "<&-", ">&- 2>&- <&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1", "| true"]


def run(folder: Path, arguments: str, redirection: str) -> tuple[int, str]:
    """Return the exit code of the program itself and what it printed on standard error, where that was kept."""
    is_kept = "2>" not in redirection
    script = f"{PROGRAM} {arguments} {'2>said' if is_kept else ''} {redirection}; exit ${{PIPESTATUS[0]}}"
    environment = {"PYTHONPATH": str(Path.cwd()), "MARKET_PHOTOS_ARCHIVE_DIRECTORY": str(folder / "archive")}
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, check=False, timeout=60
    )
    return done.returncode, (folder / "said").read_text() if is_kept else ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("--help", 0),
        ("--version", 0),
        ("status --no-such-option", 2),
        ("status", 0),
        ("status --json", 0),
        ("verify", 10),
        ("hold --return 40000001", 0),
        ("doctor", 2),
        ("sync --json", 2),
        ("browse --host 192.0.2.1", 2),
        ("export --format csv --out table.csv --force", 0),
    ],
)
def test_an_unusable_stream_stops_nothing(tmp_path: Path, arguments: str, code: int) -> None:
    store = ArchiveOf(tmp_path / "archive")
    for path in store.bring(store.add()):
        path.unlink()
    for redirection in REDIRECTIONS:
        found, said = run(tmp_path, arguments, redirection)
        assert found == code, (redirection, said)
        assert "Traceback" not in said, redirection
        assert "Exception ignored" not in said, redirection


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full", ">&- <&-"])
def test_an_export_that_cannot_be_delivered_is_an_error(tmp_path: Path, redirection: str) -> None:
    ArchiveOf(tmp_path / "archive").add()
    code, said = run(tmp_path, "export --format csv --out -", redirection)
    assert code == 5, said
    assert "Traceback" not in said


def test_no_control_character_reaches_the_terminal(tmp_path: Path) -> None:
    """Neither from the command line, nor from the name of a file."""
    store = ArchiveOf(tmp_path / "archive")
    back = store.add()
    (path,) = store.bring(back)
    path.with_name("7-\x9b31m\x1b[31m.jpg").write_bytes(b"odd")
    for arguments in ["verify", "sync $'--\\u009b31m'", "status --config $'\\u009b\\x1b31m'"]:
        done = subprocess.run(
            ["bash", "-c", f"{PROGRAM} {arguments}"],
            env={
                "PYTHONPATH": str(Path.cwd()),
                "LC_ALL": "C.UTF-8",
                "MARKET_PHOTOS_ARCHIVE_DIRECTORY": str(tmp_path / "archive"),
            },
            capture_output=True,
            check=False,
            cwd=tmp_path,
            timeout=60,
        )
        printed = (done.stdout + done.stderr).decode()
        assert "31m" in printed, arguments
        assert not {char for char in printed if not char.isprintable()} - {"\n", "\t"}, arguments
