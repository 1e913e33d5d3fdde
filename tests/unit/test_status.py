"""What `status` says of a store."""

import pytest

from market_photos.archive.catalog.photos import State, Tally
from market_photos.reporting.awaiting import AwaitingSummary
from market_photos.reporting.status import StoreStatus


def status(pending: int, seconds_left: float) -> StoreStatus:
    tally = {state: Tally() for state in State} | {State.PENDING: Tally(pending)}
    return StoreStatus(
        101, "shop", tally, 0, AwaitingSummary(), None, 5000, 4000, seconds_left, None, None, None, None, 0.0
    )


@pytest.mark.parametrize(
    ("pending", "seconds_left", "ending"),
    [
        (0, 0.0, "left in this period"),
        (48, 0.0, "left in this period: enough for all that are pending"),
        (
            9000,
            3600.0,
            "left in this period; about 1 h 00 min for all that are pending, once a run starts",
        ),
    ],
)
def test_without_a_run_the_time_counts_from_its_start(pending: int, seconds_left: float, ending: str) -> None:
    line = next(line for line in status(pending, seconds_left).lines() if "quota" in line)
    assert line == f"  quota: 4,000 of 5,000 photo requests {ending}"
