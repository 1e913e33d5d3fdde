"""Headers and quota-420s of the server only tighten the limits."""

import math
from random import Random
from typing import Any

import pytest

from market_photos.market.server_quota import DATE_STEP, OVERTIME, ServerQuota, Token

NOW = 1000.0
HOUR = 3600.0


def gate_with(sent: int, *, reserve: int = 0, in_flight: tuple[int, ...] = ()) -> tuple[ServerQuota, list[Token]]:
    """Return a gate that has passed `sent` requests; `in_flight` holds the numbers of those without an answer."""
    gate = ServerQuota(HOUR, reserve=reserve, rng=Random(1))
    tokens = [Token() for _ in range(sent)]
    for token in tokens:
        gate.send(token)
    for token in tokens:
        if token.seq not in in_flight:
            gate.forget_in_flight(token)
    return gate, tokens


@pytest.mark.parametrize(
    ("sent", "in_flight", "answer", "remaining", "allowance"),
    [
        (1, (), 1, 10, 10),
        (1, (), 1, 0, 0),
        (1, (), 1, -5, 0),  # a negative number counts as 0
        (3, (), 3, 10, 10),
        (3, (2, 3), 1, 10, 8),  # two more are in flight
        (3, (1, 2), 3, 10, 8),  # those sent before may not have been counted yet
        (4, (1, 4), 2, 10, 8),
        (2, (2,), 1, 1, 0),
        (2, (2,), 1, 0, 0),
    ],
)
def test_requests_in_flight_may_reduce_what_remains(
    sent: int, in_flight: tuple[int, ...], answer: int, remaining: int, allowance: int
) -> None:
    gate, tokens = gate_with(sent, in_flight=in_flight)
    gate.observe_headers(tokens[answer - 1], remaining, 60, NOW)
    assert gate.allowance(NOW) == allowance
    assert gate.is_open(NOW) == (allowance > 0)


@pytest.mark.parametrize(
    ("orders", "left"),
    [
        # (request, its Remaining) in the order of the answers; the server counted them as their Remaining falls
        ([(1, 4), (2, 3), (3, 2)], 2),
        ([(3, 2), (2, 3), (1, 4)], 2),
        ([(2, 4), (1, 3), (3, 2)], 2),
        ([(3, 4), (1, 2), (2, 3)], 2),
    ],
)
def test_answers_in_any_order_never_raise_what_remains(orders: list[tuple[int, int]], left: int) -> None:
    gate, tokens = gate_with(3, in_flight=(1, 2, 3))
    for number, remaining in orders:
        gate.observe_headers(tokens[number - 1], remaining, 60, NOW)
        assert gate.allowance(NOW) <= left
    assert gate.allowance(NOW) == left


@pytest.mark.parametrize("reading", [(None, None), (None, 60.0), (5, None)])
def test_an_answer_that_says_nothing_may_have_been_counted_last(reading: tuple[int | None, float | None]) -> None:
    gate, (told, silent) = gate_with(2, in_flight=(1, 2))
    gate.observe_headers(told, 3, 60, NOW)
    gate.observe_headers(silent, *reading, NOW)
    gate.forget_in_flight(silent)  # once is enough
    assert gate.allowance(NOW) == 2


@pytest.mark.parametrize(
    ("remaining", "until_in"),
    [(0, None), (0, 0.0), (0, -5.0), (0, math.nan), (None, 60.0), (None, None), (5, None)],
)
def test_headers_that_say_nothing_of_use_change_nothing(remaining: int | None, until_in: float | None) -> None:
    gate, (token,) = gate_with(1)
    gate.observe_headers(token, remaining, until_in, NOW)
    assert gate.is_open(NOW)
    assert gate.allowance(NOW) == math.inf


def test_every_request_sent_comes_off_what_remained() -> None:
    gate, (token,) = gate_with(1)
    gate.observe_headers(token, 2, 60, NOW)
    gate.send(Token())
    assert gate.is_open(NOW + 1)
    gate.send(Token())
    assert not gate.is_open(NOW + 2)
    assert gate.reason(NOW + 2) == "remaining"
    assert gate.until(NOW + 2) == NOW + 60 + DATE_STEP


def test_a_window_that_ended_is_forgotten() -> None:
    gate, (token,) = gate_with(1)
    gate.observe_headers(token, 0, 60, NOW)
    assert not gate.is_open(NOW + 60)
    assert gate.is_open(NOW + 61)
    for _ in range(5):
        gate.send(Token())
    assert gate.is_open(NOW + 61)


def test_a_reserve_is_left_to_others() -> None:
    gate, (token,) = gate_with(1, reserve=100)
    gate.observe_headers(token, 101, 60, NOW)
    assert gate.allowance(NOW) == 1
    gate.send(Token())
    assert not gate.is_open(NOW)


@pytest.mark.parametrize(
    ("readings", "allowance"),
    [
        ([(10, 60.0), (20, 60.0)], 10),  # the same window only tightens
        ([(10, 60.0), (20, 61.5)], 10),  # its end is cut to seconds, and answers take their time
        ([(10, 60.0), (20, 58.0)], 10),
        ([(10, 60.0), (5, 60.0)], 5),
        ([(10, 60.0), (20, 600.0)], 20),  # a new window
        ([(10, 600.0), (2, 60.0)], 10),  # an answer of the window before
        ([(10, 60.0), (20, None)], 10),
        ([(10, 1e9)], 10),
    ],
)
def test_readings_of_one_window_only_tighten(readings: list[tuple[int, float | None]], allowance: int) -> None:
    gate, (token,) = gate_with(1)
    for remaining, until_in in readings:
        gate.observe_headers(token, remaining, until_in, NOW)
    assert gate.allowance(NOW) == allowance


@pytest.mark.parametrize(
    ("until_in", "closed_for"),
    [(60.0, 60 + DATE_STEP), (3600.0, HOUR + DATE_STEP), (3e7, HOUR + OVERTIME), (math.inf, HOUR + OVERTIME)],
)
def test_a_quota_420_closes_until_its_date_within_a_bound(until_in: float, closed_for: float) -> None:
    gate, (token,) = gate_with(1)
    gate.quota_refused(token, until_in, NOW)
    assert gate.until(NOW) - NOW == closed_for
    assert gate.reason(NOW) == "refused"
    assert not gate.is_open(math.nextafter(gate.until(NOW), 0))
    assert gate.is_open(gate.until(NOW))


@pytest.mark.parametrize("until_in", [None, 0.0, -60.0, math.nan])
def test_a_quota_420_without_a_usable_end_closes_for_a_growing_pause(until_in: float | None) -> None:
    gate, _ = gate_with(0)
    now = NOW
    for ceiling in [1, 2, 4, 8, 16, 32, 60, 60, *[60] * 2000]:
        token = Token()
        gate.send(token)
        gate.quota_refused(token, until_in, now)
        assert ceiling / 2 <= gate.until(now) - now <= ceiling
        now = gate.until(now)


def test_a_pause_is_no_longer_than_a_short_period() -> None:
    gate = ServerQuota(2.0, rng=Random(1))
    for _ in range(10):
        token = Token()
        gate.send(token)
        gate.quota_refused(token, None, NOW)
    assert gate.until(NOW) - NOW <= 2


def test_refusals_of_one_wave_double_the_pause_once() -> None:
    gate, tokens = gate_with(4)
    for token in tokens:
        gate.quota_refused(token, None, NOW)
    assert gate.until(NOW) - NOW <= 1


def test_an_answer_to_a_request_sent_after_the_refusal_ends_the_doubling() -> None:
    gate, (early, refused) = gate_with(2)
    gate.quota_refused(refused, None, NOW)
    gate.observe_headers(early, None, None, NOW)  # sent before: says nothing of now
    again, good, last = Token(), Token(), Token()
    gate.send(again)
    gate.quota_refused(again, None, NOW + 100)
    assert gate.until(NOW + 100) - (NOW + 100) >= 1
    gate.send(good)
    gate.observe_headers(good, None, None, NOW + 200)
    gate.send(last)
    gate.quota_refused(last, None, NOW + 300)
    assert gate.until(NOW + 300) - (NOW + 300) <= 1


def test_a_window_that_ended_says_nothing_of_the_next_however_short_that_is() -> None:
    gate, (token,) = gate_with(1)
    gate.observe_headers(token, 0, 60, NOW)
    gate.observe_headers(token, 7, 1, NOW + 61)
    assert gate.allowance(NOW + 61) == 7


@pytest.mark.parametrize(
    "later",
    [
        lambda gate, token: gate.observe_headers(token, 5000, 3000.0, NOW + 1),
        lambda gate, token: gate.quota_refused(token, 5.0, NOW + 1),
        lambda gate, token: gate.quota_refused(token, None, NOW + 1),
    ],
)
def test_a_closed_gate_does_not_open_early(later: Any) -> None:
    gate, (token,) = gate_with(1)
    gate.quota_refused(token, 60, NOW)
    later(gate, token)
    assert gate.until(NOW) == NOW + 60 + DATE_STEP
