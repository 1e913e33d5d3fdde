"""Decipher answers other than a success, and the headers about the quota.

Every status other than 200 becomes a `Refusal`, which says who must act. No part of an answer is trusted to be
present or well-formed.

Source: the API's documentation, pages "Errors" and "Limits", November 2026.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, NamedTuple, Self

from market_photos.console import redact
from market_photos.market.json_body import parse_json

#: Seconds. Quotas are counted by the hour, formerly by the day (page "Limits"): a later `Until` is an error.
LONGEST_WAIT = 86_400


class Reaction(Enum):
    """What to do after a refusal."""

    STOP_RUN = "stop the run: the key is refused"
    SKIP_STORE = "skip the store: it is closed to this key"
    LEAVE_STORE = "leave the store for this run: it is being migrated"
    FORGET = "it is gone: record, do not ask again"
    YIELD_SLOT = "too many at once: pause, use fewer slots"
    WAIT_QUOTA = "the quota is spent: wait until it is renewed"
    RESTART_LISTING = "the page token is no longer good: list from the start"
    RETRY = "temporary: ask again after a pause"
    GIVE_UP = "asking again would not help"


#: 420 is the API's status for a limit (page "Limits"); a proxy may answer 429.
_LIMITED = {420, 429}
#: By status, page "Errors"; the others depend on the body, see `_reaction`.
_REACTIONS = {
    401: Reaction.STOP_RUN,
    404: Reaction.FORGET,
    408: Reaction.RETRY,
    410: Reaction.FORGET,
    423: Reaction.LEAVE_STORE,
    425: Reaction.RETRY,
    499: Reaction.RETRY,
}


@dataclass(eq=False)
class Refusal(Exception):
    """A request that failed, with the reaction that it calls for."""

    reaction: Reaction
    reason: str
    """For people: the status and the server's message, or the connection error. Never the key."""
    status: int | None = None
    wait: float | None = None
    """Seconds until the next attempt may succeed; None if the server does not say."""
    documented: bool = True
    """Whether the body is an error of the API: a proxy's 404 is no proof that a photo is gone."""

    def __str__(self) -> str:
        return self.reason


def refusal(status: int, headers: Mapping[str, str], body: bytes, now: float | None) -> Refusal:
    """Return the refusal for an answer of the API. `now`: see `RateLimit.from_headers`."""
    codes, message = error_texts(body)
    reaction = _reaction(status, f"{codes} {message}".lower(), body.lower())
    trace = headers.get("traceparent", "")
    reason = f"HTTP {status}" + (f": {message or codes}" if message or codes else "")
    return Refusal(
        reaction,
        reason + (f" (traceparent {clean(trace, 60)})" if trace else ""),
        status,
        wait=RateLimit.from_headers(headers, now).renewed_in if status in _LIMITED else _retry_after(headers),
        documented=bool(codes or message),
    )


def refusal_elsewhere(status: int, host: str) -> Refusal:
    """Return the refusal for an answer of another host, after a redirect.

    Such an answer says nothing about the key, the store, the photo or the quota, whatever its status.
    """
    is_temporary = status >= 500 or status in _LIMITED or _REACTIONS.get(status) is Reaction.RETRY
    return Refusal(Reaction.RETRY if is_temporary else Reaction.GIVE_UP, f"{host} answers HTTP {status}", status)


def _reaction(status: int, text: str, body: bytes) -> Reaction:
    by_text = {
        # A missing scope concerns every store; any other 403 concerns this one.
        403: Reaction.STOP_RUN if "scope" in text else Reaction.SKIP_STORE,
        400: Reaction.RESTART_LISTING if "page token" in text or "page_token" in text else Reaction.GIVE_UP,
        # Searched in the raw body too: a wrong guess would wait an hour for a slot that is free in a second.
        420: Reaction.YIELD_SLOT if b"parallel" in body or "parallel" in text else Reaction.WAIT_QUOTA,
    }
    by_text[429] = by_text[420]
    return by_text.get(status) or _REACTIONS.get(status) or (Reaction.RETRY if status >= 500 else Reaction.GIVE_UP)


def error_texts(body: bytes) -> tuple[str, str]:
    """Return the codes and the messages of an error body; empty texts if it is no error body of the API."""
    try:
        content = parse_json(body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(content, dict):
        return "", ""
    errors = content.get("errors")
    found = [error for error in errors if isinstance(error, dict)][:10] if isinstance(errors, list) else []
    codes, messages = (
        list(dict.fromkeys(clean(error[name], 300) for error in found if error.get(name)))
        for name in ("code", "message")
    )
    no_code = "ERROR" if content.get("status") == "ERROR" else ""
    return clean(", ".join(codes), 80) or no_code, clean("; ".join(messages), 300)


def clean(value: Any, most: int) -> str:
    """Return untrusted text for one line of a terminal: redacted, printable, at most `most` characters."""
    text = str(value) if isinstance(value, str | int | float) else f"({type(value).__name__})"
    shown = redact(text)[:most]
    return shown if shown.isprintable() else "".join(char if char.isprintable() else "?" for char in shown)


class RateLimit(NamedTuple):
    """The quota of an answer's endpoint and store, as the answer's headers state it."""

    remaining: int | None
    """Requests that are left; None if the headers do not say."""
    renewed_in: float | None
    """Seconds until the quota is renewed, from 0 to LONGEST_WAIT; None if unknown or past."""

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], now: float | None) -> Self:
        """Read `X-RateLimit-Resource-Remaining`, `X-RateLimit-Resource-Until` and `Retry-After`.

        `now`: the server's time in seconds since 1970, None if it is unknown. `Until` is compared with the answer's
        own `Date` where it has one, as both come from the same clock.
        """
        remaining = headers.get("X-RateLimit-Resource-Remaining", "").strip()
        until = _seconds_until(headers.get("X-RateLimit-Resource-Until", ""), headers.get("Date", ""), now)
        return cls(int(remaining[:9]) if _is_number(remaining) else None, _believable(until) or _retry_after(headers))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the header's seconds. The API sends no such header (page "Limits"); a proxy may."""
    text = headers.get("Retry-After", "").strip()
    return _believable(float(text[:9])) if _is_number(text) else None


def _believable(wait: float | None) -> float | None:
    return wait if wait is not None and 0 < wait <= LONGEST_WAIT else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _seconds_until(until: str, date: str, now: float | None) -> float | None:
    end, answered = parse_date(until), parse_date(date)
    # A Date has whole seconds and took time to arrive: within two seconds the clock is more exact.
    if answered is not None and (now is None or abs(answered - now) > 2):
        now = answered
    return None if end is None or now is None else end - now


def parse_date(text: str) -> float | None:
    """Return the seconds since 1970 of an HTTP or ISO date; None for anything else.

    The weekday is ignored: the API's documentation itself shows a wrong one (page "Limits").
    """
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None
