"""Any JSON body is understood or refused, and an unreadable part spoils only itself."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_photos.market.records import (
    Campaign,
    Page,
    PageTokenLost,
    parse_campaigns,
    parse_key_info,
    parse_listing,
    parse_return,
    read_returns,
)
from market_photos.market.refusals import Reaction, Refusal
from market_photos.model import PhotoKey, Return

CREATED = "2026-01-05T10:00:00.5+03:00"
CREATED_AT = 1_767_596_400


def parse_returns(campaign: int, body: bytes) -> Page[Return]:
    """Read a page as the producer does."""
    listing = parse_listing(body)
    rows, unreadable = read_returns(campaign, listing.rows)
    return Page(rows, listing.next_token, (*listing.unreadable, *unreadable))


def listing(*returns: Any, **result: Any) -> bytes:
    return json.dumps({"status": "OK", "result": {"returns": list(returns), **result}}).encode()


def record(*decisions: Any, **fields: Any) -> dict[str, Any]:
    items = [{"shopSku": "any text", "count": 1, "decisions": list(decisions)}]
    return {"id": 9, "orderId": 8, "returnType": "RETURN", "items": items, **fields}


def decision(*images: Any, item: Any = 10) -> dict[str, Any]:
    return {"returnItemId": item, "images": list(images)}


def hashes(page: Page[Return]) -> list[str]:
    return [photo.image_hash for found in page.rows for photo in found.photos]


def test_ids_dates_and_photos_of_a_return_are_read() -> None:
    """The record is kept as it came, with unknown fields and values."""
    raw = record(decision("aa", "bb"), creationDate=CREATED, updateDate="later", refundStatus="NEW_VALUE", new=[1.5])
    page = parse_returns(7, listing(raw, paging={"nextPageToken": "next"}))
    photos = (PhotoKey(7, 8, 9, 10, "aa"), PhotoKey(7, 8, 9, 10, "bb"))
    assert page == Page([Return(7, 8, 9, CREATED, CREATED_AT, "later", raw, photos)], "next", ())


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (record(), []),
        (record(None), []),
        (record({}), []),
        (record({"images": None}), []),
        (record(decision()), []),
        (record(decision(None, "", "aa")), ["aa"]),
        (record(decision("aa", "aa"), decision("aa")), ["aa"]),
        (record(decision("aa"), decision("aa", item=11)), ["aa", "aa"]),
        (record(decision("a/b", "..", "%2e", "ж" * 300)), ["a/b", "..", "%2e", "ж" * 300]),
        (record(items=None), []),
        (record(items=[]), []),
        (record(items=[None, {"decisions": None}, {}, {"decisions": [decision("aa")]}]), ["aa"]),
        ({"id": 9, "orderId": 8}, []),
        (record(decision("aa", item="10")), ["aa"]),
        (record(decision("aa"), creationDate=None, updateDate=None), ["aa"]),
        (record(decision("aa"), creationDate=5, updateDate=[]), ["aa"]),
        (record({"returnItemId": None, "images": []}), []),
    ],
)
def test_each_photo_of_a_record_is_read_once(raw: dict[str, Any], found: list[str]) -> None:
    """Each photo once; null and absent mean none, at every level, and are no problem."""
    page = parse_returns(7, listing(raw))
    assert hashes(page) == found
    assert page.unreadable == ()
    assert [row.record for row in page.rows] == [raw]


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (record(decision("aa", 5)), "images"),
        (record(decision("aa"), decision({"hash": "x"})), "images"),
        (record(decision("aa"), {"returnItemId": 11, "images": "bb"}), "images"),
        (record(decision("aa"), "a decision"), "decisions"),
        (record(items=[{"decisions": [decision("aa")]}, {"decisions": {"0": {}}}]), "decisions"),
        (record(items=[7, {"decisions": [decision("aa")]}]), "items"),
        (record(decision("aa"), decision("bb", item=None)), "returnItemId"),
        (record(decision("aa"), decision("bb", item="x")), "returnItemId"),
        (record(decision("aa"), decision("bb", item=-1)), "returnItemId"),
        (record(decision("aa"), decision("bb", item=2**63)), "returnItemId"),
        (record(decision("aa"), decision("bb", item=[[]])), "returnItemId"),
        (record(decision("aa", "\ud800")), "hash"),
    ],
)
def test_an_unreadable_part_spoils_only_itself(raw: dict[str, Any], named: str) -> None:
    """The return and its other photos are there; the trouble is named, so the listing does not look complete."""
    page = parse_returns(7, listing(raw))
    assert hashes(page) == ["aa"]
    assert len(page.unreadable) == 1
    assert page.unreadable[0].startswith("return 9: ")
    assert named in page.unreadable[0]
    assert page.unreadable[0].isprintable()


@pytest.mark.parametrize(
    "bad",
    [None, 7, "x", [], {}, {"id": 1}, {"orderId": 1}, record(id=-1), record(id=2**63), record(orderId="x")],
)
def test_an_unreadable_return_spoils_no_other(bad: Any) -> None:
    """It is named; the good ones beside it are rows."""
    page = parse_returns(7, listing(bad, record(decision("aa"))))
    assert hashes(page) == ["aa"]
    assert len(page.unreadable) == 1


@pytest.mark.parametrize(
    ("dates", "created_at"),
    [
        ({"creationDate": "2026-01-05T10:00:00+03:00"}, CREATED_AT),
        ({"creationDate": "2026-01-05T10:00:00.1+03:00"}, CREATED_AT),
        ({"creationDate": "2026-01-05T10:00:00.12+03:00"}, CREATED_AT),
        ({"creationDate": "2026-01-05T10:00:00.123+03:00"}, CREATED_AT),
        ({"creationDate": "2026-01-05T07:00:00Z", "updateDate": "2026-02-01T00:00:00Z"}, CREATED_AT),
        ({"updateDate": "2026-01-05T10:00:00+03:00"}, CREATED_AT),
        ({"creationDate": "yesterday", "updateDate": "2026-01-05T10:00:00+03:00"}, CREATED_AT),
        ({"creationDate": "yesterday"}, 0),
        ({}, 0),
    ],
)
def test_the_queue_is_ordered_by_creation(dates: dict[str, str], created_at: int) -> None:
    """By creation; a record without that date goes by its update, one without any comes last."""
    row = parse_returns(7, listing(record(**dates))).rows[0]
    assert row.created_at == created_at
    assert row.created == dates.get("creationDate", "")


@pytest.mark.parametrize(
    ("result", "token"),
    [
        ({}, None),
        ({"paging": None}, None),
        ({"paging": {}}, None),
        ({"paging": {"nextPageToken": None}}, None),
        ({"paging": {"nextPageToken": ""}}, None),
        ({"paging": {"nextPageToken": "a+/= д", "prevPageToken": 5}}, "a+/= д"),
    ],
)
def test_a_page_without_a_token_is_the_last(result: dict[str, Any], token: str | None) -> None:
    """An empty page with a token is not the end."""
    assert parse_returns(7, listing(**result)) == Page([], token, ())


NO_PAGES = [
    b"",
    b"<html>a stub</html>",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b"7",
    b'"text"',
    b"{}",
    b'{"result":null}',
    b'{"result":[]}',
    b'{"result":{}}',
    b'{"result":{"returns":null},"campaigns":null}',
    b'{"result":{"returns":{}},"campaigns":{}}',
    b'{"status":"ERROR","result":{"returns":[]},"campaigns":[]}',
    b'{"status":"ERROR","errors":[{"message":"try later"}]}',
    b'{"result":{"returns":[],"paging":[]},"campaigns":[],"paging":[]}',
    b'{"result":{"returns":[],"paging":"x"},"campaigns":[],"paging":"x"}',
    b'{"result":{"returns":[],"paging":{"nextPageToken":5}},"campaigns":[],"paging":{"nextPageToken":5}}',
    rb'{"result":{"returns":[],"paging":{"nextPageToken":"\ud800"}},"campaigns":[],"paging":{"nextPageToken":"\ud800"}}',
    b'{"result":{"returns":[]},"campaigns":[]',
    b"[" * 100_000,
]


@pytest.mark.parametrize("content", NO_PAGES)
def test_a_malformed_page_is_refused(content: bytes) -> None:
    """Absent or misshapen is not empty: a listing never looks complete when it is not, and may be asked for again."""
    for parse in (lambda: parse_returns(7, content), lambda: parse_campaigns(content)):
        with pytest.raises(Refusal) as caught:
            parse()
        assert caught.value.reaction is Reaction.RETRY
        assert str(caught.value).isprintable()


def test_an_error_with_status_200_keeps_the_servers_words() -> None:
    with pytest.raises(Refusal, match="it says ERROR: try later"):
        parse_returns(7, b'{"status":"ERROR","errors":[{"message":"try later"}]}')


GOOD = b'{"id":1,"orderId":2,"items":[{"decisions":[{"returnItemId":3,"images":["aa"]}]}]}'


@pytest.mark.parametrize(
    ("bad", "photos"),
    [
        (b'{"id":9,"orderId":8,"x":"\xff","items":[{"decisions":[{"returnItemId":10,"images":["bb"]}]}]}', ["bb"]),
        (b'{"id":9,"orderId":8,"x":NaN,"items":[{"decisions":[{"returnItemId":10,"images":["bb"]}]}]}', ["bb"]),
        (b'{"id":9,"orderId":8,"x":[Infinity,-Infinity],"items":null}', []),
        (b'{"id":9,"orderId":8,"x":' + b"9" * 5000 + b"}", []),
        (b'{"id":' + b"9" * 5000 + b',"orderId":8}', []),
        (b'{"id":9,"orderId":8,"x":"a raw \n line and a \t tab"}', []),
        (b'{"id":9,"orderId":8,"items":[{"decisions":[{"returnItemId":10,"images":["b\xd0","cc"]}]}]}', ["cc"]),
        (b'{"id":9,"orderId":8,"items":[{"decisions":[{"returnItemId":NaN,"images":["bb"]}]}]}', []),
        (b'{"id":9,"orderId":8,"x":"\\x41"}', []),
        (b'{"id":9,"orderId":8,"x":undefined}', []),
        (b'{"id":9 "orderId":8}', []),
        (b"{'id':9}", []),
        (b"NaN", []),
        (b"9" * 5000, []),
    ],
)
def test_a_damaged_record_costs_only_itself(bad: bytes, photos: list[str]) -> None:
    """The records before and after it and the next page are known; the kept part of it is sound JSON."""
    more = GOOD.replace(b'"id":1', b'"id":4')
    records = b",".join([GOOD, bad, more])
    page = parse_returns(7, b'{"result":{"returns":[' + records + b'],"paging":{"nextPageToken":"n"}}}')
    assert [row.id for row in page.rows if row.id != 9] == [1, 4]
    assert hashes(page) == ["aa", *photos, "aa"]
    assert page.next_token == "n"
    assert page.unreadable
    assert all(problem.isprintable() for problem in page.unreadable)
    for row in page.rows:
        json.loads(json.dumps(row.record, ensure_ascii=False, allow_nan=False).encode())


@pytest.mark.parametrize("rest", [b"garbage", b"\0", b"}", b'{"result":{"returns":[]}}', b"<html>"])
def test_text_behind_a_page_is_named(rest: bytes) -> None:
    page = parse_returns(7, b'{"result":{"returns":[' + GOOD + b"]}}" + rest)
    assert hashes(page) == ["aa"]
    assert len(page.unreadable) == 1


def test_a_sound_character_is_not_damage() -> None:
    """U+FFFD in one record is what the seller typed, though another record is damaged."""
    body = '{"result":{"returns":[{"id":1,"orderId":2,"x":"\ufffd"},{"id":9,"orderId":8,"x":NaN}]}}'.encode()
    page = parse_returns(7, body)
    assert [row.record["x"] for row in page.rows] == ["\ufffd", "NaN"]
    assert len(page.unreadable) == 1


def test_a_lost_page_token_does_not_lose_the_page() -> None:
    with pytest.raises(PageTokenLost) as caught:
        parse_listing(listing(record(decision("aa")), paging={"nextPageToken": 5}))
    assert (len(caught.value.page.rows), caught.value.reaction) == (1, Reaction.RETRY)


@pytest.mark.parametrize("value", [True, False, None, 1.5, "", "1_0", " 1", "٣", 10**30, "9" * 5000, [1], {"id": 1}])
def test_a_malformed_id_is_refused(value: Any) -> None:
    """A boolean would be return 1, and its photos another return's."""
    page = parse_returns(7, listing(record(decision("aa"), id=value), record(decision("bb", item=value))))
    assert hashes(page) == []
    assert len(page.unreadable) == 2


@pytest.mark.parametrize(
    "date",
    [
        "0000-00-00",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2026-01-01T00:00:00+99:99",
        "\u202e",
        "9" * 99,
    ],
)
def test_odd_dates_lose_no_photo(date: str) -> None:
    page = parse_returns(7, listing(record(decision("aa"), creationDate=date)))
    assert hashes(page) == ["aa"]
    assert 0 <= page.rows[0].created_at <= 253_402_300_799


def test_a_hash_that_no_url_can_carry_is_named() -> None:
    page = parse_returns(7, listing(record(decision("x" * 1_000_000, "aa"))))
    assert hashes(page) == ["aa"]
    assert len(page.unreadable[0]) < 200


def test_a_damaged_answer_about_one_return_is_named() -> None:
    page = parse_return(7, b'{"status":"OK","result":' + GOOD.replace(b"{", b'{"x":NaN,', 1) + b"}")
    assert hashes(page) == ["aa"]
    assert len(page.unreadable) == 1


def test_a_damaged_campaign_costs_only_itself() -> None:
    page = parse_campaigns(b'{"campaigns":[{"id":1},{"id":2,"x":NaN},{"id":3,"x":undefined},{"id":4}]}')
    assert [store.id for store in page.rows] == [1, 2, 4]
    assert len(page.unreadable) == 2


def test_a_number_beyond_floats_survives() -> None:
    """The kept record can always be written as JSON again."""
    page = parse_returns(7, b'{"result":{"returns":[{"id":1,"orderId":2,"x":1e999,"y":-1E+999,"z":0.5}]}}')
    assert {name: page.rows[0].record[name] for name in "xyz"} == {"x": "1e999", "y": "-1E+999", "z": 0.5}


def test_one_return_is_read_as_a_page_of_one() -> None:
    """Without ids, or where it is no record, it is refused."""
    body = json.dumps({"status": "OK", "result": record(decision("aa", 5))}).encode()
    page = parse_return(7, body)
    assert hashes(page) == ["aa"]
    assert len(page.unreadable) == 1
    for wrong in (b'{"result":{"id":9}}', b'{"result":[]}', b"{}", b""):
        with pytest.raises(Refusal):
            parse_return(7, wrong)


def test_stores_are_read_and_odd_fields_lose_none() -> None:
    """Not wrapped in a result; a store without an id is named, odd fields of another do not lose it."""
    stores = [{"id": 1, "domain": "a\x1b[2J", "placementType": "FBS", "apiAvailability": "AVAILABLE", "x": 1}]
    stores += [{"id": 2, "domain": 5, "placementType": None}, {"domain": "no id"}]
    page = parse_campaigns(json.dumps({"campaigns": stores, "paging": {"nextPageToken": "n"}}).encode())
    assert page.rows == [
        Campaign(id=1, domain="a?[2J", placementType="FBS", apiAvailability="AVAILABLE"),
        Campaign(id=2),
    ]
    assert page.next_token == "n"
    assert len(page.unreadable) == 1


@pytest.mark.parametrize(
    ("placement", "availability", "why"),
    [
        ("FBS", "AVAILABLE", ""),
        ("DBS", None, ""),
        (None, None, ""),
        ("A_NEW_KIND", "AVAILABLE", ""),
        ("LAAS", "AVAILABLE", "LAAS"),
        ("FBY", "DISABLED_BY_INACTIVITY", "DISABLED_BY_INACTIVITY"),
        ("LAAS", "SOMETHING_NEW", "SOMETHING_NEW"),
    ],
)
def test_a_skipped_store_has_a_reason(placement: str | None, availability: str | None, why: str) -> None:
    reason = Campaign(id=1, placementType=placement, apiAvailability=availability).why_skipped()
    assert why in reason
    assert bool(reason) == bool(why)


def test_name_and_scopes_of_a_key_are_read() -> None:
    body = b'{"status":"OK","result":{"apiKey":{"name":"my\\u001bkey","authScopes":["ALL_METHODS",null]}}}'
    info = parse_key_info(body)
    assert (info.name, info.scopes) == ("my?key", ("ALL_METHODS", "(NoneType)"))
    assert parse_key_info(b'{"result":{"apiKey":{"name":null,"authScopes":[]}}}').name == ""


NAMES = ["result", "returns", "campaigns", "paging", "nextPageToken", "id", "orderId", "items", "decisions", "images"]
NAMES += ["returnItemId", "creationDate", "updateDate", "status", "errors", "apiKey", "authScopes", "name", "domain"]
SURROGATES = st.text(st.characters(), max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | SURROGATES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=30,
)
DECISIONS = st.lists(
    JSON | st.fixed_dictionaries({"returnItemId": JSON | st.integers(0), "images": JSON | st.lists(JSON)})
)
ITEMS = st.lists(JSON | st.fixed_dictionaries({"decisions": JSON | DECISIONS}))
RETURN = st.fixed_dictionaries(
    {"id": JSON | st.integers(0), "orderId": JSON | st.integers(0), "items": JSON | ITEMS},
    optional={"creationDate": JSON | st.text(), "updateDate": JSON},
)
RETURNS = st.fixed_dictionaries(
    {"result": JSON | st.fixed_dictionaries({"returns": JSON | st.lists(JSON | RETURN), "paging": JSON})}
)
BODIES = st.binary() | (JSON | RETURNS).map(lambda value: json.dumps(value).encode())


@pytest.mark.parametrize(
    "parse",
    [lambda body: parse_returns(7, body), lambda body: parse_return(7, body), parse_campaigns, parse_key_info],
)
@given(body=BODIES)
def test_any_body_is_understood_or_refused(parse: Callable[[bytes], Any], body: bytes) -> None:
    """Nothing but a Refusal is ever raised, and it is fit for a terminal."""
    refused = None
    try:
        parse(body)
    except Refusal as error:
        refused = error
    assert refused is None or (refused.reaction is Reaction.RETRY and str(refused).isprintable())


@given(st.lists(RETURN, max_size=4).map(lambda rows: listing(*rows)))
def test_every_photo_read_can_be_requested_and_stored(body: bytes) -> None:
    """Every photo found has ids that a database takes and a hash that a URL takes; every record is JSON again."""
    try:
        page = parse_returns(7, body)
    except Refusal:
        return
    assert all(problem.isprintable() for problem in page.unreadable)
    for row in page.rows:
        json.dumps(row.record, allow_nan=False)
        assert len(set(row.photos)) == len(row.photos)
        for photo in row.photos:
            assert all(0 <= number < 2**63 for number in photo[:4])
            assert photo.image_hash.encode()
