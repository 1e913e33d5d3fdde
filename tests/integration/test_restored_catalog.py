"""The catalogue is older than the photos on disk: the quota holds, and no photo on disk is fetched again."""

import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from market_photos.archive import layout
from market_photos.errors import ExitCode
from tests.integration.conftest import MakeWorld
from tests.integration.harness import World, fill, wait_until

pytestmark = pytest.mark.usefixtures("short_cool_down")
QUOTA, PERIOD_S = 8, 3.0


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    made = make_world({"limits": {"photo_requests": QUOTA, "period_seconds": PERIOD_S}})
    fill(made.market.stores[101], returns=4, photos=3)
    return made


def copy_of(world: World) -> Path:
    """Make a backup of the catalogue while no run is at work."""
    return Path(shutil.copy(world.archive / "101" / layout.CATALOG_NAME, world.folder / "copy"))


def put_back(world: World, copy: Path | None) -> None:
    for companion in ("", "-wal", "-shm"):
        (world.archive / "101" / f"{layout.CATALOG_NAME}{companion}").unlink(missing_ok=True)
    if copy:
        shutil.copy(copy, world.archive / "101" / layout.CATALOG_NAME)


def worst(world: World) -> int:
    found: int = world.log.worst_window("photo", PERIOD_S, 101)
    return found


def test_a_catalogue_put_back_within_the_period_does_not_exceed_the_quota(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert world.sync(max_photos=1).exit_code is ExitCode.LIMIT
    copy = copy_of(world)
    assert world.sync(max_photos=QUOTA - 1).exit_code is ExitCode.LIMIT
    put_back(world, copy)
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert "put back from a backup" in caplog.text
    assert worst(world) <= QUOTA
    world.assert_archive_is_right()  # each photo was sent once


@pytest.mark.slow
@pytest.mark.slow
def test_a_catalogue_lost_beside_an_empty_tree_does_not_exceed_the_quota(world: World) -> None:
    """The lock file alone tells that there were runs."""
    assert world.sync(max_photos=QUOTA).exit_code is ExitCode.LIMIT
    put_back(world, None)
    shutil.rmtree(world.archive / "101" / layout.PHOTOS)
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert worst(world) <= QUOTA


@pytest.mark.slow
def test_a_run_after_a_loss_leaves_room_for_what_a_run_that_stands_still_may_send(world: World) -> None:
    """Requests that were on their way when its process was paused, and that it sends when it wakes."""
    assert world.sync(max_photos=1).exit_code is ExitCode.LIMIT
    put_back(world, None)
    shutil.rmtree(world.archive / "101" / layout.PHOTOS)
    world.settings["limits"]["parallel_requests"] = 3
    world.log.entries.clear()
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert worst(world) == QUOTA - 3


def test_a_copy_made_during_a_run_that_was_killed_is_recognised_by_the_photos_on_disk(world: World) -> None:
    """The stamp is that of the same run, but the copy lacks photos that it fetched."""
    process = world.start("sync")
    wait_until(lambda: world.log.count("photo") >= 1, process)
    deadline = time.monotonic() + 20
    while not any(row["state"] == "archived" for row in world.photo_rows(101)) and time.monotonic() < deadline:
        time.sleep(0.005)
    copy = world.folder / "copy"
    with_sqlite_backup(world, copy)
    wait_until(lambda: world.log.count("photo", status=200) >= QUOTA, process)
    wait_until(lambda: world.states().get("archived") == QUOTA, process)
    process.kill()
    world.end_of(process)
    put_back(world, copy)
    assert world.program("sync").code == 0
    assert worst(world) <= QUOTA
    world.assert_archive_is_right()


def with_sqlite_backup(world: World, copy: Path) -> None:
    source = sqlite3.connect(world.archive / "101" / layout.CATALOG_NAME)
    target = sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.close()


@pytest.mark.slow
@pytest.mark.parametrize("point", ["run-begun", "renamed", "recorded", "run-ended", "watermark-moved"])
def test_a_kill_is_not_taken_for_a_restored_catalogue(world: World, point: str) -> None:
    """A false alarm would cost a period; a photo that a killed run left under its final name is kept."""
    killed = world.program("sync", env={"MARKET_PHOTOS_CRASH_AT": f"{point}:1"})
    assert killed.code == -9
    done = world.program("sync")
    assert done.code == 0
    assert "older than" not in done.stderr
    world.assert_archive_is_right(in_flight=4, at_work=True)
