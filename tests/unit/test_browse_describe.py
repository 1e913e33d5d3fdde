"""A record in words, whatever its shape."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_photos.browse.describe import date_text, describe, moment_text, text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["items", "decisions", "images", "comment", "shopSku", "amount", "value", "creationDate"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_shape_of_a_record_is_an_error(record: Any) -> None:
    """And all that is told can be written as UTF-8."""
    for value in describe(record).each("comment") + describe(record).each("sku"):
        value.encode()


def test_a_return_is_told() -> None:
    told = describe(
        {
            "creationDate": "2026-09-20T23:05:00.1+03:00",
            "refundStatus": "REFUNDED",
            "amount": {"value": 1200, "currencyId": "RUR"},
            "items": [
                {"shopSku": "a", "decisions": [{"comment": " скол ", "returnItemId": 7, "reasonType": "NEW_REASON"}]},
                {"shopSku": "b", "decisions": None},
            ],
        }
    )
    assert (told.created, told.refund, told.amount) == ("2026-09-20 23:05", "REFUNDED", "1200 ₽")
    assert (told.each("sku"), told.each("comment"), told.each("reason")) == (["a", "b"], ["скол"], ["NEW_REASON"])
    assert told.decisions[0].item == 7


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (5, "5"),
        ({"a": 1}, ""),
        ("a\x00b\x1b[31m", "ab[31m"),
        ("\ud800x", "?x"),
        ("a\r\nb\tc", "a\nb\tc"),
    ],
)
def test_text_is_text(value: Any, shown: str) -> None:
    assert text(value) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("2026-09-20T20:05:00Z", "2026-09-20 23:05"),
        ("2026-09-20", "2026-09-20 00:00"),
        ("yesterday", "yesterday"),
        (None, ""),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_dates_are_moscow_time_or_left_as_they_are(raw: Any, shown: str) -> None:
    assert date_text(raw) == shown


def test_a_moment_that_no_calendar_has_is_empty() -> None:
    assert (moment_text(None), moment_text(1e18), moment_text(0)) == ("", "", "1970-01-01 03:00")
