"""The entry point: options before and after the command, and a system that cannot run it."""

import subprocess
import sys
from pathlib import Path

import pytest

from market_photos import __version__
from market_photos.cli.options import command_line

MAIN = "from market_photos.cli.main import main; main()"


def run(folder: Path, *arguments: str, before: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", before + MAIN, *arguments],
        cwd=folder, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_the_configuration_may_be_named_before_or_after_the_command(tmp_path: Path) -> None:
    """Where both are given, the one after the command counts."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"[archive]\ndirectory = '{name}-archive'\n")
    before, after = run(tmp_path, "--config", "a", "config"), run(tmp_path, "config", "--config", "a")
    assert before == after
    assert "a-archive" in before[1]
    assert "b-archive" in run(tmp_path, "--config", "a", "config", "--config", "b")[1]
    code, _, said = run(tmp_path, "--config", "none", "status")
    assert (code, "none: there is no such file" in said) == (2, True)


@pytest.mark.parametrize("words", ["--config x sync --full", "sync --config x --full", "sync --full --config=x"])
def test_the_command_line_on_record_is_without_the_configuration(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setattr("sys.argv", ["market-photos", *words.split()])
    assert command_line() == "sync --full"


def test_the_version_has_two_spellings_and_nothing_at_all_shows_the_help(tmp_path: Path) -> None:
    assert run(tmp_path, "-V") == run(tmp_path, "--version") == (0, f"{Path('-c')}, version {__version__}\n", "")
    code, _, said = run(tmp_path)
    assert (code, "Commands:" in said) == (2, True)


def test_a_system_without_file_locks_is_told_so(tmp_path: Path) -> None:
    """Windows has no fcntl."""
    code, _, said = run(tmp_path, "status", before="import sys; sys.modules['fcntl'] = None; ")
    assert (code, "WSL 2" in said, "Traceback" in said) == (2, True, False)
