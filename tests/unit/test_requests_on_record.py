"""The quota outlives the process: a request is on record before it is sent and as long as it counts."""

import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.requests import KEEP_REQUESTS, PastRequest
from market_photos.archive.place import TAKEN_OVER
from market_photos.clock import Moment, ServerTime, age
from market_photos.errors import CatalogUnusable, ExitCode
from market_photos.market.requests import quotas
from market_photos.settings import Limits
from market_photos.sync.ledger import log as ledger_log
from market_photos.sync.ledger import spend_quota
from tests.unit.worlds import CAMPAIGN, ToldClock, a_return

SERVER = 1_795_000_000.0
HOUR = 3600


def test_a_request_is_on_record_at_once(tmp_path: Path) -> None:
    """Another process sees it, with its moment and photo; the answer comes with the next transaction, or a flush."""
    clock = ToldClock(wall=5, boot="b", uptime=50.25, server=1000.5)
    with (
        Catalog(tmp_path, CAMPAIGN, clock) as run,
        Catalog(tmp_path, CAMPAIGN, clock, read_only=True) as reader,
    ):
        first, second = run.requests.sent("photo", 5), run.requests.sent("returns", None)
        assert first != second
        sent = Moment(0, "b", 50.25, ServerTime(1000.5, 1000.5))
        assert reader.requests.past_requests() == [
            PastRequest("photo", sent, None),
            PastRequest("returns", sent, None),
        ]
        clock.pass_time(2)
        run.requests.answered(second, clock.now())
        assert reader.requests.past_requests()[1].answered is None
        run.requests.flush()
        answered = Moment(0, "b", 52.25, ServerTime(1002.5, 1002.5))
        assert reader.requests.past_requests()[1].answered == answered
        run.requests.answered(first, clock.now())
        run.returns.record_page([a_return(1)])
        assert reader.requests.past_requests()[0].answered == answered


def test_an_answer_survives_a_transaction_that_fails(tmp_path: Path) -> None:
    """The next transaction that succeeds writes it."""
    clock = ToldClock()
    with Catalog(tmp_path, CAMPAIGN, clock, busy_seconds=0.01) as catalog:
        request = catalog.requests.sent("photo", 1)
        other = sqlite3.connect(catalog.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        catalog.requests.answered(request, clock.now())
        with pytest.raises(CatalogUnusable):
            catalog.requests.flush()
        other.execute("ROLLBACK")
        other.execute("ALTER TABLE requests RENAME COLUMN answered TO elsewhere")
        with pytest.raises(CatalogUnusable):
            catalog.requests.flush()
        other.execute("ALTER TABLE requests RENAME COLUMN elsewhere TO answered")
        other.close()
        catalog.requests.flush()
        assert catalog.requests.past_requests()[0].answered == Moment(0, clock.boot, clock.uptime)


def nothing(clock: ToldClock) -> None:
    """Leave the clock alone."""


def set_forward(clock: ToldClock) -> None:
    clock.jump(7200)


def set_back(clock: ToldClock) -> None:
    clock.jump(-7200)


def set_forward_over_a_boot(clock: ToldClock) -> None:
    clock.jump(9 * 86_400)
    clock.reboot()


def not_told_after_a_boot(clock: ToldClock) -> None:
    clock.reboot()
    clock.server = None


def moved_under_the_same_boot_id(clock: ToldClock) -> None:
    clock.uptime += 7200


Step = Callable[[ToldClock], None]


@pytest.mark.parametrize(
    ("passed", "then", "period", "kept"),
    [
        (0, nothing, 3600, True),
        (3599, nothing, 3600, True),
        (3601, nothing, 3600, False),
        (3599, nothing, 1, True),  # a short period: they still tell which parts are left
        (3601, nothing, 7200, True),
        (10, set_forward, 3600, True),  # the wall clock was set forward: the quota is not given back
        (10, set_back, 3600, True),
        (3601, set_back, 3600, False),  # and set back: it is not kept for ever
        (10, ToldClock.reboot, 3600, True),
        (3601, ToldClock.reboot, 3600, False),
        (10, set_forward_over_a_boot, 3600, True),
        (9 * 86_400, not_told_after_a_boot, 3600, True),
        (10, moved_under_the_same_boot_id, 3600, True),
        (3601, moved_under_the_same_boot_id, 3600, False),
    ],
)
def test_a_past_request_counts_by_its_true_age(
    tmp_path: Path, passed: float, then: Step, period: float, kept: bool
) -> None:
    """Uptime and the server's time together give the true age, even if the clock is set."""
    clock = ToldClock(server=SERVER)
    with Catalog(tmp_path, CAMPAIGN, clock) as catalog:
        catalog.requests.sent("photo", 1)
        clock.pass_time(passed)
        then(clock)
        catalog.requests.forget_requests(period)
        assert bool(catalog.requests.past_requests()) is kept


def lost_over_a_boot(clock: ToldClock) -> None:
    clock.reboot()
    clock.server = None


def from_the_future(clock: ToldClock) -> None:
    clock.reboot()
    clock.server = SERVER - 400 * 86_400


def uptime_from_the_future(clock: ToldClock) -> None:
    clock.uptime = 3


@pytest.mark.parametrize("happens", [lost_over_a_boot, from_the_future, uptime_from_the_future])
def test_a_request_without_an_age_counts_for_one_period_from_when_it_is_first_seen(
    tmp_path: Path, happens: Step
) -> None:
    """Later runs do not count it for another period; requests of known age stay as they are."""
    clock = ToldClock(server=SERVER)
    with Catalog(tmp_path, CAMPAIGN, clock) as catalog:
        sent = catalog.requests.sent("photo", 1)
        clock.pass_time(10)
        catalog.requests.answered(sent, clock.now())
        catalog.requests.settle_ages()

        def ages() -> list[float]:
            return [age(one.answered or one.sent, clock.now()) for one in catalog.requests.past_requests()]

        clock.pass_time(20)
        assert ages() == [20]
        happens(clock)
        catalog.requests.settle_ages()
        assert ages() == [0]
        clock.pass_time(HOUR)
        catalog.requests.settle_ages()
        assert ages() == [HOUR]


def test_the_period_begins_with_the_answer(tmp_path: Path) -> None:
    """A request sent long ago and answered late still counts."""
    clock = ToldClock()
    with Catalog(tmp_path, CAMPAIGN, clock) as catalog:
        request = catalog.requests.sent("photo", 1)
        clock.pass_time(KEEP_REQUESTS)
        catalog.requests.answered(request, clock.now())
        catalog.requests.flush()
        clock.pass_time(KEEP_REQUESTS - 1)
        catalog.requests.forget_requests(3600)
        assert len(catalog.requests.past_requests()) == 1


def test_each_run_is_recorded_with_its_outcome(tmp_path: Path) -> None:
    clock = ToldClock(wall=1000)
    with Catalog(tmp_path, CAMPAIGN, clock) as catalog:
        first, second = catalog.runs.begin("sync"), catalog.runs.begin("backfill")
        clock.pass_time(60)
        catalog.runs.end(first, ExitCode.FAILED, {"error": "ж \udcff"})
        connection = sqlite3.connect(catalog.path)
        rows = connection.execute("SELECT * FROM runs ORDER BY id").fetchall()
        connection.close()
    assert rows[0][:5] == (first, "sync", 1000, 1060, 3)
    assert json.loads(rows[0][5]) == {"error": "ж \udcff"}
    assert rows[1] == (second, "backfill", 1000, None, None, None)


@pytest.mark.parametrize(
    ("stamp", "level", "words"),
    [
        (f"{TAKEN_OVER}0123456789abcdef", logging.INFO, "taken over from a run that did not end in order"),
        ("0123456789abcdef", logging.WARNING, "put back from a backup"),
        ("", logging.WARNING, "put back from a backup"),
    ],
)
def test_the_whole_quota_counts_as_spent_and_only_a_catalogue_that_is_not_the_last_one_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, stamp: str, level: int, words: str
) -> None:
    limits = Limits(photo_requests=20, return_requests=10)
    with caplog.at_level(logging.INFO), Catalog(tmp_path, CAMPAIGN, ToldClock()) as catalog:
        spend_quota(catalog, limits, stamp)
        spent = Counter(request.method for request in catalog.requests.past_requests())
    assert spent == quotas(20, 10)
    [told] = [record for record in caplog.records if record.name == ledger_log.name]
    assert (told.levelno, words in told.getMessage()) == (level, True)
