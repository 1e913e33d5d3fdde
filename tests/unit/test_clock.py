"""Ages survive restarts and clocks that jump; the server's clock is known from its answers, whatever one says."""

import math
from datetime import UTC, date, datetime

import pytest

from market_photos.clock import (
    SLACK,
    Moment,
    ServerClock,
    ServerTime,
    SystemClock,
    age,
    iso,
    moscow_day,
    moscow_midnight,
    span,
)
from tests.unit.worlds import ToldClock

YEAR = 365 * 86_400.0


def at(server: float | None, boot: str = "a", uptime: float = 0.0, wall: float = 0.0) -> Moment:
    return Moment(wall, boot, uptime, None if server is None else ServerTime(server, server))


@pytest.mark.parametrize(
    ("then", "now", "seconds"),
    [
        (at(None, "a", 50, 1000), at(None, "a", 60, 1010), 10),
        (at(None, "a", 50, 1000), at(None, "a", 60, 9e9), 10),  # the wall clock was set
        (at(1000, "a", 50), at(1010, "a", 60), 10),
        (at(1000, "a", 50), at(1010 - SLACK, "a", 60), 10),  # a Date counts whole seconds
        (at(1000, "a", 50), at(1010, "a", 7000), 10),  # the same boot id, but an uptime that compares to nothing
        (at(1000, "a", 50), at(8000, "a", 60), 10),  # a machine that was paused
        (at(1000, "a", 50), at(1000 - YEAR, "a", 4000), -YEAR),
        (at(1000, "a", 50), at(1100, "b", 5), 100),  # another boot, or another machine
        (at(1000, "a", 50), at(900, "b", 5), -100),
        (at(1000, "a", 50, 0), at(None, "b", 5, 8000), None),  # our wall clock proves nothing
        (at(None, "a", 50, 0), at(1000, "b", 5, 8000), None),
        (at(None, "", 50), at(None, "", 60), None),
    ],
)
def test_an_age_is_the_time_since_a_moment_by_either_clock(then: Moment, now: Moment, seconds: float | None) -> None:
    assert span(then, now) == seconds
    assert age(then, now) == max(0, seconds or 0)


def test_the_system_clock_moves_forward() -> None:
    clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert 0 <= age(first, second) < 60


def test_iso_dates_are_written_in_utc() -> None:
    assert iso(0) == "1970-01-01T00:00:00Z"


def test_a_day_begins_at_21_00_utc_of_the_day_before_in_moscow() -> None:
    midnight = int(datetime(2026, 5, 27, 21, tzinfo=UTC).timestamp())
    assert moscow_midnight(date(2026, 5, 28)) == midnight
    days = (date(2026, 5, 28) - date(1970, 1, 1)).days
    assert [moscow_day(midnight - 1), moscow_day(midnight), moscow_day(midnight + 86_399)] == [days - 1, days, days]


class Answers:
    """A server whose true time is the uptime plus `SERVER`; each answer takes `latency` and is dated half-way."""

    SERVER = 1_795_000_000.25

    def __init__(self) -> None:
        self.machine = ToldClock(uptime=100.0)
        self.clock = ServerClock(self.machine)

    def answer(self, latency: float = 0.4, off: float = 0.0) -> None:
        sent = self.clock.now()
        self.machine.pass_time(latency / 2)
        date = math.floor(self.SERVER + self.machine.uptime + off)
        self.machine.pass_time(latency / 2)
        self.clock.observe_date(date, sent, self.clock.now())

    @property
    def error(self) -> float | None:
        """Return the distance of the true time from the believed range in seconds; None without a range."""
        now = self.clock.now()
        if now.server is None:
            return None
        truth = self.SERVER + now.uptime
        return max(0.0, now.server.earliest - truth, truth - now.server.latest)


def test_the_servers_time_is_between_the_bounds_whatever_the_latency_and_the_wall_clock() -> None:
    """Many answers narrow it down; setting the wall clock changes nothing."""
    answers = Answers()
    assert answers.error is None
    for number in range(50):
        answers.machine.jump(9 * 86_400 * (-1) ** number)
        answers.answer(latency=0.05 + number % 7)
        assert answers.error == 0
        answers.machine.pass_time(0.37)
    server = answers.clock.now().server
    assert server is not None
    assert server.latest - server.earliest < 1.1


@pytest.mark.parametrize("off", [-YEAR, -60.0, 60.0, YEAR])
@pytest.mark.parametrize("odd", [0, 1, 2, 5])
def test_one_odd_date_is_not_believed(off: float, odd: int) -> None:
    """While two answers contradict each other, the time is unknown; the next answer decides."""
    answers = Answers()
    for number in range(7):
        answers.answer(off=off if number == odd else 0)
        if number != odd or number > 1:
            assert answers.error in ({None} if number == 1 and odd <= 1 else {0})
    assert answers.error == 0


def test_a_server_whose_clock_is_set_is_believed_after_three_answers() -> None:
    answers = Answers()
    for _ in range(100):
        answers.answer()
    answers.SERVER += 3600
    for _ in range(3):
        answers.answer()
    assert answers.error == 0


def test_clocks_that_drift_apart_stay_in_step() -> None:
    """500 ppm over three days, an answer a minute."""
    answers = Answers()
    for _ in range(3 * 1440):
        answers.answer()
        answers.machine.pass_time(60)
        answers.SERVER += 0.03
        assert answers.error is not None
        assert answers.error < 2


@pytest.mark.parametrize("date", [0.0, 1e9, 253_402_300_799.0, -62_135_596_800.0])
def test_an_impossible_date_is_ignored(date: float) -> None:
    answers = Answers()
    answers.clock.observe_date(date, answers.clock.now(), answers.clock.now())
    assert answers.error is None
