"""An address and what it asks for."""

import datetime as dt
import sqlite3

import pytest
from yarl import URL

from market_photos.browse import index, query
from market_photos.browse.query import Place, Query, parse
from tests.archives import NOW

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
    assert Query().address() == "/returns"


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
        ("сломалась ручка", "сломанный", True),
        ("разбита, крышка треснула", "разбитая крышками", True),
        ("чайник-1.7л", "ЧАЙНИ", True),
        ("чёрный", "черный", True),
        ("черный", "чёрная", True),
        ("scratched lid", "scratch", True),
        ("kreslo/007", "KRESLO/007", True),
        ("kreslo/007", "SKU Kreslo/00", True),
        ("kreslo/007", "kreslo/008", False),
        ("чайник на 1 500 мл", "1 500", True),
        ("сумка «вояж», синяя", "«Вояж»", True),
        ("царапина", "скол", False),
        ("царапина", 'цара" OR words:"ск', False),
        ("царапина", "царап*", True),
        ("near", "NEAR(", True),
        ("царапина", "!!!", False),
        ("царапина", ":( царапина", True),
    ],
)
def test_words_are_found_in_any_form(words: str, asked: str, is_found: bool) -> None:
    """By their stems, and by their beginnings; no query is a syntax error."""
    assert found(words, [], asked) == is_found


@pytest.mark.parametrize(
    "asked",
    [
        "540000123",
        "№540000123",
        "№ 540000123,",
        "#540000123",
        "заказ 540000123",
        "Заказа №540000123.",
        "Order 540000123",
        "540 000 123",
        "заказ № 540\u00a0000\u00a0123",
        "540000",
        "0123",
        "540000123 40000777",
        "540000123-40000777",
        "540000123/40000777",
    ],
)
def test_a_number_is_found_as_people_paste_it(asked: str) -> None:
    """Alone or with its label, in groups of digits, by its first or last digits, with another number."""
    assert found("", ["540000123", "40000777"], asked)
    assert not found("заказ 1", ["640000124", "50000778"], asked)


@pytest.mark.parametrize("asked", ["00001", "54", "123000045", "540000123 50000778"])
def test_the_middle_of_a_number_or_too_few_digits_find_nothing(asked: str) -> None:
    assert not found("", ["540000123", "40000777"], asked)


def test_a_label_alone_is_a_word() -> None:
    assert found("второй заказ подряд", [], "заказ")
    assert not found("", ["540000123"], "заказ")


def found(words: str, numbers: list[str], asked: str) -> bool:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    index.create(connection)
    index.write(connection, [index.Entry(query.key(NOW, 1), 0, numbers, query.stemmed(words), [])])
    results = index.find(connection, 101, parse({"q": asked}), 10)
    connection.close()
    return bool(results)


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
