"""Which dates are listed: nothing between two windows, a day more than needed at both ends."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_photos.sync.date_ranges import DAY, DateRange, day_of, fresh, months

JAN = dt.date(2026, 1, 1)
MIDNIGHT = dt.datetime(2026, 3, 10, tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize(
    ("span", "asked"),
    [
        (DateRange(None, None), (None, None)),
        (DateRange(JAN, None), ("2025-12-31", None)),
        (DateRange(JAN, JAN), ("2025-12-31", "2026-01-02")),
        (DateRange(None, JAN), (None, "2026-01-02")),
    ],
)
def test_a_span_is_listed_with_a_day_of_padding(span: DateRange, asked: tuple[str | None, str | None]) -> None:
    assert span.padded() == asked


@pytest.mark.parametrize(
    ("watermark", "overlap", "first_from", "first"),
    [
        (None, 7, None, None),
        (None, 7, JAN, JAN),
        (MIDNIGHT, 7, JAN, dt.date(2026, 3, 3)),
        (MIDNIGHT - 1, 7, None, dt.date(2026, 3, 2)),
        (MIDNIGHT, 0, None, dt.date(2026, 3, 10)),
        (0.0, 3650, None, dt.date(1960, 1, 4)),
    ],
)
def test_the_fresh_span_reaches_back_by_the_overlap(
    watermark: float | None, overlap: int, first_from: dt.date | None, first: dt.date | None
) -> None:
    assert fresh(watermark, overlap, first_from) == DateRange(first, None)


@given(st.dates(dt.date(1990, 1, 1), dt.date(2090, 1, 1)), st.integers(0, 3000))
def test_windows_cover_every_day_once(first: dt.date, days: int) -> None:
    """Newest first, none longer than its month."""
    last = first + days * DAY
    windows = months(first, last)
    covered = [
        w.first + n * DAY for w in windows[::-1] if w.first and w.last for n in range((w.last - w.first).days + 1)
    ]
    assert covered == [first + n * DAY for n in range(days + 1)]
    assert all(w.first and w.last and w.first.month == w.last.month for w in windows)


def test_the_day_of_a_moment_is_the_one_in_moscow() -> None:
    assert (day_of(MIDNIGHT), day_of(MIDNIGHT - 1)) == (dt.date(2026, 3, 10), dt.date(2026, 3, 9))


@pytest.mark.parametrize(
    ("span", "text"), [(DateRange(None, None), "the beginning to now"), (DateRange(JAN, JAN), f"{JAN} to {JAN}")]
)
def test_a_span_is_shown_as_its_two_dates(span: DateRange, text: str) -> None:
    assert str(span) == text
