"""What a person sees: two phases, the pace, and why it waits."""

import pytest

from market_photos.cli.run import is_live
from market_photos.reporting.progress import StoreProgress
from market_photos.reporting.status import seconds_at_quota
from market_photos.settings import Limits
from market_photos.sync.progress import seconds_left


@pytest.mark.parametrize(
    ("environ", "terminal", "live"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"CI": "1"}, True, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_the_live_view_needs_a_capable_terminal(environ: dict[str, str], terminal: bool, live: bool) -> None:
    assert is_live(environ, is_terminal=terminal) is live


@pytest.mark.parametrize(
    ("pending", "quota_left", "per_hour", "left"),
    [
        (100, 5000, 0, None),
        (15_000, 5000, 0, 7200),
        (15_000, 5000, 5000, 10_800),
        (100, 5000, 1000, 360),
        (15_000, 5000, 10**6, 7200),
    ],
)
def test_the_time_left_follows_the_slower_of_quota_and_pace(
    pending: int, quota_left: int, per_hour: float, left: float | None
) -> None:
    """The time is unknown while the pace and the quota are."""
    assert seconds_left(seconds_at_quota(pending, quota_left, Limits()), pending, per_hour) == left


def view(listing: str = "", waiting: str = "", pending: int = 0) -> StoreProgress:
    return StoreProgress("101 shop", listing, 3, 250, 1200, 5 * 10**6, pending, 4800.0, 0.25, 7200.0, waiting)


def test_progress_lines_show_counts_pace_and_the_reason_for_a_wait() -> None:
    assert view().lines() == [
        "101 shop: listed: 3 pages, 250 returns",
        "  fetching: 1,200 photos, 5.0 MB, 4,800/h, quota 25% used; 0 to go",
    ]
    lines = view("2026-01-01 to now", "the hour's quota is used up, until 12:00:00", 9000).lines()
    assert lines[0].startswith("101 shop: listing 2026-01-01 to now: 3 pages")
    assert lines[1].endswith("9,000 to go, 2 h 00 min left at the quota")
    assert lines[2] == "  waiting: the hour's quota is used up, until 12:00:00"
