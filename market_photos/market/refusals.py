"""What an answer other than a success means, and what its headers say of the quota.

Nothing in an answer is trusted to be present or well-formed: every status other than 200 becomes a `Refusal` that
says who must act.

Source: the official documentation of the Partner API, pages "Errors" and "Limits", November 2026.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, NamedTuple, Self

from market_photos.console import redact
from market_photos.market.json_body import parse_json

#: Quotas are counted by the hour, formerly by the day: a server that names a later time is mistaken. Seconds.
LONGEST_WAIT = 86_400


class Reaction(Enum):
    """Who must act on a refusal, and how."""

    STOP_RUN = "stop the run: the key is refused"
    SKIP_STORE = "skip the store: it is closed to this key"
    LEAVE_STORE = "leave the store for this run: it is being migrated"
    FORGET = "it is gone: record, do not ask again"
    YIELD_SLOT = "too many at once: pause, use fewer slots"
    WAIT_QUOTA = "the quota is spent: wait until it is renewed"
    RESTART_LISTING = "the page token is no longer good: list from the start"
    RETRY = "temporary: ask again after a pause"
    GIVE_UP = "asking again would not help"


#: The Market's own status of a limit, and the one that the world agreed upon.
_LIMITED = {420, 429}


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
    """A request that did not bring what was asked for."""

    reaction: Reaction
    reason: str
    """For people: status and the server's own words, or what happened on the wire. Never the key."""
    status: int | None = None
    wait: float | None = None
    """Seconds until the server says that it is worth asking again, where it says so."""
    documented: bool = True
    """Whether the body is the API's own: a proxy's 404 is no proof that a photo is gone."""

    def __str__(self) -> str:
        return self.reason


def refusal(status: int, headers: Mapping[str, str], body: bytes, now: float | None) -> Refusal:
    """What a response other than a success means. `now`: see `rate`."""
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
    """Return what another host's answer, after a redirect, means: this photo did not come.

    Only the configured origin speaks for the API: 401, 403, 404 or 429 of another host say nothing about the key, the
    store, the photo or the quota.
    """
    is_temporary = status >= 500 or status in _LIMITED or _REACTIONS.get(status) is Reaction.RETRY
    return Refusal(Reaction.RETRY if is_temporary else Reaction.GIVE_UP, f"{host} answers HTTP {status}", status)


def _reaction(status: int, text: str, body: bytes) -> Reaction:
    by_text = {
        # Only a missing scope concerns every store; all else is about this one.
        403: Reaction.STOP_RUN if "scope" in text else Reaction.SKIP_STORE,
        400: Reaction.RESTART_LISTING if "page token" in text or "page_token" in text else Reaction.GIVE_UP,
        # In the body, whatever its shape: an hour's wait for a slot that is free in a second would be dear.
        420: Reaction.YIELD_SLOT if b"parallel" in body or "parallel" in text else Reaction.WAIT_QUOTA,
    }
    by_text[429] = by_text[420]
    return by_text.get(status) or _REACTIONS.get(status) or (Reaction.RETRY if status >= 500 else Reaction.GIVE_UP)


def error_texts(body: bytes) -> tuple[str, str]:
    """Codes and messages of the API's error body; empty where the body is something else."""
    try:
        content = parse_json(body)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(content, dict):
        return "", ""
    errors = content.get("errors")
    found = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    codes = clean(", ".join(_values(found, "code")), 80)
    return codes or ("ERROR" if content.get("status") == "ERROR" else ""), clean(
        "; ".join(_values(found, "message")), 300
    )


def _values(errors: list[dict[str, Any]], name: str) -> list[str]:
    """Without repetitions, as many as a person reads."""
    return list(dict.fromkeys(clean(error[name], 300) for error in errors[:10] if error.get(name)))


def clean(value: Any, most: int) -> str:
    """A stranger's text, fit for one line of a terminal."""
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
    """Seconds; the API sends none today, a proxy in front of it may."""
    text = headers.get("Retry-After", "").strip()
    return _believable(float(text[:9])) if _is_number(text) else None


def _believable(wait: float | None) -> float | None:
    return wait if wait is not None and 0 < wait <= LONGEST_WAIT else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _seconds_until(until: str, date: str, now: float | None) -> float | None:
    end, said = parse_date(until), parse_date(date)
    # The Date counts whole seconds and took its time to arrive: within two seconds the clock knows better.
    if said is not None and (now is None or abs(said - now) > 2):
        now = said
    return None if end is None or now is None else end - now


def parse_date(text: str) -> float | None:
    """Seconds since 1970 of an HTTP or ISO date; None for anything else. The weekday is not looked at."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None
