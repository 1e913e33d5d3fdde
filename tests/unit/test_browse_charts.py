"""Plots as numbers."""

import pytest

from market_photos.browse import charts


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 1), (1, 1), (4, 5), (7, 10), (10, 10), (11, 20), (249, 300), (5001, 10_000)]
)
def test_the_axis_ends_at_a_round_number(highest: int, top: int) -> None:
    assert charts.top([highest]) == top


def test_each_day_has_its_bar_inside_the_plot() -> None:
    """Days without photos too, and days beyond the plot have none."""
    bars = charts.days({100: 50, 98: 100, 50: 999}, today=100, length=30)
    assert len(bars) == 30
    assert (bars[-1].value, bars[-2].value, bars[-3].height) == (50, 0, charts.HEIGHT)
    assert all(0 <= bar.x <= charts.WIDTH and bar.y + bar.height == charts.HEIGHT for bar in bars)
    assert bars[-1].label == "1970-04-11"


def test_shares_are_of_the_largest() -> None:
    found = charts.shares({"A": 10, "B": 40, "C": 0})
    assert [(share.value, share.percent) for share in found] == [("B", 100.0), ("A", 25.0)]
    assert charts.shares({}) == []
