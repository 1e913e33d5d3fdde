"""The clock is set, or summer time ends, during a run or between two: the quota holds."""

import asyncio
import datetime as dt
import time
from collections.abc import Iterator

import pytest

from market_photos.clock import iso
from market_photos.errors import ExitCode
from market_photos.sync.run import Run
from tests.integration.conftest import MakeWorld
from tests.integration.harness import JumpingClock, World, assert_adds_up, counts_of, fill, nightly

QUOTA, PERIOD_S = 8, 1.0
HOUR_S = 3600.0
JUMPS = [HOUR_S, -HOUR_S, 90 * 86_400.0, -90 * 86_400.0]
#: The last second of summer time in most of Europe, and the last one of winter time.
SEASONS = [dt.datetime(2026, 10, 25, 0, 59, 59, tzinfo=dt.UTC), dt.datetime(2027, 3, 28, 0, 59, 59, tzinfo=dt.UTC)]


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    made = make_world({"limits": {"photo_requests": QUOTA, "period_seconds": PERIOD_S}})
    fill(made.market.stores[101], returns=5, photos=4)
    return made


def _worst_period(world: World) -> int:
    """Return the most photo requests in any period, by the server's clock."""
    walls = sorted(entry.wall for entry in world.log.entries if entry.kind == "photo")
    return max(sum(1 for wall in walls if start <= wall < start + PERIOD_S) for start in walls)


def _assert_all_is_well(world: World, code: ExitCode) -> None:
    assert code is ExitCode.COMPLETE
    assert _worst_period(world) <= QUOTA
    world.assert_archive_is_right()


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_set_during_a_run_keeps_the_quota(world: World, jump: float) -> None:
    """The run continues at its quota and ends complete."""
    clock = JumpingClock()
    world.clock = clock

    def meanwhile(run: Run) -> None:
        asyncio.get_running_loop().call_later(0.7, setattr, clock, "seconds", jump)

    report = world.run(nightly(), meanwhile=meanwhile)
    assert_adds_up(counts_of(report))
    _assert_all_is_well(world, report.exit_code)


@pytest.mark.parametrize("jump", JUMPS)
def test_a_clock_set_between_two_runs_keeps_the_quota(world: World, jump: float) -> None:
    """Requests of the first run still count in the second."""
    assert world.sync(max_photos=QUOTA).exit_code is ExitCode.LIMIT
    world.clock = JumpingClock(jump)
    _assert_all_is_well(world, world.sync().exit_code)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set a time zone with summer time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize("moment", SEASONS, ids=str)
def test_a_change_of_summer_time_keeps_quota_and_watermark(world: World, moment: dt.datetime) -> None:
    """The quota holds across the change, and the watermark is the start of the run in UTC."""
    world.server_wall.ahead = moment.timestamp() - time.time()
    world.clock = JumpingClock(world.server_wall.ahead)
    report = world.sync()
    _assert_all_is_well(world, report.exit_code)
    [store] = report.stores
    assert store.watermark is not None
    assert iso(moment.timestamp())[:13] <= store.watermark[:13] <= iso(moment.timestamp() + 60)[:13]
