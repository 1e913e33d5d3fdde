"""Returns that await the seller's decision: which they are, how urgent they are, and that their photos come first."""

from pathlib import Path
from typing import Any

import pytest

from market_photos.archive.catalog.reader import open_reader
from market_photos.record import AWAITING
from market_photos.reporting.awaiting import (
    HOURS,
    AwaitingReturn,
    awaiting_of,
    hours_left,
    merged,
    most_urgent_first,
    summary_of,
    time_left,
)
from tests.archives import NOW, ArchiveOf

HOUR = 3600
DBS, OTHERS = "WAITING_FOR_DECISION", "PREMODERATION_DECISION_WAITING"


@pytest.fixture
def store(tmp_path: Path) -> ArchiveOf:
    return ArchiveOf(tmp_path)


def listed(store: ArchiveOf) -> list[AwaitingReturn]:
    with open_reader(store.archive, store.campaign) as reader:
        return list(awaiting_of(reader, NOW))


def numbers(store: ArchiveOf) -> list[int]:
    return [found.return_.return_id for found in listed(store)]


def news(store: ArchiveOf) -> int:
    with store.catalog() as catalog:
        return len(catalog.returns.take_newly_awaiting())


def test_both_values_await_and_no_other(store: ArchiveOf) -> None:
    """The oldest return comes first: its time is over soonest."""
    store.add(refund=DBS, return_id=1, created_at=NOW - HOUR)
    store.add(refund=OTHERS, return_id=2, created_at=NOW - 2 * HOUR)
    for status in ("REFUND_IN_PROGRESS", "PREMODERATION_DISPUTE", "DECISION_MADE", "", None, 7, ["x"], "Новое"):
        store.add(refund=status)
    assert numbers(store) == [2, 1]
    assert {DBS, OTHERS} == AWAITING


def test_a_decision_ends_the_wait_with_the_next_listing(store: ArchiveOf) -> None:
    store.add(refund=DBS, return_id=1, order=500)
    store.add(refund=OTHERS, return_id=2, order=501)
    store.add(refund="DECISION_MADE", return_id=1, order=500)
    assert numbers(store) == [2]
    store.add(refund="STARTED_BY_USER", return_id=3, order=502)
    store.add(refund=OTHERS, return_id=3, order=502)
    assert sorted(numbers(store)) == [2, 3]


def test_a_return_without_photos_awaits_as_well(store: ArchiveOf) -> None:
    """Its record is kept for the decision and no longer."""
    store.add(0, refund=DBS, return_id=1, order=500, sku="чайник")
    [found] = listed(store)
    assert found.return_.record.decisions[0].sku == "чайник"
    assert found.as_json()["photos"] == 0
    store.add(0, refund="REFUNDED", return_id=1, order=500)
    assert not listed(store)
    with open_reader(store.archive, 101) as reader:
        known = reader.find(500, 1)
    assert known is not None
    assert (known.raw, known.status) == ({}, "REFUNDED")


def test_a_pruned_return_no_longer_awaits(store: ArchiveOf) -> None:
    store.add(refund=DBS)
    with store.catalog() as catalog:
        assert catalog.pruning.tombstone(1)
    assert not listed(store)


def test_an_entry_has_what_a_program_needs(store: ArchiveOf) -> None:
    store.add_photos(
        500, 41, [{"hash": "aa"}, {"hash": "bb", "state": "pending"}], refund=DBS, created_at=NOW - 7 * HOUR
    )
    assert [found.as_json() for found in listed(store)] == [
        {
            "campaign": 101,
            "store": "Чайная лавка",
            "order": 500,
            "return": 41,
            "status": DBS,
            "created_at": "2026-09-21T07:13:20Z",
            "hours_left": 41.0,
            "photos": 2,
            "pending": 1,
        }
    ]


@pytest.mark.parametrize(
    ("created_at", "left"),
    [(NOW, HOURS), (NOW - 47 * HOUR, 1), (NOW - 50 * HOUR, -2), (NOW + HOUR, HOURS + 1), (0, None), (-5, None)],
)
def test_hours_left_count_from_the_creation(created_at: int, left: float | None) -> None:
    """Below zero when the time is over; None without a date."""
    assert hours_left(created_at, NOW) == left


def test_the_time_left_is_said_in_words() -> None:
    assert [time_left(hours) for hours in (1.5, -1, None)] == [
        "about 1 h 30 min left",
        "the 48 h were over about 1 h 00 min ago",
        "created at an unknown time",
    ]


def test_the_summary_counts_all_and_shows_the_most_urgent(store: ArchiveOf) -> None:
    for number in range(1, 4):
        store.add(refund=DBS, return_id=number, created_at=NOW - number * HOUR)
    with open_reader(store.archive, 101) as reader:
        summary = summary_of(reader, NOW)
    assert summary.total == 3
    assert summary.as_json()["most_urgent"]["return"] == 3
    store.execute("UPDATE returns SET awaits = 0 WHERE id > ?", (0,))
    with open_reader(store.archive, 101) as reader:
        assert summary_of(reader, NOW).as_json() == {"count": 0, "most_urgent": None}


def test_the_most_urgent_of_several_stores_comes_first(tmp_path: Path) -> None:
    first, second = ArchiveOf(tmp_path, 101), ArchiveOf(tmp_path, 102)
    first.add(refund=DBS, return_id=1, created_at=NOW - 3 * HOUR)
    second.add(refund=OTHERS, return_id=2, created_at=NOW - 2 * HOUR)
    first.add(refund=DBS, return_id=3, created_at=NOW - HOUR)
    assert [back.return_.return_id for back in most_urgent_first(listed(first) + listed(second))] == [1, 2, 3]
    with open_reader(tmp_path, 101) as one, open_reader(tmp_path, 102) as another:
        both = merged([summary_of(another, NOW), summary_of(one, NOW)])
    assert str(both) == "3 returns await your decision; most urgent: " + (
        "order 500000001, return 1: about 45 h 00 min left (an estimate)"
    )
    assert str(merged([])) == "0 returns await your decision"


def test_a_return_is_news_once(store: ArchiveOf) -> None:
    """Until it awaits again after a decision; from one kind of waiting to the other is no news."""
    back: dict[str, Any] = {"return_id": 1, "order": 500}
    store.add(refund=DBS, **back)
    assert [news(store), news(store)] == [1, 0]
    store.add(refund=OTHERS, **back)
    assert news(store) == 0
    store.add(refund="PREMODERATION_DISPUTE", **back)
    store.add(refund=OTHERS, **back)
    assert news(store) == 1


def test_photos_of_awaiting_returns_are_claimed_before_all_others(store: ArchiveOf) -> None:
    """Also those that were known before their return began to await; a photo that failed before comes last."""
    store.add(1, return_id=1, order=501, created_at=NOW)
    store.add(1, return_id=2, order=502, created_at=NOW - HOUR, refund=DBS)
    store.add(1, return_id=3, order=503, created_at=NOW - 2 * HOUR, refund="STARTED_BY_USER", hashes=["aa"])
    store.add(1, return_id=3, order=503, refund=OTHERS, hashes=["aa", "bb"])
    failed = store.add(1, return_id=4, order=504, refund=DBS)
    store.fail(failed, "503")
    with store.catalog() as catalog:
        catalog.photos.requeue()
        claimed = [claim.key.return_id for claim in iter(catalog.photos.claim, None)]
    assert claimed == [2, 3, 3, 3, 1, 4]


def test_a_decision_puts_the_photos_back_into_the_queue(store: ArchiveOf) -> None:
    store.add(1, return_id=1, order=501, created_at=NOW - HOUR, refund=DBS, hashes=["aa"])
    store.add(1, return_id=2, order=502, created_at=NOW)
    store.add(1, return_id=1, order=501, refund="REFUNDED", hashes=["aa"])
    with store.catalog() as catalog:
        claim = catalog.photos.claim()
    assert claim is not None
    assert claim.key.return_id == 2


def test_the_other_end_of_the_queue_begins_with_what_can_wait(store: ArchiveOf) -> None:
    store.add(1, return_id=1, created_at=NOW - 3 * HOUR, refund=DBS)
    store.add(1, return_id=2, created_at=NOW - HOUR)
    with store.catalog() as catalog:
        claim = catalog.photos.claim(oldest=True)
    assert claim is not None
    assert claim.key.return_id == 2
