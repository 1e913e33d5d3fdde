"""Sizes, durations and foreign strings as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_photos.text import human_bytes, human_time, without_controls


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 KB"), (2.5e9, "2.5 GB"), (3e15, "3000.0 TB")]
)
def test_a_size_is_shown_in_decimal_units(size: float, text: str) -> None:
    assert human_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.23, "1.2 s"), (59, "59 s"), (61, "1 min 01 s"), (7260, "2 h 01 min"), (200_000, "2 days 7 h")],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert human_time(seconds) == text


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a\x00b\x1b[31m", "ab[31m"), ("\ud800x", r"\ud800x"), ("a\r\nb\tc", "a\nb\tc")],
)
def test_control_characters_and_lone_surrogates_are_not_shown(value: str, shown: str) -> None:
    assert without_controls(value) == shown


@given(st.text(st.characters()))
def test_every_string_can_be_written_as_utf_8(value: str) -> None:
    without_controls(value).encode()
