"""What doctor makes of scopes, clocks and stores; and which stores a run visits."""

from typing import Any

import pytest

from market_photos.errors import ExitCode
from market_photos.market.records import Store
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
def test_scopes(scopes: tuple[str, ...], code: ExitCode) -> None:
    """Either way of writing them; what is lacking has a next step."""
    finding = check_scopes("key", scopes)
    assert finding.code is code
    assert bool(finding.hint) is (code is not ExitCode.COMPLETE)


@pytest.mark.parametrize(
    ("skew", "word"), [(0, "agrees"), (60, "agrees"), (61, "61 s behind"), (-3600, "3600 s ahead of")]
)
def test_clock(skew: float, word: str) -> None:
    """The server's clock ahead means that ours is behind; it is allowed for, so no problem."""
    finding = check_clock(skew)
    assert (finding.code, word in finding.text) == (ExitCode.COMPLETE, True)


def store(number: int, **fields: Any) -> Store:
    return Store(id=number, **fields)


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
def test_stores(stores: list[Store], ids: tuple[int, ...], is_whole: bool, codes: list[ExitCode]) -> None:
    """A closed store is a problem only where somebody wants it by number; one on a later page is not missed."""
    assert [finding.code for finding in check_stores(stores, ids, is_whole=is_whole)] == codes
