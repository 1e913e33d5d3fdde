"""What can go wrong with an answer. Each function returns an action for `Faults.add`.

Instead of the answer     status, quota_420, parallel_420, redirect, raw
Slow                      delay, drip
Without an end            hang, endless
Cut off                   cut (FIN), reset (RST), cut_chunked
Other framing             wrong_length, no_length, chunked
Other content             body, html, text, nothing, error_with_200, content_type, content_encoding, encoded,
                          padded_to
Misleading pages          repeated_token, empty_page, shift_page, edit, drop_paging, ever_new_tokens, empty_lists
Anything else             meanwhile (changes the Market during the answer), headers
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from email.utils import formatdate
from itertools import count
from typing import Any

from market_photos.sandbox import pictures
from market_photos.sandbox.api import Call
from market_photos.sandbox.faults import Action
from market_photos.sandbox.limits import REMAINING, UNTIL, Arrival, FixedWindow, parallel_text, quota_text
from market_photos.sandbox.listing import filters_of, offset_of, token_at
from market_photos.sandbox.records import Record
from market_photos.sandbox.replies import error, json_reply
from market_photos.sandbox.wire import Reply

HTML = b"<html><head><title>502</title></head><body><h1>Bad Gateway</h1></body></html>"


def status(code: int, message: str | None = None, *, body: bytes | None = None, **names: str) -> Action:
    """Answer with this status and the API's error body, or with `body` and no Content-Type.

    `names` are further headers: `retry_after="5"`.
    """
    extra = {name.replace("_", "-").title(): value for name, value in names.items()}

    def apply(call: Call, reply: Reply) -> Reply:
        problem = error(code, f"ERROR_{code}", message or f"Status {code} on demand")
        if body is not None:
            problem = Reply(body=body)
        kept = {name: value for name, value in reply.headers.items() if name != "Content-Type"}
        return replace(reply, status=code, headers=kept | problem.headers | extra, body=problem.body)

    return apply


def quota_420(until: float | str | None = 3600.0) -> Action:
    """Answer that the quota is spent.

    `until` is in seconds from now, negative for the past; a string is sent unchanged; None leaves the header out.
    """

    def apply(call: Call, reply: Reply) -> Reply:
        refused = status(420, quota_text(FixedWindow(5000), Arrival(call.kind, call.campaign, 0)))(call, reply)
        if until is None:
            return headers({UNTIL: None, REMAINING: None})(call, refused)
        date = until if isinstance(until, str) else formatdate(time.time() + until, usegmt=True)
        return headers({UNTIL: date, REMAINING: "0"})(call, refused)

    return apply


def parallel_420(parallel: int = 4) -> Action:
    """Answer that too many requests of the store are in flight."""
    return lambda call, reply: status(420, parallel_text(parallel, call.campaign))(call, reply)


def redirect(url: str | None = None, code: int = 302) -> Action:
    """Redirect to `url`, or to the same address again, which is a loop."""
    return lambda call, reply: replace(reply, status=code, headers={"Location": url or call.request.target}, body=b"")


def raw(head: bytes, body: bytes = b"") -> Action:
    """Send these bytes in place of the status line and the headers."""
    return _with(raw=head, body=body, framing="close")


def delay(seconds: float) -> Action:
    """Wait before the answer, in addition to other delays."""
    return lambda call, reply: replace(reply, delay=reply.delay + seconds)


def drip(rate: float) -> Action:
    """Send the body at this rate, in bytes per second."""
    return _with(rate=rate)


def hang(after: int | None = None) -> Action:
    """Send nothing, or the header and `after` bytes of the body, and keep the connection open."""
    return _broken(after, ending="hang")


def endless(head: bytes, piece: bytes, pause: float = 0.0) -> Action:
    """Send `head` in place of the answer, then `piece` every `pause` seconds until the client leaves."""
    return _with(raw=head, body=b"", framing="close", endless=(piece, pause))


def reset(after: int | None = None) -> Action:
    """Reset the connection before the header; or after `after` bytes of the body, negative from its end."""
    return _broken(after, ending="reset")


def cut(after: int | None = None) -> Action:
    """Close the connection before the header; or after `after` bytes of the body, negative from its end."""
    return _broken(after, ending="close")


def cut_chunked(after: int) -> Action:
    """Send a chunked body without its last chunk."""
    return _with(framing="chunked", stop_after=after)


def wrong_length(by: int) -> Action:
    """Send a Content-Length that is wrong by `by` bytes, and the whole body."""
    return lambda call, reply: replace(reply, declared=max(0, len(reply.body) + by))


def no_length() -> Action:
    """Send no Content-Length: the end of the connection ends the body. A cut is then not visible to the client."""
    return _with(framing="close")


def chunked() -> Action:
    """Send the body in chunks."""
    return _with(framing="chunked")


def body(content: bytes, content_type: str | None = "") -> Action:
    """Send other bytes with the same status. `content_type` replaces their type; None removes it."""

    def apply(call: Call, reply: Reply) -> Reply:
        typed = reply if content_type == "" else headers({"Content-Type": content_type})(call, reply)
        return replace(typed, body=content)

    return apply


def html() -> Action:
    """Answer 200 with an HTML page, as a proxy might."""
    return body(HTML, "text/html; charset=utf-8")


def text(words: str = "ok") -> Action:
    """Answer with plain text."""
    return body(words.encode(), "text/plain")


def nothing() -> Action:
    """Answer 200 with an empty body."""
    return body(b"")


def padded_to(size: int) -> Action:
    """Send a valid picture of exactly `size` bytes."""
    return lambda call, reply: replace(reply, body=pictures.padded(size, reply.headers["Content-Type"]))


def error_with_200(message: str = "Internal error") -> Action:
    """Answer 200 with `status: ERROR`."""
    problem = error(200, "INTERNAL_ERROR", message)
    return lambda call, reply: replace(reply, status=200, headers=reply.headers | problem.headers, body=problem.body)


def content_type(value: str | None) -> Action:
    """Send another Content-Type; None sends none."""
    return headers({"Content-Type": value})


def content_encoding(value: str = "gzip") -> Action:
    """Send a Content-Encoding for a body that is not encoded."""
    return headers({"Content-Encoding": value})


def encoded(value: str, encode: Callable[[bytes], bytes]) -> Action:
    """Send the body encoded, and say so."""
    return lambda call, reply: content_encoding(value)(call, replace(reply, body=encode(reply.body)))


def headers(more: Mapping[str, str | None]) -> Action:
    """Add or replace headers; None removes one."""

    def apply(call: Call, reply: Reply) -> Reply:
        merged = reply.headers | dict(more)
        return replace(reply, headers={name: value for name, value in merged.items() if value is not None})

    return apply


def repeated_token() -> Action:
    """Send the page's own token as that of the next page: a client that follows it never ends."""
    return _token(lambda page, call: call.request.query.get("pageToken"))


def empty_page() -> Action:
    """Send no returns, but a new token that leads to them."""
    nonces = count(1)

    def empty(page: Record, call: Call) -> str:
        for name in {"returns", "campaigns"} & page.keys():
            page[name] = []
        return token_at(_offset(call), filters_of(call.request.query), next(nonces))

    return _token(empty)


def shift_page(by: int) -> Action:
    """Let the next page begin `by` returns later, so that some are missed, or earlier, so that some come twice."""

    def shift(page: Record, call: Call) -> str | None:
        records = page.get("returns") or page.get("campaigns") or []
        shifted = _offset(call) + len(records) + by
        return token_at(shifted, filters_of(call.request.query)) if page.get("paging") else None

    return _token(shift)


def drop_paging() -> Action:
    """Send no `paging`, though there are more pages."""
    return edit(lambda page, call: page.pop("paging", None))


def ever_new_tokens() -> Action:
    """Send the first page for every token, each time with a new token of a next page."""
    nonces = count(1)
    return _token(lambda page, call: token_at(0, filters_of(call.request.query), next(nonces)))


def empty_lists() -> Action:
    """Send `images` and `decisions` as empty lists instead of null, which the API's description does not allow."""

    def apply(page: Record, call: Call) -> None:
        for item in [item for back in page.get("returns", []) for item in back["items"]]:
            item["decisions"] = item.get("decisions") or []
            for decision in item["decisions"]:
                decision["images"] = decision.get("images") or []

    return edit(apply)


def edit(change: Callable[[Record, Call], Any]) -> Action:
    """Change the decoded answer: its `result` if it has one, else all of it. Errors are not changed."""

    def apply(call: Call, reply: Reply) -> Reply:
        if reply.status != 200:
            return reply
        content = json.loads(reply.body)
        change(content.get("result", content), call)
        return replace(reply, body=json_reply(content).body)

    return apply


def meanwhile(happens: Callable[[], Any]) -> Action:
    """Call a function, for example to change the Market, between building the answer and sending it."""

    def apply(call: Call, reply: Reply) -> Reply:
        happens()
        return reply

    return apply


def _with(**changes: Any) -> Action:
    return lambda call, reply: replace(reply, **changes)


def _broken(after: int | None, **changes: Any) -> Action:
    return _with(head=after is not None, stop_after=after or 0, **changes)


def _token(next_token: Callable[[Record, Call], str | None]) -> Action:
    """Send this token of the next page; None leaves the page unchanged."""

    def change(page: Record, call: Call) -> None:
        if token := next_token(page, call):
            page["paging"] = {"nextPageToken": token}

    return edit(change)


def _offset(call: Call) -> int:
    query = call.request.query
    return offset_of(query, filters_of(query))
