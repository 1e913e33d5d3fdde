"""Doctor judges scopes, clocks and stores."""

from typing import Any

import pytest

from market_photos.clock import Moment, ServerTime
from market_photos.errors import ExitCode
from market_photos.market.records import Campaign
from market_photos.sync.doctor import check_clock, check_scopes, check_stores


@pytest.mark.parametrize(
    ("scopes", "code"),
    [
        (("INVENTORY_AND_ORDER_PROCESSING_READ_ONLY",), ExitCode.COMPLETE),
        (("inventory-and-order-processing:read-only",), ExitCode.COMPLETE),
        (("PRICING", "all-methods"), ExitCode.COMPLETE),
        (("PRICING",), ExitCode.KEY),
        ((), ExitCode.KEY),
    ],
)
def test_a_missing_scope_is_a_problem_with_a_next_step(scopes: tuple[str, ...], code: ExitCode) -> None:
    """Scopes have two spellings; a missing one has a next step."""
    finding = check_scopes("key", scopes)
    assert finding.code is code
    assert bool(finding.hint) is (code is not ExitCode.COMPLETE)


@pytest.mark.parametrize(
    ("wall", "words", "is_warning"),
    [
        (1000.0, "agrees", False),
        (940.0, "agrees", False),
        (1061.0, "agrees", False),
        (939.0, "1 min 01 s behind", True),
        (4602.0, "1 h 00 min ahead of", True),
        (1000 + 400 * 86_400.0, "ahead of", True),
    ],
)
def test_a_clock_that_is_off_by_more_than_a_minute_is_a_warning(wall: float, words: str, is_warning: bool) -> None:
    """It names direction, difference and remedy. It is not an error, as a sync uses the server's clock."""
    finding = check_clock(Moment(wall, server=ServerTime(1000, 1001)))
    assert (finding.code, words in finding.text, finding.is_warning) == (ExitCode.COMPLETE, True, is_warning)
    assert ("timedatectl set-ntp true" in finding.hint) is is_warning


def test_a_server_that_gives_no_date_is_a_warning() -> None:
    finding = check_clock(Moment(1000.0))
    assert (finding.is_warning, "no usable Date" in finding.text) == (True, True)


def store(number: int, **fields: Any) -> Campaign:
    return Campaign(id=number, **fields)


@pytest.mark.parametrize(
    ("stores", "ids", "is_whole", "codes"),
    [
        ([store(1), store(2, placementType="LAAS")], (), True, [ExitCode.COMPLETE, ExitCode.COMPLETE]),
        ([store(1), store(2, placementType="LAAS")], (2,), True, [ExitCode.KEY]),
        ([store(1, apiAvailability="DISABLED_BY_INACTIVITY")], (1,), True, [ExitCode.KEY]),
        ([store(1)], (1, 3), True, [ExitCode.COMPLETE, ExitCode.KEY]),
        ([store(1)], (1, 3), False, [ExitCode.COMPLETE]),
        ([], (), True, [ExitCode.KEY]),
    ],
)
def test_a_closed_store_is_a_problem_only_if_it_is_named(
    stores: list[Campaign], ids: tuple[int, ...], is_whole: bool, codes: list[ExitCode]
) -> None:
    """Stores on later pages are found too."""
    assert [finding.code for finding in check_stores(stores, ids, is_whole=is_whole)] == codes
