"""`export`, `status` of a running job and JSON logs, as processes, on an archive that a real sync made."""

import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from market_photos.archive.catalog.returns import PackedPage
from market_photos.model import PhotoKey, Return
from market_photos.sandbox import FixedWindow, Market, Sandbox, ServerLimits, running
from tests.archives import ArchiveOf

COMMAND = [sys.executable, "-m", "market_photos"]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    market = Market(seed=5)
    market.add_store(101, "Чайная лавка").add_return(photos=3, comment="=cmd|' /C calc'!A0")
    with running(market, limits=ServerLimits(photos=FixedWindow(5000, 3600.0))) as server:
        yield server


@pytest.fixture
def environment(sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "MARKET_PHOTOS_API_BASE_URL": sandbox.url,
        "MARKET_PHOTOS_API_KEY": sandbox.market.key,
        "MARKET_PHOTOS_ARCHIVE_DIRECTORY": str(tmp_path / "archive"),
        "MARKET_PHOTOS_ARCHIVE_MIN_FREE_BYTES": "0",
    }


def run(*words: object, env: dict[str, str], cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *map(str, words)], env=env, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


def test_a_pack_holds_what_the_market_served(sandbox: Sandbox, environment: dict[str, str], tmp_path: Path) -> None:
    """What the Market served is in the pack byte for byte; a pack is never written over; a changed photo stops it."""
    back = next(sandbox.market.returns)
    run("sync", "-q", env=environment, cwd=tmp_path)
    run("export", "--order", back.order, "--out", "пакет.zip", env=environment, cwd=tmp_path)
    with zipfile.ZipFile(tmp_path / "пакет.zip") as pack:
        served = {photo.body for photo in sandbox.market.photos()}
        assert {pack.read(name) for name in pack.namelist() if name.endswith((".jpg", ".png"))} == served
        record = json.loads(pack.read(f"order-{back.order}/data/101/{back.order}-{back.id}/return.json"))
        assert record == back.record()
        pack.extractall(tmp_path)
    check = [sys.executable, "-m", "bagit", "--validate", str(tmp_path / f"order-{back.order}")]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    assert (tmp_path / "пакет.zip").stat().st_mode & 0o777 == 0o600

    again = run("export", "--return", back.id, "--out", "пакет.zip", env=environment, cwd=tmp_path, code=2)
    assert "exists already" in again.stderr
    run("export", "--return", back.id, "--out", "пакет.zip", "--force", env=environment, cwd=tmp_path)

    photo = next((tmp_path / "archive").glob("101/photos/*/*/*.[jp][pn]g"))
    photo.write_bytes(photo.read_bytes()[:-1] + b"X")
    broken = run("export", "--order", back.order, "--out", "new.zip", env=environment, cwd=tmp_path, code=10)
    assert str(photo) in broken.stderr
    assert "market-photos verify" in broken.stderr
    photo.unlink()
    missing = run("export", "--order", back.order, "--out", "new.zip", env=environment, cwd=tmp_path, code=10)
    assert "is missing" in missing.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if "zip" in path.name) == ["пакет.zip"]


def test_the_index_goes_to_standard_output(environment: dict[str, str], tmp_path: Path) -> None:
    """Data on standard output, words on standard error; a reader that goes away is no traceback."""
    run("sync", "-q", env=environment, cwd=tmp_path)
    done = run("export", "--format", "csv", "--out", "-", env=environment, cwd=tmp_path)
    assert len(done.stdout.splitlines()) == 4
    assert ";'=cmd|' /C calc'!A0;" in done.stdout
    lines = run("export", "--format", "jsonl", "--out", "-", env=environment, cwd=tmp_path).stdout.splitlines()
    assert [json.loads(line)["comment"] for line in lines] == ["=cmd|' /C calc'!A0"] * 3
    reader, writer = os.pipe()
    os.close(reader)
    words = [*COMMAND, "export", "--format", "jsonl", "--out", "-"]
    gone = subprocess.run(words, env=environment, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert gone.returncode == 5
    assert gone.stderr.decode().startswith("error: standard output: its reader went away")
    assert b"Exception" not in gone.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "x"], "Say what to export"),
        (["--order", "1", "--format", "csv", "--out", "x"], "Say what to export"),
        (["--order", "1", "--from", "2026-01-01", "--out", "x"], "--from cannot be used with a pack"),
        (["--format", "jsonl", "--delimiter", ",", "--out", "x"], "--delimiter cannot be used with --format jsonl"),
        (["--format", "csv", "--delimiter", "ab", "--out", "x"], "cannot separate cells"),
        (["--format", "csv", "--from", "2026-02-01", "--to", "2026-01-01", "--out", "x"], "is after --to"),
        (["--format", "csv", "--out", "x"], "there is no archive yet"),
        (["--format", "csv", "--campaign", "101", "--out", "none/x"], "there is no folder none"),
        (["--format", "csv", "--campaign", "101", "--out", "."], "is a folder"),
    ],
)
def test_wrong_options_are_explained(tmp_path: Path, words: list[str], said: str) -> None:
    env = {**os.environ, "MARKET_PHOTOS_ARCHIVE_DIRECTORY": str(tmp_path / "none-yet")}
    done = run("export", *words, env=env, cwd=tmp_path, code=2)
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_long_index_takes_no_more_memory(tmp_path: Path) -> None:
    """Forty times the rows, the same memory: rows are written as they are read."""
    peaks = []
    for returns in (50, 2000):
        store = ArchiveOf(tmp_path / str(returns))
        photo = [PhotoKey(101, 1, 1, 7, f"{number:040x}") for number in range(20)]
        keys = ([key._replace(order=number, return_id=number) for key in photo] for number in range(returns))
        page = [Return(101, of[0].order, of[0].return_id, "", 0, "", {}, tuple(of)) for of in keys]
        with store.catalog() as catalog:
            catalog.returns.record_page(PackedPage(page))
        store.execute("UPDATE photos SET note = ?", ("x" * 500,))
        peaks.append(_peak_memory(tmp_path / str(returns)))
    assert peaks[1] < peaks[0] + 15_000, peaks


def _peak_memory(archive: Path) -> int:
    """KiB."""
    script = (
        "import resource, sys; from market_photos.cli.main import cli; "
        "cli.main(['export', '--format', 'csv', '--out', sys.argv[1]], standalone_mode=False); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    env = {**os.environ, "MARKET_PHOTOS_ARCHIVE_DIRECTORY": str(archive)}
    words = [sys.executable, "-c", script, str(archive / "index.csv")]
    return int(subprocess.run(words, env=env, capture_output=True, check=True, text=True, cwd=archive).stdout)


def test_status_shows_how_far_a_run_is(environment: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    """From another shell: progress, the wait and the time left; nothing of it is left when the run is over."""
    env = environment | {"MARKET_PHOTOS_LIMITS_PHOTO_REQUESTS": "1", "MARKET_PHOTOS_LIMITS_PERIOD_SECONDS": "3600"}
    words = [*COMMAND, "backfill", "--from", "2020-01-01", "--log-format", "json", "-v"]
    process = subprocess.Popen(
        words, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        progress = None
        for _ in range(100):
            time.sleep(0.3)
            if not (tmp_path / "archive/101/run.json").exists():
                continue
            done = run("status", "--json", env=env, cwd=tmp_path)
            progress = json.loads(done.stdout)["stores"][0]["progress"]
            if progress and "until" in progress["waiting"]:
                break
        assert progress
        assert "quota is used up, until" in progress["waiting"]
        assert (progress["photos"], progress["pending"]) == (1, 2)
        assert 3600 < progress["seconds_left"] <= 7300
        text = run("status", env=env, cwd=tmp_path).stdout
        assert "2 to go" in text
        assert "waiting:" in text
    finally:
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert not (tmp_path / "archive/101/run.json").exists()
    logged = [json.loads(line) for line in err.splitlines()]
    assert all({"time", "level", "message"} <= set(line) for line in logged)
    assert logged[-1]["level"] == "error"
    assert "exit 143" in logged[-1]["message"]


def test_json_logs_name_the_store(environment: dict[str, str], sandbox: Sandbox, tmp_path: Path) -> None:
    """Every line of standard error is an object, errors included; what concerns one store says which."""
    sandbox.market.stores[101].lose(sandbox.market.photos()[0])
    done = run("sync", "--log-format", "json", "-v", env=environment, cwd=tmp_path)
    logged = [json.loads(line) for line in done.stderr.splitlines()]
    assert any("is gone" in line["message"] and line["store"] == 101 for line in logged)
    wrong = environment | {"MARKET_PHOTOS_API_KEY": "ACMA:wrong:00"}
    refused = run("sync", "--log-format", "json", env=wrong, cwd=tmp_path, code=4)
    [error] = [json.loads(line) for line in refused.stderr.splitlines()]
    assert (error["level"], error["exit_code"]) == ("error", 4)
    assert error["hint"]
