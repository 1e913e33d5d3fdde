"""An address and what it asks for."""

import datetime as dt
import sqlite3

import pytest
from yarl import URL

from market_photos.browse import query
from market_photos.browse.query import Place, Query, parse

FULL = {
    "q": "скол 40000123",
    "store": "101",
    "from": "2026-09-01",
    "to": "2026-09-30",
    "reason": "BAD_QUALITY",
    "decision": "REPAIR",
    "refund": "REFUNDED",
    "state": "failed",
    "after": "1790000000-101-7",
}


def address_values(address: str) -> dict[str, str]:
    return dict(URL(address).query)


def test_an_address_holds_the_whole_state() -> None:
    """What is sent to a colleague shows the same there."""
    asked = parse(FULL)
    assert parse(address_values(asked.address(after=asked.after))) == asked


def test_a_changed_filter_begins_at_the_newest_again() -> None:
    assert "after" not in parse(FULL).address(reason="")
    assert Query().address() == "/"


@pytest.mark.parametrize(
    "given",
    [
        {"store": "x"},
        {"store": "١٠١"},
        {"store": "9" * 19},
        {"store": "-1"},
        {"from": "2026-13-01"},
        {"to": "9999-12-31"},
        {"from": "0001-01-01"},
        {"after": "1-2"},
        {"after": "1-2-3'; DROP TABLE"},
        {"q": "\x00\x07  "},
    ],
)
def test_meaningless_parameters_are_left_out(given: dict[str, str]) -> None:
    """Whatever stands in an address, there is an answer."""
    assert parse(given) == Query()


def test_texts_are_cut_to_a_length() -> None:
    asked = parse({"q": "а" * 10_000, "reason": "b" * 10_000})
    assert (len(asked.q), len(asked.reason)) == (query.MAX_QUERY_LENGTH, query.MAX_VALUE_LENGTH)


@pytest.mark.parametrize(
    ("words", "asked", "is_found"),
    [
        ("царапина во всю крышку", "царапину", True),
        ("царапина во всю крышку", "ЦАРАПИНЫ крышка", True),
        ("пришла мятая коробка", "коробку", True),
        ("чёрный", "черный", True),
        ("черный", "чёрная", True),
        ("scratched lid", "scratch", True),
        ("kreslo/007", "KRESLO/007", True),
        ("kreslo/007", "kreslo/008", False),
        ("сумка «вояж», синяя", "«Вояж»", True),
        ("царапина", "скол", False),
        ("царапина", 'цара" OR words:"ск', False),
        ("царапина", "царап*", True),
        ("near", "NEAR(", True),
        ("царапина", "!!!", False),
        ("царапина", ":( царапина", True),
    ],
)
def test_words_match_comments_by_their_beginnings(words: str, asked: str, is_found: bool) -> None:
    """By their beginnings, Russian ones without their endings, and no query is a syntax error."""
    assert found(words, "", asked) == is_found


@pytest.mark.parametrize(
    ("asked", "is_found"), [("40000123", True), ("4000012", False), ("0123", False), ("40000123 500", False)]
)
def test_a_number_matches_exactly(asked: str, is_found: bool) -> None:
    assert found("", "500000001 40000123", asked) == is_found


def found(words: str, numbers: str, asked: str) -> bool:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE VIRTUAL TABLE search USING fts5(numbers, words, tags, tokenize = 'unicode61 remove_diacritics 2')"
    )
    connection.execute("INSERT INTO search VALUES (?, ?, '')", (numbers, query.folded(words)))
    match = parse({"q": asked}).match()
    rows = connection.execute("SELECT 1 FROM search WHERE search MATCH ?", (match,)).fetchall() if match else []
    connection.close()
    return bool(rows)


@pytest.mark.parametrize(
    ("campaign", "same_second_comes"),
    [(100, False), (101, None), (102, True)],
)
def test_the_next_page_continues_where_the_last_one_ended(campaign: int, same_second_comes: bool | None) -> None:
    """Over stores too: of one second, those of a higher number are still to come; of the own store, lower rows."""
    asked = Query(after=Place(1000, 101, 7))
    low, high = asked.span(campaign)
    assert low == 0
    assert query.key(999, 5) < high
    assert query.key(1001, 1) >= high
    if same_second_comes is None:
        assert query.key(1000, 6) < high <= query.key(1000, 7)
    else:
        assert (query.key(1000, 1) < high) is same_second_comes


def test_days_begin_and_end_in_moscow_time() -> None:
    """`to` includes its day."""
    low, high = Query(first=dt.date(2026, 9, 1), last=dt.date(2026, 9, 1)).span(101)
    midnight = int(dt.datetime(2026, 9, 1, tzinfo=dt.timezone(dt.timedelta(hours=3))).timestamp())
    assert (query.unkey(low)[0], query.unkey(high)[0]) == (midnight, midnight + 86_400)


@pytest.mark.parametrize("created_at", [-5, 0, 1_790_000_000, 2**40])
def test_any_time_has_a_key_that_sqlite_takes(created_at: int) -> None:
    assert 0 <= query.key(created_at, 2**40) < 2**63
