"""A script syncs and reads, with the example of the README and against the embedded Market."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from market_photos import Archive, ExitCode, State
from market_photos.sandbox import actions
from tests.integration.conftest import MakeWorld
from tests.integration.harness import fill

README = Path(__file__).parents[2] / "README.md"


def test_the_example_of_the_readme_runs(make_world: MakeWorld) -> None:
    world = make_world()
    fill(world.market.stores[101], returns=5)
    world.config()
    code = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    environment = os.environ | {"MARKET_PHOTOS_API_KEY": world.market.key, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        [sys.executable, "-c", *code], cwd=world.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    first, *photos = done.stdout.splitlines()
    assert first == "0 5 0"
    assert len(photos) == 5, done.stdout
    assert [line for line in photos if not Path(line[line.index(str(world.archive)) :]).is_file()] == []
    world.assert_complete()


def test_the_report_is_that_of_the_command(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo is gone in one store; another store is refused; a dry run changes nothing."""
    world = make_world(stores=2)
    fill(world.market.stores[101], returns=5)
    world.sandbox.faults.add(actions.status(404), kind="photo", nth=1)
    world.sandbox.faults.add(actions.status(403), kind="returns", campaign=102, times=100)
    monkeypatch.setenv("MARKET_PHOTOS_API_KEY", world.market.key)
    archive = Archive.from_config(world.config())
    dry = asyncio.run(archive.sync(101, dry_run=True))
    assert (dry.exit_code, dry.discovered, dry.would_fetch) == (ExitCode.COMPLETE, 0, 5)
    assert "A dry run" in dry.text
    report = asyncio.run(archive.sync())
    told = world.command("status", "--json").json["stores"]
    assert (report.exit_code, report.would_fetch) == (ExitCode.KEY, None)
    assert [(store.campaign, store.exit_code, bool(store.error)) for store in report.stores] == [
        (101, 0, False),
        (102, 4, True),
    ]
    assert (report.downloaded, report.gone, report.discovered) == (4, 1, sum(store["discovered"] for store in told))
    states = [photo.state for found in archive.returns() for photo in found.photos]
    assert sorted(states) == [State.ARCHIVED] * 4 + [State.GONE]


def test_a_cancelled_sync_leaves_an_archive_that_the_next_one_completes(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(latency=0.05)
    fill(world.market.stores[101], returns=60)
    monkeypatch.setenv("MARKET_PHOTOS_API_KEY", world.market.key)
    archive = Archive.from_config(world.config())

    async def cut_short() -> None:
        sync = asyncio.create_task(archive.sync())
        while world.log.count("photo") < 5:  # noqa: ASYNC110 - the log is of another thread
            await asyncio.sleep(0.01)
        sync.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sync

    asyncio.run(cut_short())
    assert asyncio.run(archive.sync()).exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right(in_flight=4)


def test_a_folder_stays_the_archive_whatever_the_environment_says(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that went to the bucket of the environment would bring nothing that the same object reads."""
    world = make_world()
    fill(world.market.stores[101], returns=2)
    for name, value in (("API_KEY", world.market.key), ("API_BASE_URL", world.sandbox.url)):
        monkeypatch.setenv(f"MARKET_PHOTOS_{name}", value)
    monkeypatch.setenv("MARKET_PHOTOS_ARCHIVE_URL", "s3://returns/market")
    archive = Archive(world.archive)
    assert asyncio.run(archive.sync()).downloaded == 2
    assert len(world.files()) == len([photo for found in archive.returns() for photo in found.photos]) == 2
