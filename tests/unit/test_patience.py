"""A request is repeated while its time lasts, and not once it must not be made."""

import dataclasses

import pytest

from market_photos.archive.patience import FIRST_PAUSE, LONGEST_PAUSE, Patience, pause_before
from market_photos.archive.storage_errors import PassingFault

FAULT = PassingFault("s3://bucket/7/lease.json: the storage answers SlowDown.")


class Told:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_request_is_repeated_until_its_time_since_the_first_failure_is_over() -> None:
    """The first attempt may have taken long: it does not count."""
    clock = Told()
    attempts = Patience(30.0, pause=lambda failed: 1.0, now=clock).attempts()
    clock.now += 500
    for _ in range(30):
        clock.now += attempts.pause_after(FAULT)
    assert attempts.failed == 30
    with pytest.raises(PassingFault, match="SlowDown"):
        attempts.pause_after(FAULT)


def test_a_request_that_must_not_be_made_is_not_made() -> None:
    def require() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        Patience(30.0, require).attempts().require()


def test_the_pauses_grow_differ_and_stay_short() -> None:
    assert FIRST_PAUSE / 2 <= pause_before(0) <= FIRST_PAUSE
    assert LONGEST_PAUSE / 2 <= pause_before(1000) <= LONGEST_PAUSE
    assert len({pause_before(3) for _ in range(10)}) > 1


def test_a_person_is_told_once_of_a_fault_that_lasts(caplog: pytest.LogCaptureFixture) -> None:
    clock = Told()
    attempts = Patience(30.0, pause=lambda failed: 2.0, now=clock).attempts()
    for _ in range(6):
        clock.now += attempts.pause_after(FAULT)
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == [f"{FAULT.message} Trying again."]


def test_many_requests_that_fail_alike_are_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Told()
    patience = Patience(300.0, pause=lambda failed: 1.0, now=clock)
    side_by_side = [dataclasses.replace(patience, seconds=200.0).attempts() for _ in range(5)]
    for _ in range(70):
        for attempts in side_by_side:
            attempts.pause_after(FAULT)
        clock.now += 1
    assert [record.levelname for record in caplog.records].count("WARNING") == 2
