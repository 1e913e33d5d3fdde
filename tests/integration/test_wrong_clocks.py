"""This machine's clock is wrong, or the server gives no time: nothing is lost, and the quota holds."""

import asyncio
import datetime as dt
import shutil
from email.utils import formatdate
from random import Random

import pytest

from market_photos.archive import layout
from market_photos.clock import Moment
from market_photos.errors import ExitCode
from market_photos.sandbox import actions
from market_photos.sandbox.log import most_within
from market_photos.sync.run import Run
from tests.integration.conftest import MakeWorld
from tests.integration.harness import World, fill, nightly

DAY_S = 86_400.0
QUOTA, PERIOD_S = 8, 3600.0
ALWAYS = None


def watermark(world: World) -> int:
    return int(world.rows("SELECT value FROM meta WHERE key = 'watermark'")[0][0])


class Machine:
    """A machine whose uptime follows the world's true time, and whose wall clock is wrong by `off` seconds."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.off = 0.0
        self.boot = "boot-0"
        self.uptime_off = 0.0
        self.frozen: float | None = None

    def now(self) -> Moment:
        true = self.world.server_wall()
        wall = self.frozen if self.frozen is not None else true + self.off
        return Moment(wall, self.boot, true + self.uptime_off)

    def reboot(self, name: str) -> None:
        self.boot, self.uptime_off = name, -self.world.server_wall() + 20


@pytest.mark.parametrize("days", [9, 400, -9, -400])
def test_no_return_is_missed_and_the_watermark_is_the_servers(world: World, days: float) -> None:
    """The clock is wrong by days for one night, and right in the next ones."""
    store = world.market.stores[101]
    machine = world.clock = Machine(world)
    for night, off in enumerate([0, days, 0, 0]):
        world.server_wall.ahead = night * DAY_S
        machine.off = off * DAY_S
        machine.reboot(f"boot-{night}")
        store.add_return(photos=1, updated=dt.datetime.fromtimestamp(world.server_wall(), dt.UTC))
        report = world.sync()
        assert report.exit_code is ExitCode.COMPLETE
        assert abs(watermark(world) - world.server_wall()) < 60
    assert world.states() == {"archived": 4}


@pytest.mark.parametrize("date", [None, "yesterday", "Wed, 99 Foo 2026 99:99:99 GMT", "\x7f"])
def test_a_server_without_a_usable_date_loses_nothing(world: World, date: str | None) -> None:
    """Each night lists all returns that may be new, and ends complete."""
    world.sandbox.faults.add(actions.headers({"Date": date}), times=ALWAYS)
    store = world.market.stores[101]
    for night in range(3):
        world.server_wall.ahead = night * DAY_S
        store.add_return(photos=1)
        assert world.sync().exit_code is ExitCode.COMPLETE
    assert world.states() == {"archived": 3}
    assert not world.rows("SELECT value FROM meta WHERE key = 'watermark'")
    done = world.program("doctor")
    assert (done.code, "no usable Date" in done.stdout) == (0, True)


@pytest.mark.parametrize("odd", range(1, 5))
def test_one_odd_date_does_not_poison_the_archive(world: World, odd: int) -> None:
    """A year ahead, in any answer of the first night: after the next night everything is there and dated right."""
    store = world.market.stores[101]
    fill(store, returns=2)
    late = actions.headers({"Date": formatdate(world.server_wall() + 365 * DAY_S, usegmt=True)})
    world.sandbox.faults.add(late, nth=odd)
    assert world.sync().exit_code is ExitCode.COMPLETE
    for night in (1, 2):
        world.server_wall.ahead = night * DAY_S
        store.add_return(photos=1)
        assert world.sync().exit_code is ExitCode.COMPLETE
    assert world.states() == {"archived": 4}
    assert abs(watermark(world) - world.server_wall()) < 60


@pytest.mark.parametrize("days", [9, -9])
@pytest.mark.parametrize("off", [0, 40, -400], ids=lambda off: f"ours {off}")
def test_an_odd_first_date_after_a_reboot_does_not_exceed_the_quota(
    make_world: MakeWorld, days: float, off: float
) -> None:
    """The list of stores comes with a wrong Date; then only that could tell how old the last run's requests are."""
    world = make_world({"limits": {"photo_requests": QUOTA, "period_seconds": PERIOD_S}})
    machine = world.clock = Machine(world)
    machine.off = off * DAY_S
    fill(world.market.stores[101], returns=3 * QUOTA)
    assert world.run(nightly(), max_photos=QUOTA).exit_code is ExitCode.LIMIT
    machine.reboot("boot-1")
    odd = actions.headers({"Date": formatdate(world.server_wall() + days * DAY_S, usegmt=True)})
    world.sandbox.faults.add(odd, kind="campaigns")
    assert world.run(nightly(), max_seconds=0.5).exit_code is ExitCode.LIMIT
    assert most_within(sorted(entry.wall for entry in world.log.of("photo")), PERIOD_S) <= QUOTA


def test_a_night_of_wrong_dates_is_mended_by_the_next(world: World) -> None:
    """The server itself was nine days ahead."""
    store = world.market.stores[101]
    world.server_wall.ahead = 9 * DAY_S
    store.add_return(photos=1)
    assert world.sync().exit_code is ExitCode.COMPLETE
    world.server_wall.ahead = DAY_S
    store.add_return(photos=1)
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert world.states() == {"archived": 2}


def meddle(machine: Machine, rng: Random) -> None:
    """Do to the machine what may happen between two runs."""
    fate = rng.randrange(7)
    if fate == 0:
        machine.off = rng.uniform(-9, 9) * DAY_S
    elif fate == 1:  # the hardware clock is in local time
        machine.off = rng.choice([-3, 3]) * 3600
        machine.reboot(f"boot-{rng.random()}")
    elif fate == 2:
        machine.reboot(f"boot-{rng.random()}")
    elif fate == 3:
        machine.frozen = machine.now().wall
    elif fate == 4:  # restored on another host that shows the same boot id
        machine.uptime_off += rng.uniform(-1, 1) * 3 * PERIOD_S
    else:
        machine.off, machine.frozen = 0.0, None


def attempt(world: World, machine: Machine, rng: Random) -> ExitCode:
    """Run for at most half a second while the clock is set; a longer run would only wait for quota."""
    jump = rng.choice([machine.off, 3 * 3600, -9 * DAY_S, 9 * DAY_S])

    def meanwhile(run: Run) -> None:
        asyncio.get_running_loop().call_later(0.05, setattr, machine, "off", jump)

    return world.run(nightly(), meanwhile=meanwhile, max_seconds=0.5).exit_code


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_forty_nights_with_a_clock_that_is_wrong_on_some_of_them(make_world: MakeWorld, seed: int) -> None:
    """Reboots, local time, jumps in mid-run, a frozen clock, a moved machine, a catalogue put back from a backup.

    Each of two archives has twenty nights of up to three runs within one period. The quota holds in each period, and
    in the end nothing is missing.
    """
    world = make_world({"limits": {"photo_requests": QUOTA, "period_seconds": PERIOD_S}, "sync": {"overlap_days": 1}})
    store, rng = world.market.stores[101], Random(seed)
    machine = world.clock = Machine(world)
    catalog = world.archive / "101" / layout.CATALOG_NAME
    added, copies = 0, 0
    for night in range(20):
        world.server_wall.ahead = night * DAY_S
        for _ in range(rng.randint(0, 6)):
            store.add_return(photos=1, updated=dt.datetime.fromtimestamp(world.server_wall(), dt.UTC))
            added += 1
        for _ in range(rng.randint(1, 3)):
            world.server_wall.ahead += rng.uniform(5, 900)
            meddle(machine, rng)
            if catalog.exists() and rng.random() < 0.1:
                copy = shutil.copy(catalog, world.folder / "copy")
                assert attempt(world, machine, rng) in {ExitCode.COMPLETE, ExitCode.LIMIT}
                shutil.copy(copy, catalog)
                copies += 1
            assert attempt(world, machine, rng) in {ExitCode.COMPLETE, ExitCode.LIMIT}
    machine.off, machine.frozen = 0.0, None
    for _ in range(30):
        world.server_wall.ahead += 1.1 * PERIOD_S
        if world.sync(max_seconds=5).exit_code is ExitCode.COMPLETE:
            break
    assert copies
    assert world.states() == {"archived": added}
    assert most_within(sorted(entry.wall for entry in world.log.of("photo", 101)), PERIOD_S) <= QUOTA
    world.assert_archive_is_right()
