"""The server's limits, by hand-made clock readings."""

from email.utils import parsedate_to_datetime

import pytest

from market_photos.sandbox.limits import LIMIT, REMAINING, UNTIL, Arrival, FixedWindow, ServerLimits, Usage

NOON = 1_800_000_000.0  # a whole hour since 1970
KINDS = {"photo": 5_000, "returns": 5_000, "return": 7_000, "campaigns": 1_000, "token": 100}


def arrival(wall: float = NOON, kind: str = "photo", campaign: int | None = 101) -> Arrival:
    return Arrival(kind, campaign, wall)


def spend(usage: Usage, arrival: Arrival, status: int = 200) -> str:
    """One whole request: in, answered, out."""
    refusal = usage.enter(arrival)
    if not refusal:
        usage.settle(arrival, status)
        usage.leave(arrival)
    return refusal


@pytest.mark.parametrize(("kind", "amount"), KINDS.items())
def test_quotas_are_the_documented_ones(kind: str, amount: int) -> None:
    assert ServerLimits().quota(kind) == FixedWindow(amount, 3600)


def test_one_store_serves_four_requests_at_once() -> None:
    usage = Usage(ServerLimits())
    assert [usage.enter(arrival()) for _ in range(4)] == [""] * 4
    assert usage.enter(arrival()) == "Hit rate limit of 4 parallel requests for campaignId 101"
    assert usage.enter(arrival(campaign=102)) == ""
    usage.leave(arrival())
    assert usage.enter(arrival()) == ""


def test_the_kinds_of_one_store_share_its_slots() -> None:
    usage = Usage(ServerLimits(parallel=2))
    assert [usage.enter(arrival(kind=kind)) for kind in ("photo", "returns")] == ["", ""]
    assert "parallel" in usage.enter(arrival(kind="return"))


def test_the_cabinet_has_no_slots() -> None:
    usage = Usage(ServerLimits(parallel=1))
    assert [usage.enter(arrival(kind="campaigns", campaign=None)) for _ in range(9)] == [""] * 9


def test_a_spent_quota_refuses_until_the_next_window_of_the_clock() -> None:
    """The window is the clock's hour, whenever the first request came."""
    usage = Usage(ServerLimits(photos=FixedWindow(2)))
    late = NOON + 3_599
    assert [spend(usage, arrival(late)) for _ in range(2)] == ["", ""]
    assert spend(usage, arrival(late)) == "Hit rate limit of 2 requests per 1 hour for resource photo for 101"
    assert spend(usage, arrival(NOON + 3_600)) == ""


def test_each_method_and_store_has_a_quota_of_its_own() -> None:
    usage = Usage(ServerLimits(photos=FixedWindow(1), returns=FixedWindow(1)))
    for one in (arrival(), arrival(kind="returns"), arrival(campaign=102)):
        assert spend(usage, one) == ""
        assert "Hit rate limit of 1 requests" in spend(usage, one)


@pytest.mark.parametrize(("status", "spent"), [(200, 1), (302, 1), (400, 1), (404, 1), (420, 0), (500, 0), (503, 0)])
def test_refusals_and_5xx_spend_no_quota(status: int, spent: int) -> None:
    usage = Usage(ServerLimits())
    spend(usage, arrival(), status)
    assert usage.spent(arrival()) == spent


def test_5xx_spend_when_asked_to() -> None:
    usage = Usage(ServerLimits(spend_on_5xx=True))
    spend(usage, arrival(), 500)
    assert usage.spent(arrival()) == 1


def test_the_headers_tell_the_quota() -> None:
    usage = Usage(ServerLimits(photos=FixedWindow(10)))
    spend(usage, arrival(NOON + 60))
    headers = usage.headers(arrival(NOON + 60))
    assert (headers[LIMIT], headers[REMAINING]) == ("10", "9")
    assert headers[UNTIL].endswith(" GMT")
    assert parsedate_to_datetime(headers[UNTIL]).timestamp() == NOON + 3_600


@pytest.mark.parametrize(("period", "wall", "until"), [(0.25, 0.1, 1), (0.25, 0.8, 1), (1.5, 1.6, 3), (2.5, 0.0, 3)])
def test_until_is_never_before_the_window_ends(period: float, wall: float, until: int) -> None:
    assert parsedate_to_datetime(FixedWindow(1, period).until(NOON + wall)).timestamp() == NOON + until
