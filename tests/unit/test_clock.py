"""Ages survive restarts and a wall clock that jumps."""

from datetime import UTC, date, datetime

import pytest

from market_photos.clock import Moment, SystemClock, age, iso, moscow_day, moscow_midnight


@pytest.mark.parametrize(
    ("then", "now", "seconds"),
    [
        (Moment(1000, "a", 50), Moment(1010, "a", 60), 10),
        (Moment(1000, "a", 50), Moment(4610, "a", 60), 10),  # the wall clock was set an hour forward
        (Moment(1000, "a", 50), Moment(-2590, "a", 60), 10),  # and an hour back
        (Moment(1000, "a", 50), Moment(1100, "b", 5), 100),  # another boot, or another machine
        (Moment(1000, "a", 50), Moment(900, "b", 5), 0),  # a moment in the future is now
        (Moment(1000), Moment(1003), 3),  # no boot id on this system
    ],
)
def test_age(then: Moment, now: Moment, seconds: float) -> None:
    assert age(then, now) == seconds


def test_the_system_clock_moves_forward() -> None:
    clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert 0 <= age(first, second) < 60


def test_iso_is_utc() -> None:
    assert iso(0) == "1970-01-01T00:00:00Z"


def test_a_day_begins_at_21_00_utc_of_the_day_before_in_moscow() -> None:
    midnight = int(datetime(2026, 5, 27, 21, tzinfo=UTC).timestamp())
    assert moscow_midnight(date(2026, 5, 28)) == midnight
    days = (date(2026, 5, 28) - date(1970, 1, 1)).days
    assert [moscow_day(midnight - 1), moscow_day(midnight), moscow_day(midnight + 86_399)] == [days - 1, days, days]
