"""The server's limits, by hand-made clock readings."""

from email.utils import parsedate_to_datetime

import pytest

from market_photos.sandbox.limits import LIMIT, REMAINING, UNTIL, Ledger, Limits, Quota, Visit

NOON = 1_800_000_000.0  # a whole hour since 1970
KINDS = {"photo": 5_000, "returns": 5_000, "return": 7_000, "campaigns": 1_000, "token": 100}


def visit(wall: float = NOON, kind: str = "photo", campaign: int | None = 101) -> Visit:
    return Visit(kind, campaign, wall)


def spend(ledger: Ledger, visit: Visit, status: int = 200) -> str:
    """One whole request: in, answered, out."""
    refusal = ledger.enter(visit)
    if not refusal:
        ledger.settle(visit, status)
        ledger.leave(visit)
    return refusal


@pytest.mark.parametrize(("kind", "amount"), KINDS.items())
def test_quotas_are_the_documented_ones(kind: str, amount: int) -> None:
    assert Limits().quota(kind) == Quota(amount, 3600)


def test_one_store_serves_four_requests_at_once() -> None:
    ledger = Ledger(Limits())
    assert [ledger.enter(visit()) for _ in range(4)] == [""] * 4
    assert ledger.enter(visit()) == "Hit rate limit of 4 parallel requests for campaignId 101"
    assert ledger.enter(visit(campaign=102)) == ""
    ledger.leave(visit())
    assert ledger.enter(visit()) == ""


def test_the_kinds_of_one_store_share_its_slots() -> None:
    ledger = Ledger(Limits(parallel=2))
    assert [ledger.enter(visit(kind=kind)) for kind in ("photo", "returns")] == ["", ""]
    assert "parallel" in ledger.enter(visit(kind="return"))


def test_the_cabinet_has_no_slots() -> None:
    ledger = Ledger(Limits(parallel=1))
    assert [ledger.enter(visit(kind="campaigns", campaign=None)) for _ in range(9)] == [""] * 9


def test_a_spent_quota_refuses_until_the_next_window_of_the_clock() -> None:
    """The window is the clock's hour, whenever the first request came."""
    ledger = Ledger(Limits(photos=Quota(2)))
    late = NOON + 3_599
    assert [spend(ledger, visit(late)) for _ in range(2)] == ["", ""]
    assert spend(ledger, visit(late)) == "Hit rate limit of 2 requests per 1 hour for resource photo for 101"
    assert spend(ledger, visit(NOON + 3_600)) == ""


def test_each_method_and_store_has_a_quota_of_its_own() -> None:
    ledger = Ledger(Limits(photos=Quota(1), returns=Quota(1)))
    for one in (visit(), visit(kind="returns"), visit(campaign=102)):
        assert spend(ledger, one) == ""
        assert "Hit rate limit of 1 requests" in spend(ledger, one)


@pytest.mark.parametrize(("status", "spent"), [(200, 1), (302, 1), (400, 1), (404, 1), (420, 0), (500, 0), (503, 0)])
def test_refusals_and_5xx_spend_no_quota(status: int, spent: int) -> None:
    ledger = Ledger(Limits())
    spend(ledger, visit(), status)
    assert ledger.spent(visit()) == spent


def test_5xx_spend_when_asked_to() -> None:
    ledger = Ledger(Limits(spend_on_5xx=True))
    spend(ledger, visit(), 500)
    assert ledger.spent(visit()) == 1


def test_the_headers_tell_the_quota() -> None:
    ledger = Ledger(Limits(photos=Quota(10)))
    spend(ledger, visit(NOON + 60))
    headers = ledger.headers(visit(NOON + 60))
    assert (headers[LIMIT], headers[REMAINING]) == ("10", "9")
    assert headers[UNTIL].endswith(" GMT")
    assert parsedate_to_datetime(headers[UNTIL]).timestamp() == NOON + 3_600


@pytest.mark.parametrize(("period", "wall", "until"), [(0.25, 0.1, 1), (0.25, 0.8, 1), (1.5, 1.6, 3), (2.5, 0.0, 3)])
def test_until_is_never_before_the_window_ends(period: float, wall: float, until: int) -> None:
    assert parsedate_to_datetime(Quota(1, period).until(NOON + wall)).timestamp() == NOON + until
