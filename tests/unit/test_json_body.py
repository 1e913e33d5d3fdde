"""JSON of any depth is parsed, and by every interpreter to the same."""

import json

import pytest

from market_photos.market.json_body import parse_json


def depth_of(value: object) -> int:
    depth = 0
    while isinstance(value, list):
        depth, value = depth + 1, value[0] if value else None
    return depth


def test_only_the_deep_part_is_lost() -> None:
    """Brackets and quotes inside texts are texts; what comes after the deep part is read."""
    deep = b"[" * 50_000 + b'"\\"]]", {"a": "["}' + b"]" * 50_000
    value = parse_json(b'{"before": "[[\\"{", "deep": [' + deep + b', 1], "after": [{"x": "]"}, -1.5e3]}')
    assert (value["before"], value["after"]) == ('[["{', [{"x": "]"}, -1500])
    assert value["deep"][1] == 1
    assert depth_of(value["deep"]) > 500


@pytest.mark.parametrize(
    "body", [b"[" * 50_000, b"]" * 50_000, b"[" * 50_000 + b'"' + b"]" * 50_000, b"[" * 50_000 + b"\\" * 50_000, b""]
)
def test_invalid_json_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="line 1 column"):
        parse_json(body)


@pytest.mark.parametrize("body", [b'{"a": [1, null, "\xd0\x96"]}', b'"x"', b"[[]]", b"0"])
def test_other_bodies_parse_as_with_the_json_module(body: bytes) -> None:
    assert parse_json(body) == json.loads(body)
