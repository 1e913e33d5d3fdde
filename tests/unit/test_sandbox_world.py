"""The sandbox's records have the API's shape, and a test can change every part."""

import re
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from market_photos.record import AWAITING
from market_photos.sandbox.listing import Filters
from market_photos.sandbox.records import ABSENT
from market_photos.sandbox.world import Market

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def make() -> Market:
    return Market(seed=7, now=NOW)


def populated() -> Market:
    market = make()
    market.populate(stores=2, returns=40, photos=120)
    return market


def test_returns_of_the_last_two_days_await_a_decision_of_both_kinds() -> None:
    """In every store, beside others that were decided."""
    market = populated()
    for store in market.stores.values():
        awaiting = [back for back in store.returns.values() if back.fields["refundStatus"] in AWAITING]
        assert 3 <= len(awaiting) <= len(store.returns) / 3
        assert all(market.now - back.created < timedelta(hours=51) for back in awaiting)
    assert {back.fields["refundStatus"] for back in market.returns} >= AWAITING


def test_the_same_seed_gives_the_same_world() -> None:
    assert [back.record() for back in populated().returns] == [back.record() for back in populated().returns]


def test_a_demo_holds_what_was_asked_for() -> None:
    market = populated()
    assert (len(market.stores), len(market.return_ids), len(market.photos())) == (2, 40, 120)
    assert len({photo.sha256 for photo in market.photos()}) == 120
    assert {photo.content_type for photo in market.photos()} == {"image/jpeg", "image/png"}
    assert all(NOW - timedelta(days=151) < back.created <= back.updated <= NOW for back in market.returns)


def test_a_record_has_what_the_api_requires() -> None:
    record = make().add_store(101).add_return(photos=3).record()
    assert {"id", "orderId", "items", "returnType", "creationDate", "updateDate", "refundStatus"} <= record.keys()
    (decision,) = record["items"][0]["decisions"]
    assert [re.fullmatch("[0-9a-f]{40}", image) is not None for image in decision["images"]] == [True] * 3
    assert isinstance(decision["returnItemId"], int)


def test_dates_have_moscow_time_and_fractions_of_any_length() -> None:
    store = make().add_store(101)
    moment = datetime(2026, 11, 19, 23, 0, 5, 123_456, tzinfo=UTC)
    stamps = [store.add_return(id=number, created=moment).record()["creationDate"] for number in range(4)]
    fractions = ["", ".1", ".12", ".123"]
    assert stamps == [f"2026-11-20T02:00:05{fraction}+03:00" for fraction in fractions]


@pytest.mark.parametrize("value", [None, []])
def test_null_is_null(value: Any) -> None:
    store = make().add_store(101)
    assert store.add_return(decisions=value).record()["items"][0]["decisions"] == value
    assert store.add_return(images=value).record()["items"][0]["decisions"][0]["images"] == value
    assert store.add_return(refundStatus=value).record()["refundStatus"] == value


def test_absent_is_absent() -> None:
    store = make().add_store(101)
    assert "decisions" not in store.add_return(decisions=ABSENT).record()["items"][0]
    assert "images" not in store.add_return(images=ABSENT).record()["items"][0]["decisions"][0]
    assert "updateDate" not in store.add_return(updateDate=ABSENT).record()


@pytest.mark.parametrize("part", ["decisions", "images"])
@pytest.mark.parametrize("value", [None, ABSENT, []])
def test_a_return_without_photos_is_fine_however_it_says_so(part: str, value: Any) -> None:
    market = make()
    market.add_store(101).add_return(**{part: value})
    assert market.photos() == []


def test_a_decision_without_an_id_has_no_photo_to_ask_for() -> None:
    market = make()
    market.add_store(101).add_return(decisions=[{"images": ["abc"]}])
    assert market.photos() == []


def test_any_field_can_be_given() -> None:
    market = make()
    store = market.add_store(101, name="Лавка", placementType="LAAS", business=ABSENT)
    back = store.add_return(id=5, order=6, item=7, images=["a/b"], comment="Мято", type="NEW_TYPE", brandNew={"x": 1})
    record = back.record()
    assert (record["id"], record["orderId"], record["returnType"], record["brandNew"]) == (5, 6, "NEW_TYPE", {"x": 1})
    assert record["items"][0]["decisions"][0]["comment"] == "Мято"
    assert [(photo.item, photo.image_hash) for photo in market.photos()] == [(7, "a/b")]
    assert store.record() | {"domain": "Лавка", "placementType": "LAAS"} == store.record()
    assert "business" not in store.record()


def test_the_types_number_themselves_apart() -> None:
    store = make().add_store(101)
    assert store.add_return(type="UNREDEEMED").id > store.add_return().id * 10


def test_a_photo_is_found_at_its_place_only() -> None:
    market = make()
    store = market.add_store(101)
    photo = store.photos(store.add_return(photos=1))[0]
    place = (photo.order, photo.return_id, photo.item, photo.image_hash)
    assert store.photo(*place) == photo
    for index in range(3):
        wrong = [value + (index == at) if isinstance(value, int) else value for at, value in enumerate(place)]
        assert store.photo(*wrong) is None  # type: ignore[arg-type]
    store.lose(photo)
    assert store.photo(*place) is None
    assert market.photos() == [photo], "still listed"
    store.find(photo)
    assert store.photo(*place) == photo


def test_photos_take_any_type_and_body() -> None:
    store = make().add_store(101)
    back = store.add_return(photos=1, size=50_000, content_type="image/png")
    (photo,) = store.photos(back)
    assert (len(photo.body), photo.content_type, photo.body[:4]) == (50_000, "image/png", b"\x89PNG")
    store.serve(photo, body=b"RIFF", content_type="image/webp")
    assert (store.photos(back)[0].body, store.photos(back)[0].content_type) == (b"RIFF", "image/webp")
    assert store.add_photo(back, "late", body=b"x").body == b"x"
    assert len(store.photos(back)) == 2


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(), {1, 2, 3}),
        (Filters(from_date=date(2026, 11, 10)), {2, 3}),
        (Filters(to_date=date(2026, 11, 10)), {1, 2}),
        (Filters(type="UNREDEEMED"), {3}),
        (Filters(statuses=frozenset({"REFUNDED"})), {1}),
        (Filters(shipment_statuses=frozenset({"PICKED"})), {2}),
        (Filters(order_ids=frozenset({11, 13})), {1, 3}),
    ],
)
def test_filters_select_returns(filters: Filters, found: set[int]) -> None:
    store = make().add_store(101)
    # 22:00 UTC on the 9th is the 10th in Moscow
    days = [
        datetime(2026, 11, 8, tzinfo=UTC),
        datetime(2026, 11, 9, 22, tzinfo=UTC),
        datetime(2026, 11, 12, tzinfo=UTC),
    ]
    store.add_return(id=1, order=11, updated=days[0], refundStatus="REFUNDED", shipmentStatus="CREATED")
    store.add_return(id=2, order=12, updated=days[1], refundStatus="FAILED", shipmentStatus="PICKED")
    store.add_return(id=3, order=13, updated=days[2], type="UNREDEEMED", shipmentStatus="CREATED")
    assert {back.id for back in store.listing(filters)} == found


def test_to_date_may_be_exclusive() -> None:
    market = make()
    market.to_date_inclusive = False
    store = market.add_store(101)
    store.add_return(updated=datetime(2026, 11, 10, 9, tzinfo=UTC))
    assert not store.listing(Filters(to_date=date(2026, 11, 10)))


def test_the_order_is_stable_and_no_one_s_by_default() -> None:
    market = make()
    store = market.add_store(101)
    ids = [store.add_return().id for _ in range(20)]
    scattered = [back.id for back in store.listing(Filters())]
    assert scattered != ids
    assert sorted(scattered) == ids
    market.listing_order = "id"
    assert [back.id for back in store.listing(Filters())] == ids


def test_a_listing_sees_every_change() -> None:
    store = make().add_store(101)
    back, week = store.add_return(), Filters(from_date=date(2026, 11, 20))
    assert not store.listing(week)
    back.updated = NOW
    assert list(store.listing(week)) == [back]
    store.remove(back)
    assert not store.listing(week)


def test_a_hundred_thousand_returns_are_listed_quickly() -> None:
    """A thousand pages cost one sort, not a thousand."""
    market = make()
    store = market.add_store(101)
    shared = [market.item(None)]
    for _ in range(100_000):
        store.add_return(items=shared, images=None, decisions=None)
    started = time.process_time()
    pages = [store.listing(Filters())[at : at + 100] for at in range(0, 100_000, 100)]
    assert sum(map(len, pages)) == 100_000
    assert time.process_time() - started < 4


def test_the_world_never_sends_an_empty_list() -> None:
    """`images` and `decisions` are null, absent or have at least one entry, as the official description says."""
    market = Market(seed=3)
    market.populate(stores=2, returns=60, photos=40)
    items = [item for back in market.returns for item in back.record()["items"]]
    decisions = [decision for item in items for decision in item["decisions"]]
    assert all(decision["images"] is None or decision["images"] for decision in decisions)
    assert {bool(decision["images"]) for decision in decisions} == {True, False}
