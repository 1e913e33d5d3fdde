"""Attempts at a photo in a run, and the signs by which a run notices that the server is down."""

from random import Random

import pytest

from market_photos.errors import ServerUnavailable
from market_photos.market.refusals import Reaction, Refusal
from market_photos.market.retry import (
    ALIKE,
    ALIKE_AT_ONE_END,
    ATTEMPTS,
    LONGEST_OUTAGE,
    LONGEST_RETRY_AFTER,
    MAX_YIELDS,
    OutageDetector,
    RetryBudget,
)


def refused(reaction: Reaction = Reaction.RETRY, status: int | None = 503, wait: float | None = None) -> Refusal:
    return Refusal(reaction, f"HTTP {status}", status, wait)


def test_a_photo_has_four_attempts_with_growing_pauses() -> None:
    """The pauses are random, at most 1, 2 and 4 s; after them the photo has failed."""
    pauses = []
    for seed in range(200):
        retries, rng = RetryBudget(), Random(seed)
        pauses.append([retries.after(refused(), rng) for _ in range(ATTEMPTS)])
    assert {row[-1] for row in pauses} == {None}
    for number, longest in enumerate((1.0, 2.0, 4.0)):
        seen = [row[number] or 0.0 for row in pauses]
        assert 0.9 * longest < max(seen) <= longest
        assert min(seen) < 0.1 * longest


@pytest.mark.parametrize(
    "reaction",
    [reaction for reaction in Reaction if reaction not in {Reaction.RETRY, Reaction.YIELD_SLOT, Reaction.WAIT_QUOTA}],
)
def test_a_permanent_failure_is_not_repeated(reaction: Reaction) -> None:
    assert RetryBudget().after(refused(reaction), Random(1)) is None


def test_a_420_is_no_attempt_but_ends_after_a_bound() -> None:
    retries, rng = RetryBudget(), Random(1)
    assert {retries.after(refused(Reaction.WAIT_QUOTA, 420), rng) for _ in range(MAX_YIELDS - 1)} == {0.0}
    assert (retries.attempts, retries.after(refused(Reaction.YIELD_SLOT, 420), rng)) == (0, None)


@pytest.mark.parametrize(
    ("wait", "least", "most"), [(5.0, 5.0, 5.0), (7200.0, LONGEST_RETRY_AFTER, LONGEST_RETRY_AFTER), (0, 0, 1)]
)
def test_retry_after_is_followed_within_a_bound(wait: float, least: float, most: float) -> None:
    pause = RetryBudget().after(refused(wait=wait), Random(1))
    assert pause is not None
    assert least <= pause <= most


def test_is_last_is_true_for_the_fourth_attempt() -> None:
    retries = RetryBudget()
    seen = []
    for _ in range(ATTEMPTS):
        seen.append(retries.is_last)
        retries.after(refused(), Random(1))
    assert seen == [False, False, False, True]


@pytest.mark.parametrize(
    ("failures", "stops"),
    [
        ([refused()] * ALIKE, True),
        ([refused()] * (ALIKE - 1), False),
        ([refused(status=502), refused(status=None), refused(status=500), refused(status=499)] * 5, True),
        ([refused(Reaction.GIVE_UP, 200)] * ALIKE, True),
        ([refused(Reaction.GIVE_UP, 200), refused(Reaction.GIVE_UP, 400)] * ALIKE, False),
        ([refused(Reaction.WAIT_QUOTA, 420)] * ALIKE * 2, False),
    ],
)
def test_twenty_initial_failures_stop_the_run(failures: list[Refusal], stops: bool) -> None:
    """All temporary failures count together, as a server fails in many ways. A 420 shows that it works."""
    outage, stopped = OutageDetector(), False
    try:
        for failure in failures:
            outage.failed(failure, 0.0)
    except ServerUnavailable:
        stopped = True
    assert stopped is stops


def test_a_later_outage_pauses_for_growing_times_and_ends_after_an_hour() -> None:
    outage = OutageDetector()
    outage.succeeded()
    now, pauses, ended = 0.0, [], False
    for _ in range(1000):
        try:
            outage.failed(refused(), now)
        except ServerUnavailable:
            ended = True
            break
        if outage.paused_until > now:
            pauses.append(outage.paused_until - now)
            now = outage.paused_until
    assert ended
    assert pauses[:4] == [15, 30, 60, 120]
    assert max(pauses) == 900
    assert now > LONGEST_OUTAGE


def test_a_success_ends_an_outage() -> None:
    outage = OutageDetector()
    for _ in range(2):
        outage.succeeded()
        for _ in range(ALIKE):
            outage.failed(refused(), 100.0)
    assert outage.paused_until == 115.0
    outage.succeeded()
    outage.failed(refused(), 200.0)
    assert outage.paused_until == 115.0


def test_the_other_end_of_the_queue_is_tried_before_the_server_is_blamed() -> None:
    outage = OutageDetector()
    for number in range(ALIKE_AT_ONE_END):
        assert not outage.suggests_other_end
        outage.failed(refused(), float(number))
    assert outage.suggests_other_end
    outage.succeeded()
    assert not outage.suggests_other_end
    assert not outage.is_in_doubt


def test_photos_that_fail_again_never_stop_the_run() -> None:
    """They say nothing about the server; after twenty in a row the others of their kind wait for the next run."""
    outage = OutageDetector()
    for _ in range(ALIKE):
        assert not outage.retries_in_vain
        outage.failed_again()
    assert outage.retries_in_vain
    assert not outage.is_in_doubt
    outage.succeeded()
    assert not outage.retries_in_vain
