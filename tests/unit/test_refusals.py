"""Paths are encoded once, and every refusal names the party that must act."""

import json
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from market_photos.market.refusals import LONGEST_WAIT, RateLimit, Reaction, clean, error_texts, parse_date, refusal
from market_photos.market.requests import (
    ApiRequest,
    Endpoint,
    campaigns_request,
    encode_segment,
    photo_request,
    return_request,
    returns_request,
    token_request,
)
from market_photos.model import PhotoKey

#: Wed, 09 Sep 2026 15:00:00 GMT
WALL = 1_788_966_000.0
UNTIL = "X-RateLimit-Resource-Until"
REMAINING = "X-RateLimit-Resource-Remaining"


def body(message: str = "", code: str = "SOME") -> bytes:
    return json.dumps({"status": "ERROR", "errors": [{"code": code, "message": message}]}).encode()


@pytest.mark.parametrize(
    ("ask", "expected"),
    [
        (token_request(), ApiRequest(Endpoint.TOKEN, "/v2/auth/token", (), "POST")),
        (campaigns_request(), ApiRequest(Endpoint.CAMPAIGNS, "/v2/campaigns", (("limit", "100"),))),
        (
            campaigns_request("t=/+"),
            ApiRequest(Endpoint.CAMPAIGNS, "/v2/campaigns", (("limit", "100"), ("pageToken", "t=/+"))),
        ),
        (
            returns_request(7, None, None),
            ApiRequest(Endpoint.RETURNS, "/v2/campaigns/7/returns", (("type", "RETURN"), ("limit", "100"))),
        ),
        (
            returns_request(7, "2026-01-01", "2026-01-31", "next"),
            ApiRequest(
                Endpoint.RETURNS,
                "/v2/campaigns/7/returns",
                (
                    ("type", "RETURN"),
                    ("fromDate", "2026-01-01"),
                    ("toDate", "2026-01-31"),
                    ("limit", "100"),
                    ("pageToken", "next"),
                ),
            ),
        ),
        (return_request(7, 8, 9), ApiRequest(Endpoint.RETURN, "/v2/campaigns/7/orders/8/returns/9")),
        (
            photo_request(PhotoKey(7, 8, 9, 10, "a/b+c=%2e д")),
            ApiRequest(
                Endpoint.PHOTO,
                "/v2/campaigns/7/orders/8/returns/9/decision/10/image/a%2Fb%2Bc%3D%252e%20%D0%B4",
            ),
        ),
    ],
)
def test_a_request_names_its_path_and_all_filters(ask: ApiRequest, expected: ApiRequest) -> None:
    """Every page repeats all filters; a hash is one segment of the path."""
    assert ask == expected


@given(st.text(min_size=1))
@example(".")
@example("..")
@example("%2e%2e")
def test_a_segment_is_encoded_once(text: str) -> None:
    """One decoding gives any hash back; no party on the way sees a separator or a step in the path."""
    segment = encode_segment(text)
    assert unquote(segment) == text
    assert segment.isascii()
    assert not set(segment) & set("/?#\\ ")
    assert segment not in {".", ".."}


@pytest.mark.parametrize(
    ("status", "message", "reaction"),
    [
        (400, "limit is wrong", Reaction.GIVE_UP),
        (400, "Bad page token", Reaction.RESTART_LISTING),
        (400, "page_token: cannot be parsed", Reaction.RESTART_LISTING),
        (401, "", Reaction.STOP_RUN),
        (403, "Access to API denied for the campaign", Reaction.SKIP_STORE),
        (403, "", Reaction.SKIP_STORE),
        (403, "Token lacks the required Scope", Reaction.STOP_RUN),
        (404, "Return '1' for order '2' is not found", Reaction.FORGET),
        (405, "", Reaction.GIVE_UP),
        (408, "", Reaction.RETRY),
        (410, "", Reaction.FORGET),
        (415, "", Reaction.GIVE_UP),
        (420, "Hit rate limit of 4 parallel requests for campaignId 12345", Reaction.YIELD_SLOT),
        (420, "Hit rate limit of 2 PARALLEL requests", Reaction.YIELD_SLOT),
        (420, "Hit rate limit of 5000 requests per 1 hour for resource X for Y", Reaction.WAIT_QUOTA),
        (420, "Hit rate limit of 10 000 points per 1 day", Reaction.WAIT_QUOTA),
        (420, "", Reaction.WAIT_QUOTA),
        (429, "too many parallel requests", Reaction.YIELD_SLOT),
        (429, "", Reaction.WAIT_QUOTA),
        (423, "", Reaction.LEAVE_STORE),
        (499, "", Reaction.RETRY),
        (500, "", Reaction.RETRY),
        (502, "", Reaction.RETRY),
        (503, "", Reaction.RETRY),
        (504, "", Reaction.RETRY),
        (599, "", Reaction.RETRY),
        (204, "", Reaction.GIVE_UP),
        (302, "", Reaction.GIVE_UP),
    ],
)
def test_each_refusal_names_who_must_act(status: int, message: str, reaction: Reaction) -> None:
    """Each status, and the words where the status has two meanings, name one who must act."""
    assert refusal(status, {}, body(message), WALL).reaction is reaction


@pytest.mark.parametrize(
    "content",
    [
        b"Hit rate limit of 4 parallel requests for campaignId 1",
        b"<html><h1>Hit rate limit of 4 Parallel requests</h1></html>",
        b'{"status":"ERROR","errors":["4 parallel requests"]}',
        b'{"status":"ERROR","errors":{"message":"4 parallel requests"}}',
        b'{"error":{"code":420,"message":"4 parallel requests"}}',
        b'{"status":"ERROR","errors":[{"message":"Hit rate limit of 4 parallel req',
        body("x" * 5000 + " parallel"),
        rb'{"errors":[{"message":"4 \u0070arallel requests"}]}',
    ],
)
def test_a_parallel_420_is_recognised_in_any_body(content: bytes) -> None:
    """The pause for a parallel 420 is seconds; for a quota it may be an hour."""
    assert refusal(420, {}, content, WALL).reaction is Reaction.YIELD_SLOT


@pytest.mark.parametrize("content", [b"<th scope=col>Forbidden", b"telescope", b'{"scope":"none"}'])
def test_only_the_api_itself_can_stop_the_run_for_a_scope(content: bytes) -> None:
    """A proxy's page that happens to hold the word is about one store at most."""
    assert refusal(403, {}, content, WALL).reaction is Reaction.SKIP_STORE


@pytest.mark.parametrize(
    ("content", "texts", "documented"),
    [
        (body("gone", "NOT_FOUND"), ("NOT_FOUND", "gone"), True),
        (b'{"status":"ERROR"}', ("ERROR", ""), True),
        (b'{"status":"ERROR","errors":null}', ("ERROR", ""), True),
        (b'{"errors":[{"code":"A","message":"x"},{"code":"A","message":"y"}]}', ("A", "x; y"), True),
        (b'{"errors":[{"code":"A"},{"code":"B"},{},null,7,"C",[]]}', ("A, B", ""), True),
        (b'{"errors":[{"code":7,"message":["x"]}]}', ("7", "(list)"), True),
        (b'\xef\xbb\xbf{"errors":[{"code":"BOM"}]}', ("BOM", ""), True),
        (rb'{"errors":[{"message":"a\u001b[31m\nb\ud800"}]}', ("", "a?[31m?b?"), True),
        (b'{"errors":{"code":"A"}}', ("", ""), False),
        (b'{"errors":7}', ("", ""), False),
        (b'{"status":"OK"}', ("", ""), False),
        (b'{"message":"no Route matched"}', ("", ""), False),
        (b"[]", ("", ""), False),
        (b"null", ("", ""), False),
        (b"", ("", ""), False),
        (b"<html>404</html>", ("", ""), False),
        ("Не найдено".encode("cp1251"), ("", ""), False),
        (b"[" * 100_000, ("", ""), False),
        (b'{"errors":[{"message":' + b"[" * 500 + b"]" * 500 + b"}]}", ("", "(list)"), True),
    ],
)
def test_error_bodies_of_any_shape_are_read(content: bytes, texts: tuple[str, str], documented: bool) -> None:
    """Codes and messages are taken where they are; a stub that is not the API's own is known as such."""
    assert error_texts(content) == texts
    assert refusal(404, {}, content, WALL).documented is documented


def test_a_refusal_is_one_printable_line() -> None:
    """Status, the server's words and the trace id for its support, in one printable line of bounded length."""
    found = refusal(404, {"traceparent": "00-ab\x1b-01"}, body("not found"), WALL)
    assert str(found) == "HTTP 404: not found (traceparent 00-ab?-01)"
    assert str(refusal(502, {}, b"<html>", WALL)) == "HTTP 502"
    assert str(refusal(400, {}, body("", "BAD"), WALL)) == "HTTP 400: BAD"
    many = json.dumps({"errors": [{"code": f"C{n}", "message": f"m{n}" * 99} for n in range(1000)]}).encode()
    assert len(str(refusal(400, {"traceparent": "t" * 999}, many, WALL))) < 450


def test_a_refusal_carries_the_wait_of_the_headers() -> None:
    assert refusal(420, {UNTIL: "Wed, 09 Sep 2026 15:18:00 GMT"}, body(), WALL).wait == 1080
    assert refusal(420, {}, body(), WALL).wait is None


@pytest.mark.parametrize(
    ("headers", "remaining", "renewed_in"),
    [
        ({}, None, None),
        ({REMAINING: "17"}, 17, None),
        ({REMAINING: " 0 "}, 0, None),
        ({REMAINING: "-1"}, None, None),
        ({REMAINING: "many"}, None, None),
        ({REMAINING: "²"}, None, None),
        ({REMAINING: "9" * 5000}, 999_999_999, None),
        ({UNTIL: "Wed, 09 Sep 2026 15:18:00 GMT"}, None, 1080),
        ({UNTIL: "Mon, 09 Sep 2026 15:18:00 GMT"}, None, 1080),  # the docs' own example has the weekday wrong
        ({UNTIL: "2026-09-09T18:18:00+03:00"}, None, 1080),
        ({UNTIL: "2026-09-09T15:18:00.5Z"}, None, 1080.5),
        ({UNTIL: "Wed, 09 Sep 2026 14:59:59 GMT"}, None, None),
        ({UNTIL: "Wed, 09 Sep 2026 15:00:00 GMT"}, None, None),
        ({UNTIL: "Wed, 09 Sep 9999 15:18:00 GMT"}, None, None),
        ({UNTIL: "soon"}, None, None),
        ({UNTIL: ""}, None, None),
        ({"Retry-After": "7"}, None, 7),
        ({"Retry-After": "0"}, None, None),
        ({"Retry-After": "9" * 5000}, None, None),
        ({"Retry-After": "-5"}, None, None),
        ({"Retry-After": "7", UNTIL: "Wed, 09 Sep 2026 15:18:00 GMT"}, None, 1080),
        ({"Retry-After": "7", UNTIL: "Wed, 09 Sep 2026 14:18:00 GMT"}, None, 7),
    ],
)
def test_quota_headers_are_optional_and_checked(
    headers: dict[str, str], remaining: int | None, renewed_in: float | None
) -> None:
    """Values that are absent, malformed, past or absurd count as unknown."""
    assert RateLimit.from_headers(headers, WALL) == (remaining, renewed_in)


@pytest.mark.parametrize(
    ("date", "renewed_in"),
    [
        ("Wed, 09 Sep 2026 15:00:00 GMT", 1080),
        ("Wed, 09 Sep 2026 15:00:02 GMT", 1080),  # whole seconds and a way: no skew
        ("Wed, 09 Sep 2026 14:59:58 GMT", 1080),
        ("Wed, 09 Sep 2026 15:10:00 GMT", 480),  # ours is ten minutes behind
        ("Wed, 09 Sep 2026 14:00:00 GMT", 4680),  # ours is an hour ahead
        ("Wed, 09 Sep 2026 15:18:00 GMT", None),
        ("Wed, 99 Sep 2026 15:10:00 GMT", 1080),
        ("", 1080),
    ],
)
def test_until_is_measured_by_the_servers_clock(date: str, renewed_in: float | None) -> None:
    """A wrong clock on this machine neither shortens nor lengthens the wait, where the server dates its answer."""
    assert (
        RateLimit.from_headers({UNTIL: "Wed, 09 Sep 2026 15:18:00 GMT", "Date": date}, WALL).renewed_in == renewed_in
    )


def test_until_without_a_server_date_is_unknown() -> None:
    """The answer's own Date tells; without one the wait is not known, whatever this machine's clock says."""
    until = {UNTIL: "Wed, 09 Sep 2026 15:18:00 GMT"}
    assert RateLimit.from_headers(until | {"Date": "Wed, 09 Sep 2026 15:00:00 GMT"}, None).renewed_in == 1080
    assert RateLimit.from_headers(until, None).renewed_in is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Wed, 09 Sep 2026 15:00:00 GMT", WALL),
        ("wed, 9 sep 2026 15:00:00 gmt", WALL),
        ("09 Sep 2026 15:00:00 GMT", WALL),
        ("Wed, 09 Sep 2026 18:00:00 +0300", WALL),
        ("Wed, 09 Sep 2026 15:00:00 -0000", WALL),
        ("Wed, 09 Sep 2026 15:00:00", WALL),
        ("Wednesday, 09-Sep-26 15:00:00 GMT", WALL),
        ("Wed Sep  9 15:00:00 2026", WALL),
        ("2026-09-09T18:00:00+03:00", WALL),
        ("2026-09-09T18:00:00.1+03:00", WALL + 0.1),
        ("2026-09-09T18:00:00.12+03:00", WALL + 0.12),
        ("2026-09-09T18:00:00.123+03:00", WALL + 0.123),
        ("2026-09-09T15:00:00Z", WALL),
        ("2026-09-09T15:00:00", WALL),
        ("2026-09-09", WALL - 15 * 3600),
        ("", None),
        (" ", None),
        ("GMT", None),
        ("2026-13-09", None),
        ("Wed, 09 Sep 2026 25:00:00 GMT", None),
        ("Wed, 09 Sep 99999999999999999999 15:00:00 GMT", None),
        ("Wed, 09 Sep 2026 15:00:00 +9999999999999999", None),
    ],
)
def test_dates_of_every_format_are_parsed(text: str, seconds: float | None) -> None:
    """HTTP dates of all three kinds and ISO dates with 0 to 3 fraction digits; without a zone they are UTC."""
    assert parse_date(text) == (None if seconds is None else pytest.approx(seconds))


MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1))  # noqa: DTZ001 - hypothesis wants them so
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(MOMENTS, ZONES)
def test_every_date_is_understood(naive: datetime, zone: timezone) -> None:
    moment = naive.replace(tzinfo=zone)
    assert parse_date(moment.isoformat()) == pytest.approx(moment.timestamp())
    whole = moment.replace(microsecond=0)
    assert parse_date(format_datetime(whole)) == whole.timestamp()
    assert parse_date(format_datetime(whole.astimezone(UTC), usegmt=True)) == whole.timestamp()


DATE_LIKE = st.text(alphabet="MonWedSepGT,:+-. 0123456789Z\x00²", max_size=40)
HEADERS = st.dictionaries(
    st.sampled_from([UNTIL, REMAINING, "Retry-After", "Date", "traceparent"]), st.text() | DATE_LIKE
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["code", "message", "errors", "status"]), inner),
)


@given(st.integers(100, 999), HEADERS, st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_answer_is_a_refusal(status: int, headers: dict[str, str], content: bytes) -> None:
    """It names the party that must act in one printable line; a wait is positive and bounded."""
    found = refusal(status, headers, content, WALL)
    assert found.status == status
    assert str(found).isprintable()
    assert found.wait is None or 0 < found.wait <= LONGEST_WAIT


@given(JSON | st.binary(), st.integers(0, 50))
def test_a_foreign_text_is_made_printable_and_bounded(value: Any, most: int) -> None:
    shown = clean(value, most)
    assert shown.isprintable()
    assert len(shown) <= most
