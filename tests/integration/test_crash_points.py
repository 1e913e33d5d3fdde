"""`kill -9` at each step between claiming a photo and having it on record, and in the owner's commands.

After each, one more run ends complete, every file is whole, only photos in flight were requested twice, and every
request that was sent is on record.
"""

import contextlib
import re
import signal
import sqlite3
from pathlib import Path

import pytest

from market_photos import failpoints
from market_photos.maintenance.rebuild import BATCH
from market_photos.settings import Limits
from market_photos.sync.store_run import SPARE_WORKERS
from tests.integration.harness import World, a_world

pytestmark = pytest.mark.usefixtures("short_cool_down")
PACKAGE = Path(failpoints.__file__).parent
#: Workers of a run: the slots, and those whose photos are on their way from the slot to the disk.
IN_FLIGHT = Limits().parallel_requests + SPARE_WORKERS
#: Points that a run passes once.
ONCE = {"run-begun", "page-recorded", "watermark-moved", "run-ended"}


def test_every_point_in_the_code_is_on_the_list() -> None:
    """`POINTS`, which the tests below use, names exactly the points in the code."""
    in_code = {
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r'failpoints\.point\("([a-z-]+)"\)', path.read_text())
    }
    assert in_code == {*failpoints.RUN_POINTS, *failpoints.UPKEEP_POINTS}


def _crash(world: World, point: str, *arguments: str) -> None:
    outcome = world.program(*arguments, env={"MARKET_PHOTOS_CRASH_AT": point})
    assert outcome.code == -signal.SIGKILL, f"{arguments} did not reach {point}: {outcome.text}"


def _asked_too_often(world: World) -> int:
    """Return the number of photo requests beyond one for each photo."""
    return sum(count - 1 for count in world.requests_per_photo().values())


@pytest.mark.parametrize("at", ["1", "4"])
@pytest.mark.parametrize("point", failpoints.RUN_POINTS)
def test_a_run_killed_at_any_point_is_completed_by_the_next(tmp_path: Path, point: str, at: str) -> None:
    """Killed at the first or at a later photo, the same command then downloads the other photos, and only those."""
    if at != "1" and point in ONCE:
        pytest.skip("a run passes it once")
    with a_world(tmp_path, returns=4, photos=2) as world:
        _crash(world, f"{point}:{at}", "sync")
        sent = world.sandbox.log.count("photo")
        on_record = world.rows("SELECT count(*) FROM requests WHERE method = 'photo'")[0][0]
        assert on_record >= sent, "the quota was given back"
        again = world.sync_command()
        assert (again.code, again.json["discovered"], again.json["pending"]) == (0, 8, 0)
        assert _asked_too_often(world) <= IN_FLIGHT
        world.assert_complete()


@pytest.mark.parametrize("point", ["renamed", "part-opened", "row-written"])
def test_leftovers_of_a_killed_run_are_swept_days_later(tmp_path: Path, point: str) -> None:
    """The leftovers are found even after two days, when the requests of the killed run no longer count."""
    with a_world(tmp_path, returns=2, photos=2) as world:
        _crash(world, f"{point}:2", "sync")
        for entry in world.market.photos():
            world.market.stores[entry.campaign].lose(entry)  # nothing will overwrite them
        _age_the_requests(world, days=2)
        world.sync_command()
        assert world.verify() == []
        assert not list(world.archive.rglob("*.part"))


def _age_the_requests(world: World, days: int) -> None:
    with contextlib.closing(sqlite3.connect(world.store / "catalog.sqlite3")) as connection, connection:
        connection.execute(
            "UPDATE requests SET boot = 'another', sent = sent - :age, answered = answered - :age",
            {"age": days * 86_400},
        )


@pytest.mark.parametrize("point", ["set-aside", "requeued", "repair-kept"])
def test_a_repair_killed_at_any_point_is_finished_by_the_next(tmp_path: Path, point: str) -> None:
    """Both changed files are set aside and downloaded again."""
    with a_world(tmp_path, synced=True) as world:
        harmed = world.files()[:2]
        for path in harmed:
            path.write_bytes(b"changed")
        _crash(world, point, "verify", "--repair")
        world.verify(repair=True)
        assert world.sync_command().code == 0
        aside = [path.read_bytes() for path in (world.store / "set-aside").rglob("*") if path.is_file()]
        assert aside == [b"changed", b"changed"]
        world.assert_complete()


@pytest.mark.parametrize("point", ["rebuilding", "rebuilt"])
def test_a_rebuild_killed_at_any_point_can_be_repeated(tmp_path: Path, point: str) -> None:
    """It leaves either no catalogue or a whole one."""
    returns = BATCH + 1 if point == "rebuilding" else 3
    with a_world(tmp_path, returns=returns, photos=1, synced=True) as world:
        asked = world.requests_per_photo()
        (world.store / "catalog.sqlite3").unlink()
        _crash(world, point, "rebuild")
        if point == "rebuilding":
            assert world.sync_command().code == 9
        assert world.command("rebuild").code == (0 if point == "rebuilding" else 2)
        assert world.sync_command().code == 0
        assert world.requests_per_photo() == asked
        world.assert_complete()


@pytest.mark.parametrize("point", ["tombstoned", "pruning:1", "pruning:2", "pruning:4", "pruned"])
def test_a_prune_killed_at_any_point_is_finished_by_the_next(tmp_path: Path, point: str) -> None:
    """A sync in between fetches no pruned photo."""
    with a_world(tmp_path, synced=True) as world:
        asked = world.requests_per_photo()
        _crash(world, point, "prune", "--older-than", "1d", "--yes")
        assert world.sync_command("--full").json["downloaded"] == 0
        finished = world.command("prune", "--older-than", "1d", "--yes")
        assert finished.code == 0
        assert world.rows("SELECT DISTINCT state FROM photos") == [("pruned",)]
        assert {path.name for path in world.files()} == {"pruned.json"}
        assert not list(world.archive.rglob("return.json"))
        assert world.sync_command("--full").json["pruned"] == 6
        assert world.requests_per_photo() == asked
        assert world.verify() == []
        world.assert_no_key()
