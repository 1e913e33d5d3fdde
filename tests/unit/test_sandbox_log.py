"""The log's questions, which the tests of quota and slots rest on."""

import pytest

from market_photos.sandbox.api import Call
from market_photos.sandbox.log import Log, most_within
from market_photos.sandbox.wire import Request


def call(kind: str = "photo", campaign: int | None = 101) -> Call:
    return Call(Request("GET", "/x%2Fy?a=1&b="), kind, campaign, image_hash="abc")


@pytest.mark.parametrize(
    ("times", "most"),
    [
        ([], 0),
        ([5.0], 1),
        ([0.0, 10.0], 1),
        ([0.0, 9.999], 2),
        ([0.0, 1.0, 9.0, 10.0, 10.5, 10.9, 20.5], 5),
        ([0.0] * 7, 7),
    ],
)
def test_a_window_is_half_open_and_starts_anywhere(times: list[float], most: int) -> None:
    assert most_within(times, 10.0) == most


def test_questions_are_about_one_store() -> None:
    """Quota and slots belong to a store: two busy stores do not add up."""
    log = Log()
    for campaign in (101, 101, 101, 102, 102, None):
        log.arrive(call(campaign=campaign), wall=0.0)
    assert (log.worst_window("photo", 60), log.worst_window("photo", 60, campaign=102)) == (3, 2)
    assert (log.worst_parallel(), log.worst_parallel(102)) == (3, 2)
    assert log.worst_window("photo", 1, campaign=101, when=lambda entry: entry.wall) == 3
    assert log.worst_window("returns", 60) == 0


def test_an_answered_request_is_not_in_flight() -> None:
    log = Log()
    for _ in range(3):
        log.leave(log.arrive(call(), wall=0.0), sent=7)
    assert (log.worst_parallel(), log[0].bytes_sent, log[0].seconds >= 0) == (1, 7, True)


def test_entries_are_counted_by_kind_store_and_status() -> None:
    log = Log()
    log.arrive(call(), 0.0).status = 404
    log.arrive(call("returns"), 0.0).status = 200
    assert (log.count(), log.count("photo"), log.count("photo", 102), log.count(status=200)) == (2, 1, 0, 1)
    log.leave(log[0], 0)
    log.clear()
    assert [entry.kind for entry in log] == ["returns"], "what is in flight stays"


def test_an_entry_keeps_the_path_as_it_was_sent() -> None:
    entry = Log().arrive(call(), wall=3.0)
    assert (entry.path, entry.query, entry.wall, entry.image_hash) == ("/x%2Fy", {"a": "1", "b": ""}, 3.0, "abc")
