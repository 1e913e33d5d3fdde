"""Any JSON as a page of returns, or as one record of it: what can be read is archived, the exit code is true."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from market_photos.archive import layout
from market_photos.errors import ExitCode
from market_photos.sandbox import ALWAYS
from market_photos.sandbox.faults import Action
from tests.integration.harness import World, fill

pytestmark = pytest.mark.usefixtures("quick")

FINE = {ExitCode.COMPLETE}
NAMED = {ExitCode.FAILED}
EITHER = FINE | NAMED
DOWN = {ExitCode.SERVER}


def rewritten(change: Callable[[bytes], bytes]) -> Action:
    return lambda call, reply: replace(reply, body=change(reply.body)) if reply.status == 200 else reply


def with_record(record: bytes) -> Action:
    """One more record between those of the page."""
    return rewritten(lambda body: body.replace(b'"returns": [', b'"returns": [' + record + b", ", 1))


def one_photo(**fields: Any) -> bytes:
    """A record with one photo, which the sandbox does not have."""
    items = [{"shopSku": "a", "count": 1, "decisions": [{"returnItemId": 7, "images": ["ff"]}]}]
    return json.dumps({"id": 5, "orderId": 6, "items": items} | fields).encode()


def with_hash(text: str) -> bytes:
    return one_photo(items=[{"decisions": [{"returnItemId": 7, "images": [text]}]}])


def damaged(**fields: str) -> bytes:
    """The record with raw JSON, or what calls itself that, in place of the values."""
    record = one_photo(**{name: f"@{name}@" for name in fields})
    for name, raw in fields.items():
        record = record.replace(f'"@{name}@"'.encode(), raw.encode("latin-1"))
    return record


RECORDS = [
    # not JSON, not a number, or not text
    (damaged(x='"\xff"'), NAMED),
    (damaged(x='"\xd0"'), NAMED),
    (damaged(x="NaN"), NAMED),
    (damaged(x="[Infinity, -Infinity]"), NAMED),
    (damaged(x="9" * 5000), NAMED),
    (damaged(id="9" * 5000), NAMED),
    (damaged(id="NaN"), NAMED),
    (damaged(x="-" + "9" * 5000), NAMED),
    (damaged(x="undefined"), NAMED),
    (damaged(x="01"), NAMED),
    (damaged(x=".5"), NAMED),
    (damaged(x='"\\x41"'), NAMED),
    (damaged(x='"\\ud83d\\u12"'), NAMED),
    (damaged(x='"raw \n\t\x00 control"'), NAMED),
    (damaged(x="[" * 100_000 + "]" * 100_000), NAMED),
    (damaged(x="[" * 700 + "]" * 700), NAMED),
    (damaged(x="[" * 20_000 + "NaN" + "]" * 20_000), NAMED),
    (damaged(x='"\xed\xa0\x80"'), EITHER),
    (damaged(items='[{"decisions":[{"returnItemId":7,"images":["f\xff","fe"]}]}]'), NAMED),
    (b"NaN", NAMED),
    (b"9" * 5000, NAMED),
    (b"{'id': 5}", NAMED),
    (b'{"id": 5 "orderId": 6}', NAMED),
    # JSON that is odd, but JSON
    (damaged(x="1e400"), FINE),
    (damaged(x="-0"), FINE),
    (damaged(x="-0.0"), FINE),
    (damaged(x="1E-999"), FINE),
    (damaged(x=str(2**64)), FINE),
    (damaged(x="9" * 4000), FINE),
    (damaged(x='"\\ud800"'), FINE),
    (damaged(x='"\\u0000\\u202e\\ufffe"'), FINE),
    (b'{"id":5,"id":5,"orderId":6,"orderId":6,"items":[],"items":[]}', FINE),
    (one_photo(x="x" * 1_000_000), FINE),
    (one_photo(id="123"), FINE),
    (one_photo(id=0, orderId=0), FINE),
    (one_photo(id=2**63 - 1), FINE),
    (one_photo(creationDate="0000-00-00"), FINE),
    (one_photo(creationDate="9999-12-31T23:59:59-23:59"), FINE),
    (one_photo(creationDate="0001-01-01T00:00:00+23:59"), FINE),
    (one_photo(creationDate="2026-01-01T00:00:00+99:99"), FINE),
    (one_photo(creationDate=5, updateDate=["x"]), FINE),
    (one_photo(items=None), FINE),
    (with_hash(""), FINE),
    (with_hash("a\0b"), FINE),
    (with_hash("\u202egpj.exe"), FINE),
    (with_hash("../../../../etc/passwd"), FINE),
    (with_hash(" "), FINE),
    # records of another shape
    (with_hash("\ud800"), NAMED),
    (with_hash("x" * 1_000_000), NAMED),
    (one_photo(id=True), NAMED),
    (one_photo(id=False), NAMED),
    (one_photo(id=None), NAMED),
    (one_photo(id=-1), NAMED),
    (one_photo(id=1.5), NAMED),
    (one_photo(id=2**63), NAMED),
    (one_photo(id="1_0"), NAMED),
    (one_photo(id=""), NAMED),
    (one_photo(id=[5]), NAMED),
    (one_photo(orderId={}), NAMED),
    (one_photo(orderId=True), NAMED),
    (one_photo(items={}), NAMED),
    (one_photo(items="x"), NAMED),
    (one_photo(items=[[]]), NAMED),
    (one_photo(items=[{"decisions": {}}]), NAMED),
    (one_photo(items=[{"decisions": [5]}]), NAMED),
    (one_photo(items=[{"decisions": [{"returnItemId": 7, "images": {"0": "a"}}]}]), NAMED),
    (one_photo(items=[{"decisions": [{"returnItemId": 7, "images": [["a"]]}]}]), NAMED),
    (one_photo(items=[{"decisions": [{"returnItemId": True, "images": ["a"]}]}]), NAMED),
    (one_photo(items=[{"decisions": [{"returnItemId": None, "images": ["a"]}]}]), NAMED),
    (b"null", NAMED),
    (b"[]", NAMED),
    (b"{}", NAMED),
    (b"7", NAMED),
    (b"true", NAMED),
    (b'"text"', NAMED),
]


@pytest.mark.parametrize(("record", "codes"), [pytest.param(*row, id=repr(row[0][:60])) for row in RECORDS])
def test_an_odd_record_costs_only_itself(world: World, record: bytes, codes: set[ExitCode]) -> None:
    """The good records of its page are archived; the next night is complete, and the kept records are sound JSON."""
    photos = fill(world.market.stores[101], returns=3)
    world.sandbox.faults.add(with_record(record), kind="returns", times=ALWAYS)
    assert world.sync().exit_code in codes
    assert {row["image_hash"] for row in world.photo_rows(101) if row["state"] == "archived"} == {
        photo.image_hash for photo in photos
    }
    for path in world.archive.rglob(layout.RECORD_NAME):
        json.loads(path.read_text(), parse_constant=pytest.fail)
    world.sandbox.faults.clear()
    report = world.sync()
    assert report.exit_code is ExitCode.COMPLETE
    assert report.stores[0].watermark is not None
    world.assert_archive_is_right()


def paging(value: str) -> Action:
    """Put `value` in place of the page's token."""
    raw = f'"returns": [], "paging": {value}}}'.encode()
    return rewritten(lambda body: body[: body.rindex(b"]")] + raw.replace(b'"returns": []', b"]", 1) + b"}")


def token(value: str) -> Action:
    return paging(f'{{"nextPageToken": {value}}}')


PAGES = [
    ("paging null", paging("null"), FINE, True),
    ("paging {}", paging("{}"), FINE, True),
    ("token null", token("null"), FINE, True),
    ("token empty", token('""'), FINE, True),
    ("token true", token("true"), DOWN, True),
    ("token a number", token("7"), DOWN, True),
    ("token NaN", token("NaN"), DOWN, True),
    ("token a list", token("[]"), DOWN, True),
    ("token half a character", token('"\\ud800"'), DOWN, True),
    ("token with spaces", token('" a b\\u0000 "'), DOWN, True),
    ("token of 100 KB", token('"' + "x" * 100_000 + '"'), DOWN, True),
    ("paging a list", paging("[1]"), DOWN, True),
    ("paging a text", paging('"x"'), DOWN, True),
    ("byte order mark", rewritten(lambda body: b"\xef\xbb\xbf" + body), FINE, True),
    ("UTF-16", rewritten(lambda body: body.decode().encode("utf-16")), FINE, True),
    ("UTF-32", rewritten(lambda body: body.decode().encode("utf-32")), FINE, True),
    ("blanks around", rewritten(lambda body: b" \r\n\t" + body + b"\n\n"), FINE, True),
    ("NaN beside the records", rewritten(lambda body: b'{"x": NaN, ' + body[1:]), EITHER, True),
    ("a bad byte beside them", rewritten(lambda body: b'{"x": "\xff", ' + body[1:]), EITHER, True),
    ("garbage behind", rewritten(lambda body: body + b"garbage"), NAMED, True),
    ("a zero byte behind", rewritten(lambda body: body + b"\0"), NAMED, True),
    ("two documents", rewritten(lambda body: body + body), NAMED, True),
    ("garbage before", rewritten(lambda body: b"garbage" + body), DOWN, False),
    ("cut off", rewritten(lambda body: body[:-20]), DOWN, False),
    ("cut off in a text", rewritten(lambda body: body[: body.index(b"shopSku") + 3]), DOWN, False),
    ("empty", rewritten(lambda body: b""), DOWN, False),
    ("blanks", rewritten(lambda body: b"  \n"), DOWN, False),
    ("a list", rewritten(lambda body: b"[" + body + b"]"), DOWN, False),
    ("a text", rewritten(lambda body: b'"text"'), DOWN, False),
    ("null", rewritten(lambda body: b"null"), DOWN, False),
    ("NaN", rewritten(lambda body: b"NaN"), DOWN, False),
    ("{}", rewritten(lambda body: b"{}"), DOWN, False),
    ("no end of brackets", rewritten(lambda body: b"[" * 100_000), DOWN, False),
    ("no end of quotes", rewritten(lambda body: b'{"' + b'\\"' * 100_000), DOWN, False),
    ("result null", rewritten(lambda body: b'{"status": "OK", "result": null}'), DOWN, False),
    ("result a list", rewritten(lambda body: b'{"status": "OK", "result": []}'), DOWN, False),
    ("returns null", rewritten(lambda body: b'{"result": {"returns": null}}'), DOWN, False),
    ("returns an object", rewritten(lambda body: b'{"result": {"returns": {"0": {}}}}'), DOWN, False),
    ("returns NaN", rewritten(lambda body: b'{"result": {"returns": NaN}}'), DOWN, False),
    ("status ERROR", rewritten(lambda body: body.replace(b'"OK"', b'"ERROR"')), DOWN, False),
]


@pytest.mark.parametrize(("action", "codes", "is_read"), [pytest.param(*row, id=name) for name, *row in PAGES])
def test_an_odd_page_is_read_as_far_as_possible(
    world: World, action: Action, codes: set[ExitCode], *, is_read: bool
) -> None:
    """What can be read of it is archived, it never looks complete when it is not, and the next night is complete."""
    fill(world.market.stores[101], returns=3)
    world.sandbox.faults.add(action, kind="returns", times=ALWAYS)
    report = world.sync()
    assert report.exit_code in codes
    assert world.states() == ({"archived": 3} if is_read else {})
    assert (report.stores[0].watermark is not None) == (report.exit_code is ExitCode.COMPLETE)
    world.sandbox.faults.clear()
    assert world.sync().exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right()
