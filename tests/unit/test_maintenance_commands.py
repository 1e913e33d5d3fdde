"""Pure parts of the owner's commands: ages, and hashes in threads."""

import datetime as dt
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from market_photos.archive.hashing import AHEAD, file_sha256, in_threads
from market_photos.cli.maintenance import require_statuses
from market_photos.cli.options import AGE, DURATION
from market_photos.errors import UsageError

NOW = dt.datetime(2028, 2, 29, 12, 30, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("age", "before"),
    [
        ("3y", "2025-02-28"),
        ("4y", "2024-02-29"),
        ("1mo", "2028-01-29"),
        ("2mo", "2027-12-29"),
        ("3mo", "2027-11-29"),
        ("12mo", "2027-02-28"),
        ("26mo", "2025-12-29"),
        ("2w", "2028-02-15"),
        ("90d", "2027-12-01"),
        (" 1Y ", "2027-02-28"),
        ("24h", "2028-02-28"),
    ],
)
def test_ages_follow_the_calendar(age: str, before: str) -> None:
    """An age counts back to the minute; where the month is shorter, to its last day."""
    assert AGE.convert(age, None, None).before(NOW).isoformat() == f"{before}T12:30:00+00:00"


@pytest.mark.parametrize(
    "age", ["", "3", "y", "0d", "-1y", "1h", "3 y", "3yy", "1y6m", "18m", "1.5y", "2028y", "9999y", "999999d", "٣y"]
)
def test_a_malformed_age_is_refused(age: str) -> None:
    """An age selects returns to delete, so a malformed one never counts as another."""
    with pytest.raises(click.BadParameter):
        AGE.convert(age, None, None)


def test_m_is_minutes_everywhere_and_a_month_is_mo() -> None:
    assert DURATION.convert("1h30m", None, None).seconds == 5400
    with pytest.raises(click.BadParameter, match="m means minutes; write mo for months: 18mo"):
        AGE.convert("18m", None, None)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("FOO", "Known: "),
        ("refundet", "Did you mean REFUNDED?"),
        ("WAITING_FOR_DECISON", "mean WAITING_FOR_DECISION?"),
    ],
)
def test_a_refund_status_that_the_api_does_not_have_is_refused(status: str, words: str) -> None:
    """Before anything is read: a prune that finds nothing to delete would look like success."""
    require_statuses(["REFUNDED", "cancelled"])
    with pytest.raises(UsageError) as refused:
        require_statuses(["REFUNDED", status])
    assert words in f"{refused.value.message} {refused.value.hint}"


def test_results_come_in_the_order_of_the_jobs_and_jobs_are_taken_as_needed() -> None:
    """However long each takes; a million jobs need no more memory than a few."""
    taken = []

    def counted() -> Iterator[int]:
        for number in range(500):
            taken.append(number)
            yield number

    ahead = []
    for done in in_threads(lambda number: number * 2, counted(), threads=3):
        ahead.append(len(taken) - done // 2)
    assert max(ahead) <= 3 * AHEAD + 2
    assert len(ahead) == 500


def test_jobs_run_side_by_side() -> None:
    together = threading.Barrier(4, timeout=10)
    assert len(list(in_threads(lambda _: together.wait(), range(4), threads=4))) == 4


def test_an_error_comes_out_and_the_threads_end() -> None:

    def fails(number: int) -> int:
        if number == 3:
            raise OSError("the disk")
        return number

    with pytest.raises(OSError, match="the disk"):
        list(in_threads(fails, range(100), threads=2))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hash")]


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145, 1_000_000])
def test_a_file_is_hashed_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    assert file_sha256(path) == hashlib.sha256(b"x" * size).digest()
