"""`export`, `status` of a running job and JSON logs, as processes, on an archive that a real sync made."""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from market_photos.model import PhotoKey, Return
from tests.archives import ArchiveOf
from tests.integration.harness import CAMPAIGN, Outcome, World


@pytest.fixture
def world(world: World) -> World:
    world.market.stores[CAMPAIGN].add_return(photos=3, comment="=cmd|' /C calc'!A0")
    return world


def run(world: World, *words: object, code: int = 0) -> Outcome:
    outcome = world.command(*map(str, words))
    assert outcome.code == code, outcome.text
    assert "Traceback" not in outcome.stderr
    return outcome


def test_a_pack_holds_what_the_market_served(world: World, tmp_path: Path) -> None:
    """The pack has every byte that the Market served; no pack is overwritten, and a changed photo stops an export."""
    back = next(world.market.returns)
    run(world, "sync", "-q")
    run(world, "export", "--order", back.order, "--out", "пакет.zip")
    with zipfile.ZipFile(tmp_path / "пакет.zip") as pack:
        served = {photo.body for photo in world.market.photos()}
        assert {pack.read(name) for name in pack.namelist() if name.endswith((".jpg", ".png"))} == served
        record = json.loads(pack.read(f"order-{back.order}/data/101/{back.order}-{back.id}/return.json"))
        assert record == back.record()
        pack.extractall(tmp_path)
    check = [sys.executable, "-m", "bagit", "--validate", str(tmp_path / f"order-{back.order}")]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    assert (tmp_path / "пакет.zip").stat().st_mode & 0o777 == 0o600

    again = run(world, "export", "--return", back.id, "--out", "пакет.zip", code=2)
    assert "exists already" in again.stderr
    run(world, "export", "--return", back.id, "--out", "пакет.zip", "--force")

    photo = next((tmp_path / "archive").glob("101/photos/*/*/*.[jp][pn]g"))
    photo.write_bytes(photo.read_bytes()[:-1] + b"X")
    broken = run(world, "export", "--order", back.order, "--out", "new.zip", code=10)
    assert str(photo) in broken.stderr
    assert "market-photos verify" in broken.stderr
    photo.unlink()
    missing = run(world, "export", "--order", back.order, "--out", "new.zip", code=10)
    assert "is missing" in missing.stderr
    assert sorted(path.name for path in tmp_path.iterdir() if "zip" in path.name) == ["пакет.zip"]


def test_an_order_whose_photos_are_still_pending_is_no_pack(world: World, tmp_path: Path) -> None:
    """Exit 3, with the next step; after the sync there is one, as a PDF too."""
    back = next(world.market.returns)
    run(world, "sync", "-q", "--max-photos", "0", code=7)
    for more in ([], ["--pdf"]):
        done = run(world, "export", "--order", back.order, "--out", "new", *more, code=3)
        assert f"No photo of order {back.order} is in the archive: 3 pending" in done.stderr
    assert not (tmp_path / "new").exists()
    run(world, "sync", "-q")
    run(world, "export", "--order", back.order, "--out", "new", "--pdf")
    assert (tmp_path / "new").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_the_index_goes_to_standard_output(world: World) -> None:
    """Data goes to standard output, words to standard error; a reader that leaves causes no traceback."""
    run(world, "sync", "-q")
    done = world.program("export", "--format", "csv", "--out", "-")
    assert len(done.stdout.splitlines()) == 4
    assert done.stdout.splitlines()[0].startswith("\ufeffstore;order;return;")
    russian = world.program("export", "--format", "csv", "--lang", "ru", "--out", "-")
    assert russian.stdout.startswith("\ufeffМагазин;Заказ;Возврат;")
    english = world.program("export", "--format", "csv", "--lang", "en", "--all-returns", "--out", "-")
    assert english.stdout.startswith("\ufeffStore,Order,Return,")
    assert ";'=cmd|' /C calc'!A0;" in done.stdout
    lines = world.program("export", "--format", "jsonl", "--out", "-").stdout.splitlines()
    assert [json.loads(line)["comment"] for line in lines] == ["=cmd|' /C calc'!A0"] * 3
    reader, writer = os.pipe()
    os.close(reader)
    process = world.start("export", "--format", "jsonl", "--out", "-", stdout=writer)
    os.close(writer)
    gone = world.end_of(process)
    assert gone.code == 5
    assert gone.stderr.startswith("error: standard output: its reader went away")
    assert "Exception" not in gone.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "x"], "Say what to export"),
        (["--order", "1", "--format", "csv", "--out", "x"], "Say what to export"),
        (["--order", "1", "--from", "2026-01-01", "--out", "x"], "--from cannot be used with a pack"),
        (["--format", "jsonl", "--delimiter", ",", "--out", "x"], "--delimiter cannot be used with --format jsonl"),
        (["--order", "1", "--all-returns", "--out", "x"], "--all-returns cannot be used with a pack"),
        (["--format", "jsonl", "--lang", "ru", "--out", "x"], "--lang cannot be used with --format jsonl"),
        (["--format", "csv", "--pdf", "--out", "x"], "--pdf cannot be used with a table"),
        (["--format", "csv", "--delimiter", "ab", "--out", "x"], "cannot separate cells"),
        (["--format", "csv", "--from", "2026-02-01", "--to", "2026-01-01", "--out", "x"], "is after --to"),
        (["--format", "csv", "--out", "x"], "there is no archive yet"),
        (["--format", "csv", "--campaign", "101", "--out", "none/x"], "there is no folder none"),
        (["--format", "csv", "--campaign", "101", "--out", "."], "is a folder"),
    ],
)
def test_wrong_options_are_explained(world: World, words: list[str], said: str) -> None:
    done = run(world, "export", *words, code=2)
    assert said in done.stderr
    assert [path.name for path in world.folder.iterdir()] == ["config.toml"]


def test_a_long_index_takes_no_more_memory(tmp_path: Path) -> None:
    """Forty times the rows, the same memory: rows are written as they are read."""
    peaks = []
    for returns in (50, 2000):
        store = ArchiveOf(tmp_path / str(returns))
        photo = [PhotoKey(101, 1, 1, 7, f"{number:040x}") for number in range(20)]
        keys = ([key._replace(order=number, return_id=number) for key in photo] for number in range(returns))
        page = [Return(101, of[0].order, of[0].return_id, "", 0, "", {}, tuple(of)) for of in keys]
        with store.catalog() as catalog:
            catalog.returns.record_page(page)
        store.execute("UPDATE photos SET note = ?", ("x" * 500,))
        peaks.append(_peak_memory(tmp_path / str(returns)))
    assert peaks[1] < peaks[0] + 15_000, peaks


def _peak_memory(archive: Path) -> int:
    """Return the peak memory in KiB."""
    script = (
        "import resource, sys; from market_photos.cli.main import cli; "
        "cli.main(['export', '--format', 'csv', '--out', sys.argv[1]], standalone_mode=False); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    env = {**os.environ, "MARKET_PHOTOS_ARCHIVE_DIRECTORY": str(archive)}
    words = [sys.executable, "-c", script, str(archive / "index.csv")]
    return int(subprocess.run(words, env=env, capture_output=True, check=True, text=True, cwd=archive).stdout)


def test_status_shows_how_far_a_run_is(world: World) -> None:
    """Another shell sees progress, the wait and the time left; the file is gone when the run is over."""
    world.settings["limits"] = {"photo_requests": 1, "period_seconds": 3600}
    progress_file = world.store / "run.json"
    process = world.start("backfill", "--from", "2020-01-01", "--log-format", "json", "-v")
    try:
        progress = None
        for _ in range(300):
            time.sleep(0.1)
            if not progress_file.exists():
                continue
            progress = run(world, "status", "--json").json["stores"][0]["progress"]
            if progress and "next photo" in progress["waiting"]:
                break
        assert progress
        assert progress["waiting"].startswith("quota: next photo ")
        assert (progress["photos"], progress["pending"]) == (1, 2)
        assert 3600 < progress["seconds_left"] <= 7300
        text = run(world, "status").stdout
        assert "2 to go" in text
        assert "waiting:" in text
    finally:
        process.terminate()
        done = world.end_of(process)
    assert done.code == 143
    assert not progress_file.exists()
    logged = [json.loads(line) for line in done.stderr.splitlines()]
    assert all({"time", "level", "message"} <= set(line) for line in logged)
    assert logged[-1]["level"] == "error"
    assert "exit 143" in logged[-2]["message"]
    assert logged[-1]["message"].startswith("Next: ")


def test_json_logs_name_the_store(world: World) -> None:
    """Every line of standard error is an object, errors included; lines about one store name it."""
    world.market.stores[101].lose(world.market.photos()[0])
    done = world.program("sync", "--log-format", "json", "-v")
    logged = [json.loads(line) for line in done.stderr.splitlines()]
    assert any("is gone" in line["message"] and line["store"] == 101 for line in logged)
    refused = world.program("sync", "--log-format", "json", env={"MARKET_PHOTOS_API_KEY": "ACMA:wrong:00"})
    assert refused.code == 4
    [error] = [json.loads(line) for line in refused.stderr.splitlines()]
    assert (error["level"], error["exit_code"]) == ("error", 4)
    assert error["hint"]
