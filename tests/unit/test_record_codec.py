"""Packed records return unchanged, take less room, and reveal damage."""

import json
import zlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from market_photos.archive.catalog.record_codec import pack, render, unpack
from tests.records import record

TEXTS = st.text(st.characters(exclude_categories=()))  # half surrogate pairs too: JSON may hold them
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
RECORDS = st.dictionaries(
    TEXTS, st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20)
)


def compressed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode())


@given(RECORDS)
@example({"a": "\ud800", "\udfff": 2**70})
def test_any_record_survives_packing(value: dict[str, Any]) -> None:
    assert unpack(pack(value)) == value
    assert json.dumps(unpack(pack(value))) == json.dumps(value)
    assert pack(value) == pack(json.loads(json.dumps(value)))
    assert render(unpack(pack(value))) == render(value)


@pytest.mark.parametrize("levels", [3, 254, 255, 500])
def test_a_very_deep_record_survives_packing(levels: int) -> None:
    """It comes back, and can be written as return.json, on every interpreter."""
    deep = nested(levels)
    assert unpack(pack(deep)) == deep
    assert json.loads(render(deep)) == deep


@pytest.mark.parametrize("levels", [501, 1200, 5000])
def test_a_record_that_is_too_deep_is_refused(levels: int) -> None:
    with pytest.raises(ValueError, match="500 levels"):
        pack(nested(levels))


def test_a_packed_record_that_is_too_deep_is_damaged() -> None:
    """Only a forger makes such a record; callers expect this error."""
    with pytest.raises(ValueError, match="deep"):
        unpack(zlib.compress(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"))


def nested(levels: int) -> dict[str, Any]:
    inner: Any = "x"
    for _ in range(levels - 1):
        inner = [inner]
    return {"a": inner}


def test_packed_records_take_little_room() -> None:
    """Records with two photos each, whose hashes do not compress, take two thirds of their JSON."""
    records = [record(number, 2) for number in range(200)]
    plain = sum(len(json.dumps(each, separators=(",", ":"), ensure_ascii=False).encode()) for each in records)
    assert sum(len(pack(each)) for each in records) < 0.67 * plain


def test_damage_is_noticed() -> None:
    """Cut off anywhere, changed anywhere, with something behind it, or another value than an object."""
    good = pack(record(1, 1))
    for length in range(len(good)):
        with pytest.raises(ValueError, match=r"\w"):
            unpack(good[:length])
    for at in range(len(good)):
        with pytest.raises(ValueError, match=r"\w"):
            unpack(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
    with pytest.raises(ValueError, match="too long"):
        unpack(good + b"x")
    with pytest.raises(ValueError, match="no object"):
        unpack(compressed([1]))
