"""What the measurements rely on: the check of the files, the count of the busiest hour, steps that are left out."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from bench import corpus, speed
from market_photos.sandbox.log import most_within


@pytest.mark.parametrize("size", [1000, 1 << 20, 3_000_000])
def test_the_corpus_check_counts_photos_that_are_cut_missing_or_changed(tmp_path: Path, size: int) -> None:
    served = corpus.make(tmp_path / "files", size, 4)
    assert len(set(served.digests.values())) == served.photos == 4
    got = tmp_path / "got"
    got.mkdir()
    for path in served.paths:
        content = (served.root / path).read_bytes()
        assert len(content) == size
        assert hashlib.sha256(content).hexdigest() == served.digests[Path(path).name]
        (got / f"7-{Path(path).name}.jpg").write_bytes(content)
    assert speed.wrong_files(served, got) == 0
    first, second, third, _ = sorted(got.iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    third.write_bytes(b"x" * size)
    assert speed.wrong_files(served, got) == 3


@pytest.mark.parametrize(
    ("times", "most"), [([0.0], 1), ([0.0, 1.0, 2.0], 2), ([0.0, 1.99, 2.0], 2), ([0.0, 0.0, 5.0, 5.0, 5.0], 3)]
)
def test_most_within_counts_the_busiest_half_open_period(times: list[float], most: int) -> None:
    """In any two seconds, the end not included."""
    assert most_within(times, 2.0) == most


_PROGRAM = """
import sys, types
def program():
    import hashlib, os, sqlite3
    connection = sqlite3.connect(sys.argv[1], isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    for mode in ("FULL", "NORMAL", "FULL"):
        {pragma}(f"PRAGMA synchronous = {{mode}}")
        connection.execute("BEGIN IMMEDIATE"); connection.execute("CREATE TABLE IF NOT EXISTS t(x)")
        connection.execute("COMMIT")
    {fsync}
    connection.close()
sys.modules["market_photos.cli.main"] = types.SimpleNamespace(main=program)
from bench import without
sys.argv = ["without", *{steps}, "--", sys.argv[1]]
without.main()
"""


@pytest.mark.parametrize(
    ("pragma", "fsync", "steps", "code"),
    [
        ("connection.execute", "os.fsync(1)", ["fsync"], 0),
        ("sqlite3.Connection.execute.__get__(connection)", "os.fsync(1)", ["fsync"], 70),
        ("connection.execute", "", ["fsync"], 70),
        ("connection.execute", "hashlib.sha256()", ["hash"], 0),
        ("connection.execute", "", ["hash"], 70),
    ],
    ids=["left out", "the pragma goes round us", "no fsync at all", "no hash", "nothing was hashed"],
)
def test_a_measurement_without_a_step_asserts_that_the_step_was_left_out(
    tmp_path: Path, pragma: str, fsync: str, steps: list[str], code: int
) -> None:
    """A program that sets `synchronous` again before each transaction, as ours does, stays unsynced."""
    program = _PROGRAM.format(pragma=pragma, fsync=fsync, steps=steps)
    command = [sys.executable, "-c", program, str(tmp_path / "db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
