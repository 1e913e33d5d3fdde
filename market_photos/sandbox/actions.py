"""What can go wrong with an answer. Each function makes an action for `Faults.add`.

Instead of the answer     status, quota_420, parallel_420, redirect, raw
Late                      delay, drip
Never                     hang, endless
Broken off                cut (FIN), reset (RST), cut_chunked
Wrongly framed            wrong_length, no_length, chunked
Other content             body, html, text, nothing, error_with_200, content_type, content_encoding, encoded,
                          padded_to
Pages that mislead        repeated_token, empty_page, shift_page, edit, drop_paging, ever_new_tokens, empty_lists
Anything else             meanwhile (something happens in the world), headers
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
from market_photos.sandbox.limits import REMAINING, UNTIL
from market_photos.sandbox.paging import filters_of, offset_of, token_at
from market_photos.sandbox.replies import error, json_reply
from market_photos.sandbox.returns import Record
from market_photos.sandbox.wire import Reply

HTML = b"<html><head><title>502</title></head><body><h1>Bad Gateway</h1></body></html>"


def status(code: int, message: str | None = None, *, body: bytes | None = None, **names: str) -> Action:
    """Answer with this status and the API's error body; or with `body` (HTML, say) and no word of its type.

    `names` are further headers, `retry_after="5"`.
    """
    extra = {name.replace("_", "-").title(): value for name, value in names.items()}

    def act(call: Call, reply: Reply) -> Reply:
        told = error(code, f"ERROR_{code}", message or f"Status {code} on demand")
        kept = _without(reply.headers, "Content-Type")
        if body is not None:
            return replace(reply, status=code, headers=kept | extra, body=body)
        return replace(reply, status=code, headers=kept | told.headers | extra, body=told.body)

    return act


def quota_420(until: float | str | None = 3600.0) -> Action:
    """The quota is said to be spent until so many seconds from now (negative: past); text stands as it is; None: no
    such header."""

    def act(call: Call, reply: Reply) -> Reply:
        text = f"Hit rate limit of 5000 requests per 1 hour for resource {call.kind} for {call.campaign}"
        refused = status(420, text)(call, reply)
        if until is None:
            return replace(refused, headers=_without(refused.headers, UNTIL, REMAINING))
        date = until if isinstance(until, str) else formatdate(time.time() + until, usegmt=True)
        return replace(refused, headers=refused.headers | {UNTIL: date, REMAINING: "0"})

    return act


def parallel_420(parallel: int = 4) -> Action:
    def act(call: Call, reply: Reply) -> Reply:
        text = f"Hit rate limit of {parallel} parallel requests for campaignId {call.campaign}"
        return status(420, text)(call, reply)

    return act


def redirect(url: str | None = None, code: int = 302) -> Action:
    """To `url`; None: to the same address again, a loop."""

    def act(call: Call, reply: Reply) -> Reply:
        return replace(reply, status=code, headers={"Location": url or call.request.target}, body=b"")

    return act


def raw(head: bytes, body: bytes = b"") -> Action:
    """These bytes in the place of status line and headers."""
    return _with(raw=head, body=body, framing="close")


def delay(seconds: float) -> Action:
    return lambda call, reply: replace(reply, delay=reply.delay + seconds)


def drip(rate: float) -> Action:
    """The body at so many bytes per second."""
    return _with(rate=rate)


def hang(after: int | None = None) -> Action:
    """Say nothing; or the header and `after` bytes of the body, then nothing. No FIN until the client leaves."""
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
    """A chunked body that ends without its last chunk."""
    return _with(framing="chunked", stop_after=after)


def wrong_length(by: int) -> Action:
    """A Content-Length that is off by so much; the body is sent whole."""
    return lambda call, reply: replace(reply, declared=max(0, len(reply.body) + by))


def no_length() -> Action:
    """The close of the connection ends the body. With `cut`, nobody can tell that it is cut."""
    return _with(framing="close")


def chunked() -> Action:
    return _with(framing="chunked")


def body(content: bytes, content_type: str | None = "") -> Action:
    """Other bytes with the same status. Their type stays, or is `content_type`, or with None none at all."""

    def act(call: Call, reply: Reply) -> Reply:
        changed = replace(reply, body=content)
        return changed if content_type == "" else _typed(changed, content_type)

    return act


def html() -> Action:
    """200 with the page of a proxy."""
    return body(HTML, "text/html; charset=utf-8")


def text(words: str = "ok") -> Action:
    return body(words.encode(), "text/plain")


def nothing() -> Action:
    """200 with an empty body."""
    return body(b"")


def padded_to(size: int) -> Action:
    """A valid picture of exactly this many bytes."""
    return lambda call, reply: replace(reply, body=pictures.padded(size, reply.headers["Content-Type"]))


def error_with_200(message: str = "Internal error") -> Action:
    """`status: ERROR` in a 200."""

    def act(call: Call, reply: Reply) -> Reply:
        told = error(200, "INTERNAL_ERROR", message)
        return replace(reply, status=200, headers=reply.headers | told.headers, body=told.body)

    return act


def content_type(value: str | None) -> Action:
    """Call it something else; None: by no name at all."""
    return lambda call, reply: _typed(reply, value)


def content_encoding(value: str = "gzip") -> Action:
    """Say that the body is encoded, which it is not."""
    return headers({"Content-Encoding": value})


def encoded(value: str, encode: Callable[[bytes], bytes]) -> Action:
    """Send the body encoded, and say so."""

    def act(call: Call, reply: Reply) -> Reply:
        return replace(reply, headers=reply.headers | {"Content-Encoding": value}, body=encode(reply.body))

    return act


def headers(more: Mapping[str, str | None]) -> Action:
    """Further or other headers; None takes one away."""

    def act(call: Call, reply: Reply) -> Reply:
        merged = reply.headers | dict(more)
        return replace(reply, headers={name: value for name, value in merged.items() if value is not None})

    return act


def repeated_token() -> Action:
    """The next page's token is this page's own: a client that follows it never ends."""

    def act(page: Record, call: Call) -> None:
        if token := call.request.query.get("pageToken"):
            page["paging"] = {"nextPageToken": token}

    return edit(act)


def empty_page() -> Action:
    """No returns, but a fresh token that leads to them."""
    nonces = count(1)

    def act(page: Record, call: Call) -> None:
        _emptied(page)
        page["paging"] = {"nextPageToken": _token_near(call, 0, next(nonces))}

    return edit(act)


def shift_page(by: int) -> Action:
    """The next page begins `by` later than it should (returns are missed) or, negative, earlier (come twice)."""

    def act(page: Record, call: Call) -> None:
        listed = page.get("returns") or page.get("campaigns") or []
        if page.get("paging"):
            page["paging"] = {"nextPageToken": _token_near(call, len(listed) + by)}

    return edit(act)


def drop_paging() -> Action:
    """No `paging` at all, wherever more is to come."""
    return edit(lambda page, call: page.pop("paging", None))


def ever_new_tokens() -> Action:
    """The first page again and again, each time with a token that never came before."""
    nonces = count(1)

    def act(page: Record, call: Call) -> None:
        page["paging"] = {"nextPageToken": _token_at_start(call, next(nonces))}

    return edit(act)


def empty_lists() -> Action:
    """`images: []` and `decisions: []` for null: the official description allows null, absence or one entry."""

    def act(page: Record, call: Call) -> None:
        for item in [item for back in page.get("returns", []) for item in back["items"]]:
            item["decisions"] = item.get("decisions") or []
            for decision in item["decisions"]:
                decision["images"] = decision.get("images") or []

    return edit(act)


def edit(change: Callable[[Record, Call], Any]) -> Action:
    """Change the decoded answer: its `result`, or where there is none the whole. Errors stay as they are."""

    def act(call: Call, reply: Reply) -> Reply:
        if reply.status != 200:
            return reply
        content = json.loads(reply.body)
        change(content.get("result", content), call)
        return replace(reply, body=json_reply(content).body)

    return act


def meanwhile(happens: Callable[[], Any]) -> Action:
    """Something happens in the world while the answer, already made, is on its way."""

    def act(call: Call, reply: Reply) -> Reply:
        happens()
        return reply

    return act


def _with(**changes: Any) -> Action:
    return lambda call, reply: replace(reply, **changes)


def _broken(after: int | None, **changes: Any) -> Action:
    return _with(head=after is not None, stop_after=after or 0, **changes)


def _typed(reply: Reply, value: str | None) -> Reply:
    kept = _without(reply.headers, "Content-Type")
    return replace(reply, headers=kept if value is None else kept | {"Content-Type": value})


def _without(headers: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in names}


def _emptied(page: Record) -> None:
    for name in {"returns", "campaigns"} & page.keys():
        page[name] = []


def _token_at_start(call: Call, nonce: int) -> str:
    return token_at(0, filters_of(call.request.query), nonce)


def _token_near(call: Call, by: int, nonce: int = 0) -> str:
    query = call.request.query
    filters = filters_of(query)
    return token_at(max(0, offset_of(query, filters) + by), filters, nonce)
