"""Records of any shape can be read."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_photos.model import PhotoKey
from market_photos.record import Amount, Decision, ReturnRecord, read_record

NAMES = [
    "items", "decisions", "images", "comment", "shopSku", "amount", "value", "currencyId", "creationDate",
    "returnItemId", "count", "refundStatus",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_no_shape_of_a_record_is_an_error(value: Any) -> None:
    """Every text that is read can be encoded as UTF-8."""
    record = read_record(value)
    record.decision_of(PhotoKey(1, 2, 3, 4, "a"))
    fields = [*vars(record).values(), *(field for decision in record.decisions for field in decision)]
    [field.encode() for field in fields if isinstance(field, str)]
    record.distinct("comment")


def test_every_field_of_a_return_is_read() -> None:
    decision = {
        "returnItemId": 7, "count": 2, "comment": " скол ", "reasonType": "BAD_QUALITY", "subreasonType": "DAMAGED",
        "decisionType": "NEW_DECISION", "amount": {"value": 12.5, "currencyId": "BYN"}, "images": ["aa", None],
    }  # fmt: skip
    record = read_record(
        {
            "creationDate": "2026-09-20T23:05:00.1+03:00",
            "updateDate": "2026-09-21T23:05:00+03:00",
            "returnType": "RETURN",
            "refundStatus": "REFUNDED",
            "shipmentStatus": "PICKED",
            "shipmentRecipientType": "SHOP",
            "amount": {"value": 1200, "currencyId": "RUR"},
            "items": [
                {"shopSku": "a", "marketSku": 5, "decisions": [decision]},
                {"shopSku": "b", "count": 1, "decisions": None},
            ],
        }
    )
    first = Decision(
        7, "a", "5", 2, " скол ", "BAD_QUALITY", "DAMAGED", "NEW_DECISION", Amount(Decimal("12.5"), "BYN"), ("aa",)
    )
    assert record == ReturnRecord(
        "2026-09-20T23:05:00.1+03:00", "2026-09-21T23:05:00+03:00", "RETURN", "REFUNDED", "PICKED", "SHOP",
        Amount(Decimal(1200), "RUR"), (first, Decision(sku="b", quantity=1)),
    )  # fmt: skip
    assert (record.distinct("comment"), record.distinct("sku")) == (["скол"], ["a", "b"])


@pytest.mark.parametrize(
    ("item", "image_hash", "comment"),
    [(7, "aa", "first"), (7, "bb", "second"), (7, "cc", "first"), (8, "aa", "other item"), (9, "aa", "")],
)
def test_a_photo_belongs_to_the_decision_that_lists_it_else_to_its_item(
    item: int, image_hash: str, comment: str
) -> None:
    decisions = [
        {"returnItemId": 7, "comment": "first", "images": ["aa"]},
        {"returnItemId": 7, "comment": "second", "images": ["bb", "aa"]},
        {"returnItemId": 8, "comment": "other item", "images": None},
    ]
    record = read_record({"items": [{"decisions": decisions}]})
    found = record.decision_of(PhotoKey(1, 2, 3, item, image_hash))
    assert (found.item, found.comment) == (item, comment)
    assert record.decision_of(PhotoKey(1, 2, 3, item, image_hash)) is found


@pytest.mark.parametrize("value", [None, "", "free", "NaN", float("inf"), "1e400", True, [], {"value": 1}])
def test_a_malformed_price_is_not_read_as_one(value: Any) -> None:
    assert read_record({"amount": {"value": value, "currencyId": "RUR"}}).amount is None


@pytest.mark.parametrize(
    ("value", "read"), [(None, ""), (5, "5"), ({"a": 1}, ""), ([1], ""), ("\ud800x", r"\ud800x")]
)
def test_a_text_field_holds_text(value: Any, read: str) -> None:
    assert read_record({"refundStatus": value}).refund_status == read
