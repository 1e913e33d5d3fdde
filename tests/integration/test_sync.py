"""A night's sync, over real sockets."""

import datetime as dt
from collections.abc import Callable

import pytest

from market_photos.archive.lock import Lock
from market_photos.errors import ExitCode, KeyRefused
from market_photos.model import ReturnRef
from market_photos.reporting.summary import full_report
from market_photos.sandbox import ABSENT, actions
from market_photos.sync.plan import OneReturn
from tests.integration.conftest import MakeWorld
from tests.integration.harness import World, counts_of, fill, nightly

DAY_S = 86_400


def test_a_second_sync_fetches_nothing_and_a_third_what_is_new(world: World) -> None:
    """No photo is requested twice."""
    store = world.market.stores[101]
    fill(store, returns=120, photos=1)
    store.add_return()
    store.add_return(photos=2, type="UNREDEEMED")
    report = world.sync()
    assert counts_of(report) | {"seconds": 0} == {
        "discovered": 120,
        "downloaded": 120,
        "already": 0,
        "gone": 0,
        "failed": 0,
        "pending": 0,
        "pruned": 0,
        "bytes": sum(row["size"] for row in world.photo_rows(101)),
        "requests": len(world.log),
        "seconds": 0,
        "exit_code": 0,
        "awaiting": {"count": 0, "most_urgent": None},
        "newly_awaiting": [],
        "stores": report.as_json()["stores"],
        "skipped": [],
    }
    world.log.clear()
    assert counts_of(world.sync())["already"] == 120
    assert world.log.count("photo") == 0
    store.add_return(photos=3, created=dt.datetime.now(dt.UTC))
    assert counts_of(world.sync())["downloaded"] == 3
    assert world.log.count("photo") == 3
    world.assert_archive_is_right()


def test_a_sync_lists_from_the_watermark_less_the_overlap(make_world: MakeWorld) -> None:
    """A sync lists from `overlap_days` (and a day of padding) before the start of the last complete one."""
    world = make_world({"sync": {"overlap_days": 3, "first_sync_from": "2026-01-05"}})
    fill(world.market.stores[101], returns=2)
    today = dt.datetime.now(dt.UTC).date()
    asked = []
    for full in (False, False, True):
        world.log.clear()
        assert world.sync(full=full).exit_code is ExitCode.COMPLETE
        asked.append(world.log.of("returns")[0].query.get("fromDate"))
    assert asked == ["2026-01-04", str(today - dt.timedelta(days=4)), None]


def test_the_watermark_stays_where_the_listing_failed(world: World, quick: None) -> None:
    """Photos of the pages that came are fetched all the same, and the next run lists the whole span again."""
    fill(world.market.stores[101], returns=150)
    world.sandbox.faults.add(actions.status(500), kind="returns", nth=2, times=4)
    report = world.sync()
    assert (report.exit_code, counts_of(report)["downloaded"]) == (ExitCode.SERVER, 100)
    assert report.stores[0].watermark is None
    assert counts_of(world.sync())["downloaded"] == 50
    assert world.rows("SELECT value FROM meta WHERE key = 'watermark'")
    world.assert_archive_is_right()


def test_stores_run_side_by_side_and_skipped_ones_have_reasons(make_world: MakeWorld) -> None:
    """Each at its own quota and slots; LAAS and closed stores are left out with their reason, unasked."""
    world = make_world(stores=3, latency=0.02)
    world.market.add_store(201, placementType="LAAS").add_return(photos=1)
    world.market.add_store(202, apiAvailability="DISABLED_BY_INACTIVITY").add_return(photos=1)
    world.market.add_store(203, apiAvailability=ABSENT, placementType=ABSENT).add_return(photos=1)
    for campaign in (101, 102, 103):
        fill(world.market.stores[campaign], returns=9)
    report = world.sync()
    assert counts_of(report)["downloaded"] == 28
    assert [store.campaign for store in report.stores] == [101, 102, 103, 203]
    assert {"201", "202"} == {title.split()[1] for title, _ in report.skipped}
    assert not world.log.of(campaign=201) + world.log.of(campaign=202)
    assert world.log.worst_parallel() == 3
    first, last = ([entry.arrived for entry in world.log.of("photo", c)] for c in (101, 103))
    assert min(last) < max(first), "side by side"
    world.assert_archive_is_right()


def _vanish(world: World, campaign: int) -> None:
    del world.market.stores[campaign]


def _disable(world: World, campaign: int) -> None:
    world.market.stores[campaign].fields["apiAvailability"] = "DISABLED_BY_INACTIVITY"


def _become_laas(world: World, campaign: int) -> None:
    world.market.stores[campaign].fields["placementType"] = "LAAS"


CLOSINGS = [(_vanish, "not among the stores"), (_disable, "DISABLED"), (_become_laas, "LAAS")]


@pytest.mark.parametrize("others", [True, False])
@pytest.mark.parametrize(("close", "why"), CLOSINGS)
def test_a_known_store_that_is_no_longer_served_counts(
    make_world: MakeWorld, close: Callable[[World, int], None], why: str, others: bool
) -> None:
    """Its pending photos are in the totals and end the run with exit 4, whether or not there are other stores."""
    world = make_world(stores=2 if others else 1)
    for campaign in world.market.stores:
        fill(world.market.stores[campaign], returns=10)
    world.sync(max_photos=2, campaigns=(101,))
    close(world, 101)
    found = counts_of(world.sync())
    assert (found["exit_code"], found["pending"], found["already"]) == (4, 8, 2)
    assert found["downloaded"] == (10 if others else 0)
    closed = next(store for store in found["stores"] if store["campaign"] == 101)
    assert (closed["exit_code"], closed["pending"], why in closed["error"]) == (4, 8, True)
    assert found["skipped"] == []
    assert len(world.log.of("photo", 101)) == 2


@pytest.mark.parametrize(("close", "why"), CLOSINGS)
def test_a_known_store_that_is_complete_may_be_closed(
    make_world: MakeWorld, close: Callable[[World, int], None], why: str
) -> None:
    """It is a line of the summary, not an error."""
    world = make_world(stores=2)
    fill(world.market.stores[101], returns=3)
    assert world.sync().exit_code is ExitCode.COMPLETE
    close(world, 101)
    report = world.sync()
    assert (report.exit_code, [store.campaign for store in report.stores]) == (ExitCode.COMPLETE, [102])
    [(title, reason)] = report.skipped
    assert ("101" in title, why in reason, "nothing of it is pending" in reason) == (True, True, True)


def test_a_known_store_that_another_run_works_on_is_left_to_it(make_world: MakeWorld) -> None:
    """Two keys may share an archive: the store's own run counts it."""
    world = make_world(stores=2)
    fill(world.market.stores[101], returns=3)
    world.sync(max_photos=1, campaigns=(101,))
    _vanish(world, 101)
    with Lock(world.archive / "101" / "run.lock", "sync", world.clock):
        report = world.sync()
    assert (report.exit_code, "another run" in report.skipped[0][1]) == (ExitCode.COMPLETE, True)


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_known_store_whose_catalogue_cannot_be_read_is_not_called_complete(
    make_world: MakeWorld, is_lost: bool
) -> None:
    world = make_world(stores=2)
    fill(world.market.stores[101], returns=3)
    world.sync()
    _vanish(world, 101)
    for path in (world.archive / "101").glob("catalog.sqlite3*"):
        path.unlink() if is_lost else path.write_bytes(b"x" * 9000)
    assert world.sync().exit_code is ExitCode.CATALOG


def test_a_named_store_that_is_no_longer_served_counts(world: World) -> None:
    fill(world.market.stores[101], returns=10)
    world.sync(max_photos=2)
    _disable(world, 101)
    found = counts_of(world.sync(campaigns=(101,)))
    assert (found["exit_code"], found["pending"], found["already"]) == (4, 8, 2)


@pytest.mark.parametrize("where", ["option", "config"])
def test_named_stores_come_before_the_configured_ones(make_world: MakeWorld, where: str) -> None:
    """A named store that cannot be served is an error, not a skip."""
    world = make_world({"campaigns": {"ids": [102] if where == "config" else [101]}}, stores=2)
    fill(world.market.stores[102], returns=1)
    report = world.sync(campaigns=(102,) if where == "option" else ())
    assert [(store.campaign, store.exit_code) for store in report.stores] == [(102, ExitCode.COMPLETE)]
    world.market.stores[102].fields["placementType"] = "LAAS"
    report = world.sync(campaigns=(102,))
    assert (report.exit_code, "LAAS" in str(report.stores[0].error)) == (ExitCode.KEY, True)


def test_the_newest_return_comes_first(make_world: MakeWorld) -> None:
    world = make_world({"limits": {"parallel_requests": 1}}, latency=0.01)
    store = world.market.stores[101]
    now = world.market.now
    backs = [store.add_return(photos=1, created=now - dt.timedelta(days=days)) for days in (30, 2, 400, 9)]
    world.sync()
    asked = [entry.image_hash for entry in world.log.of("photo")]
    newest = sorted(backs, key=lambda back: back.created, reverse=True)
    assert asked == [store.photos(back)[0].image_hash for back in newest]


def test_max_photos_exits_7_and_the_next_run_continues(world: World) -> None:
    fill(world.market.stores[101], returns=10)
    report = world.sync(max_photos=4)
    assert (report.exit_code, counts_of(report)["downloaded"], counts_of(report)["pending"]) == (7, 4, 6)
    assert world.log.count("photo") == 4
    assert world.sync(max_photos=6).exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right()


def test_a_dry_run_counts_and_changes_nothing(world: World) -> None:
    """It lists and counts the photos that a run would request, and changes no state."""
    store = world.market.stores[101]
    fill(store, returns=4, photos=2)
    report = world.sync(dry_run=True)
    assert (report.exit_code, report.stores[0].would_fetch, world.log.count("photo")) == (ExitCode.COMPLETE, 8, 0)
    assert world.photo_rows(101) == []
    assert not list(world.archive.rglob("photos"))
    assert not world.rows("SELECT * FROM meta WHERE key = 'watermark'")
    world.sync(max_photos=3)
    store.add_return(photos=1)
    before = [tuple(row) for row in world.photo_rows(101)]
    assert world.sync(dry_run=True).stores[0].would_fetch == 6
    assert [tuple(row) for row in world.photo_rows(101)] == before
    assert "6 photos would be fetched" in "\n".join(full_report(world.sync(dry_run=True)))


def test_a_dry_run_counts_what_full_and_fetch_would_request(world: World) -> None:
    """--full counts the photos that it requests again; fetch counts only its return."""
    store = world.market.stores[101]
    lost = fill(store, returns=2)[0]
    store.lose(lost)
    world.sync()
    world.server_wall.ahead = 31 * DAY_S
    assert world.sync(dry_run=True).stores[0].would_fetch == 0
    assert world.sync(full=True, dry_run=True).stores[0].would_fetch == 1
    back = store.add_return(photos=3)
    store.add_return(photos=4)
    plan = OneReturn(ReturnRef(back.order, back.id))
    assert world.run(plan, campaigns=(101,), dry_run=True).stores[0].would_fetch == 3


def test_a_gone_photo_is_remembered(world: World) -> None:
    """A 404 is recorded; only `--full` requests the photo again, after 30 days."""
    store = world.market.stores[101]
    lost, there = fill(store, returns=2)
    store.lose(lost)
    report = world.sync()
    assert (report.exit_code, world.states()) == (ExitCode.COMPLETE, {"gone": 1, "archived": 1})
    asked = []
    for days, full in ((0, False), (0, True), (29, True), (31, False), (31, True), (31, True)):
        world.log.clear()
        world.server_wall.ahead = days * DAY_S
        assert world.sync(full=full).exit_code is ExitCode.COMPLETE
        asked.append(world.log.count("photo"))
    assert asked == [0, 0, 0, 0, 1, 0]
    store.find(lost)
    world.server_wall.ahead = 70 * DAY_S
    world.sync(full=True)
    assert world.states() == {"archived": 2}
    assert there.image_hash not in {entry.image_hash for entry in world.log.of("photo")}


def test_a_404_of_a_proxy_does_not_prove_that_a_photo_is_gone(world: World, quick: None) -> None:
    """A 404 without the API's error body: gone only if another photo came; never where none did (a wrong URL)."""
    fill(world.market.stores[101], returns=3)
    world.sandbox.faults.add(actions.status(404, body=b"<html>no such page</html>"), kind="photo", times=3)
    report = world.sync()
    assert (report.exit_code, world.states()) == (ExitCode.FAILED, {"failed": 3})
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert world.states() == {"archived": 3}


def test_a_failed_photo_is_tried_next_run_and_given_up_after_ten(world: World, quick: None) -> None:
    """It has 4 attempts in each of 10 runs; then each run reports it, and `--full` tries it again."""
    bad, _ = fill(world.market.stores[101], returns=2)
    fault = world.sandbox.faults.add(actions.status(500), image_hash=bad.image_hash, times=None)
    asked = []
    for night in range(12):
        world.server_wall.ahead = night * DAY_S
        report = world.sync()
        assert (report.exit_code, counts_of(report)["failed"]) == (ExitCode.FAILED, 1)
        asked.append(fault.hits)
    assert asked == [4 * min(night, 10) for night in range(1, 13)]
    assert "given up after 10 runs" in "\n".join(full_report(report))
    world.sandbox.faults.clear()
    assert world.sync(full=True).exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right()


def test_a_key_without_stores_is_an_error(make_world: MakeWorld) -> None:
    world = make_world(stores=0)
    with pytest.raises(KeyRefused, match="sees no store"):
        world.run(nightly())


def test_a_changed_record_is_saved_again(world: World) -> None:
    """return.json follows the API's record, unknown fields kept, without fetching anything."""
    store = world.market.stores[101]
    back = store.add_return(photos=1, newField={"deep": [1, "ж"]})
    world.sync()
    (path,) = world.archive.rglob("return.json")
    assert '"deep"' in path.read_text()
    back.fields["refundStatus"] = "NEVER_HEARD_OF"
    world.log.clear()
    world.sync()
    assert "NEVER_HEARD_OF" in path.read_text()
    assert world.log.count("photo") == 0
