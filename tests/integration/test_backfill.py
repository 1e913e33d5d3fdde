"""A backfill lists windows and continues where it stopped; `fetch` brings the photos of one return."""

import asyncio
import datetime as dt

import pytest

from market_photos.errors import ExitCode
from market_photos.model import ReturnRef
from market_photos.sandbox import MarketStore, actions
from market_photos.sync.plan import Backfill, OneReturn, Plan
from market_photos.sync.run import Run
from tests.integration.conftest import MakeWorld
from tests.integration.harness import World, counts_of, fill

FIRST, LAST = dt.date(2026, 1, 10), dt.date(2026, 5, 20)


def span(first: dt.date = FIRST, last: dt.date = LAST) -> Plan:
    return Backfill(first, last)


def fill_months(store: MarketStore, each: int = 2) -> None:
    """Add `each` photos on the 15th of each month from December to June; five of the seven are within the span."""
    for number in range(7):
        year, month = divmod(2025 * 12 + 11 + number, 12)
        for hour in range(each):
            store.add_return(photos=1, created=dt.datetime(year, month + 1, 15, hour, tzinfo=dt.UTC))


def windows(world: World) -> list[tuple[str | None, str | None]]:
    """Return the dates of each listing."""
    first_pages = [entry.query for entry in world.log.of("returns") if "pageToken" not in entry.query]
    return [(query.get("fromDate"), query.get("toDate")) for query in first_pages]


def test_months_are_listed_newest_first_and_once(world: World) -> None:
    """Each window is padded by a day, a finished one is not listed again, and the span is respected."""
    fill_months(world.market.stores[101])
    report = world.run(span())
    assert (report.exit_code, counts_of(report)["downloaded"]) == (ExitCode.COMPLETE, 10)
    assert windows(world) == [
        ("2026-04-30", "2026-05-21"),
        ("2026-03-31", "2026-05-01"),
        ("2026-02-28", "2026-04-01"),
        ("2026-01-31", "2026-03-01"),
        ("2026-01-09", "2026-02-01"),
    ]
    world.log.clear()
    assert world.run(span()).exit_code is ExitCode.COMPLETE
    assert (windows(world), world.log.count("photo")) == ([], 0)
    assert world.run(span(last=LAST + dt.timedelta(days=40))).exit_code is ExitCode.COMPLETE
    assert [first for first, _ in windows(world)] == ["2026-05-31", "2026-04-30"]
    world.assert_archive_is_right()


def test_a_window_that_reaches_into_today_is_never_finished(world: World) -> None:
    today = dt.datetime.now(dt.UTC).date()
    for _ in range(2):
        world.log.clear()
        world.run(span(first=today, last=today))
        assert len(windows(world)) == 1


def test_a_window_that_failed_is_listed_again(world: World, quick: None) -> None:
    fill_months(world.market.stores[101])
    world.sandbox.faults.add(actions.status(500), kind="returns", nth=3, times=4)
    assert world.run(span()).exit_code is ExitCode.SERVER
    world.log.clear()
    assert world.run(span()).exit_code is ExitCode.COMPLETE
    assert [first for first, _ in windows(world)] == ["2026-02-28", "2026-01-31", "2026-01-09"]
    world.assert_archive_is_right()


def test_a_run_limit_ends_with_7_and_the_next_run_continues(make_world: MakeWorld) -> None:
    """--max-photos and --max-duration end with 7; the same command then continues."""
    world = make_world(latency=0.02)
    fill_months(world.market.stores[101], each=20)
    report = world.run(span(), max_photos=15)
    assert (report.exit_code, counts_of(report)["downloaded"]) == (ExitCode.LIMIT, 15)
    report = world.run(span(), max_seconds=0.25)
    assert report.exit_code is ExitCode.LIMIT
    assert 15 < (had := counts_of(report)["discovered"] - counts_of(report)["pending"]) < 100
    report = world.run(span())
    assert (report.exit_code, counts_of(report)["downloaded"]) == (ExitCode.COMPLETE, 100 - had)
    world.assert_archive_is_right()


def test_new_returns_come_first_during_a_backfill(make_world: MakeWorld) -> None:
    """Every refresh_hours the run lists new returns and takes them first."""
    settings = {"sync": {"refresh_hours": 0.3 / 3600}, "limits": {"parallel_requests": 1}}
    world = make_world(settings, latency=0.02)
    store = world.market.stores[101]
    fill_months(store, each=20)
    fresh = world.market.image_hash()

    def appear(run: Run) -> None:
        now = dt.datetime.now(dt.UTC)
        asyncio.get_running_loop().call_later(0.4, lambda: store.add_return(images=[fresh], created=now))

    report = world.run(span(), meanwhile=appear)
    assert (report.exit_code, counts_of(report)["downloaded"]) == (ExitCode.COMPLETE, 101)
    asked = [entry.image_hash for entry in world.log.of("photo")]
    assert asked.index(fresh) < 90
    world.assert_archive_is_right()


def test_a_backfill_leaves_the_watermark_alone(world: World) -> None:
    """Otherwise the next sync would skip returns that were never listed."""
    fill_months(world.market.stores[101])
    world.run(span())
    assert not world.rows("SELECT * FROM meta WHERE key = 'watermark'")
    assert counts_of(world.sync())["downloaded"] == 4


def one(order: int, return_id: int) -> Plan:
    return OneReturn(ReturnRef(order, return_id))


def test_fetch_downloads_one_return_only(world: World) -> None:
    """It takes two requests besides the photos; the backlog stays pending and is not counted."""
    store = world.market.stores[101]
    fill(store, returns=20)
    world.sync(max_photos=1)
    back = store.add_return(photos=3)
    world.log.clear()
    report = world.run(one(back.order, back.id), campaigns=(101,))
    assert (report.exit_code, counts_of(report)["discovered"]) == (ExitCode.COMPLETE, 3)
    assert [entry.kind for entry in world.log][:2] == ["campaigns", "return"]
    assert world.log.count("photo") == 3
    assert world.states() == {"archived": 4, "pending": 19}
    assert world.run(one(back.order, back.id), campaigns=(101,)).exit_code is ExitCode.COMPLETE
    assert world.log.count("photo") == 3
    world.assert_archive_is_right()


@pytest.mark.parametrize(("order", "return_id"), [(1, 40_000_001), (500_000_001, 2)])
def test_fetch_of_an_unknown_return_is_an_error(world: World, order: int, return_id: int) -> None:
    fill(world.market.stores[101], returns=1)
    report = world.run(one(order, return_id), campaigns=(101,))
    assert report.exit_code is ExitCode.USAGE
    assert "knows no return" in str(report.stores[0].error)
