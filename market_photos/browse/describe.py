"""What a person wants to know of a return: from the API's record, whatever shape it has. Pure.

Nothing in a record is trusted: a field may be absent, null, of another type, or hold text that no encoding can take.
"""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from market_photos.clock import MOSCOW

#: Longest text of a field that is shown, characters.
MOST_TEXT = 20_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")


class Decision(NamedTuple):
    """What the buyer said of one item, and what was decided."""

    item: int | None
    sku: str
    market_sku: str
    pieces: str
    comment: str
    reason: str
    subreason: str
    decision: str
    amount: str
    images: tuple[str, ...]


class Described(NamedTuple):
    """A return in words; empty where the record does not tell."""

    created: str
    updated: str
    refund: str
    shipment: str
    amount: str
    decisions: tuple[Decision, ...]

    def each(self, field: str) -> list[str]:
        """The values of a field over the decisions, each once, in their order, without empty ones."""
        return list(dict.fromkeys(value for decision in self.decisions if (value := getattr(decision, field))))


def describe(record: Any) -> Described:
    fields = _mapping(record)
    return Described(
        created=date_text(fields.get("creationDate")),
        updated=date_text(fields.get("updateDate")),
        refund=text(fields.get("refundStatus")),
        shipment=text(fields.get("shipmentStatus")),
        amount=_amount(fields.get("amount")),
        decisions=tuple(_decisions(fields)),
    )


def _decisions(fields: Mapping[str, Any]) -> Iterator[Decision]:
    for item in _mappings(fields.get("items")):
        for decision in _mappings(item.get("decisions")) or [{}]:
            number = decision.get("returnItemId")
            yield Decision(
                item=number if isinstance(number, int) else None,
                sku=text(item.get("shopSku")),
                market_sku=text(item.get("marketSku")),
                pieces=text(decision.get("count", item.get("count"))),
                comment=text(decision.get("comment")).strip(),
                reason=text(decision.get("reasonType")),
                subreason=text(decision.get("subreasonType")),
                decision=text(decision.get("decisionType")),
                amount=_amount(decision.get("amount")),
                images=tuple(image for image in _list(decision.get("images")) if isinstance(image, str)),
            )


def text(value: Any) -> str:
    """Text that every encoding takes, without control characters but tab and line feed."""
    if value is None or isinstance(value, dict | list):
        return ""
    plain = str(value)[:MOST_TEXT].replace("\r\n", "\n")
    return _CONTROL.sub("", plain.encode("utf-8", "replace").decode())


def date_text(value: Any) -> str:
    """`2026-11-20 14:05` in Moscow time; the API's own text where that is no date."""
    raw = text(value)
    try:
        moment = dt.datetime.fromisoformat(raw)
        return f"{(moment if moment.tzinfo is None else moment.astimezone(MOSCOW)):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return raw


def moment_text(seconds: float | None) -> str:
    """Seconds since 1970 as `2026-11-20 14:05` in Moscow time; empty for None."""
    if seconds is None:
        return ""
    try:
        return f"{dt.datetime.fromtimestamp(seconds, MOSCOW):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return ""


def _amount(value: Any) -> str:
    fields = _mapping(value)
    if "value" not in fields:
        return ""
    currency = text(fields.get("currencyId"))
    return f"{text(fields['value'])} {'₽' if currency in {'RUR', 'RUB'} else currency}".strip()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in _list(value) if isinstance(one, dict)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
