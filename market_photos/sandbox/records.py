"""Invent the API's records. The same seed gives the same records."""

import hashlib
import random
from datetime import datetime
from itertools import count
from typing import Any

from market_photos.clock import MOSCOW
from market_photos.sandbox import phrases

Record = dict[str, Any]


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


#: The value of a field that is left out of the record; None is the API's null.
ABSENT: Any = _Absent()


def present(value: Any) -> Any:
    """Return the value without its ABSENT fields, at any depth."""
    if isinstance(value, dict):
        return {name: present(inner) for name, inner in value.items() if inner is not ABSENT}
    return [present(inner) for inner in value] if isinstance(value, list) else value


def stamp(moment: datetime, number: int) -> str:
    """Return an ISO 8601 date with Moscow's offset and a fraction of 0 to 3 digits: the API sends all four forms."""
    local = moment.astimezone(MOSCOW)
    fraction = f"{local.microsecond:06d}"[: number % 4]
    return f"{local:%Y-%m-%dT%H:%M:%S}{'.' if fraction else ''}{fraction}+03:00"


class RecordFactory:
    """Numbers and fields of invented returns."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._rng = random.Random(seed)
        self._hashes, self._orders, self._decisions = count(1), count(500_000_001), count(70_000_001)
        # the two types of return have different ranges of ids
        self._ids = {"RETURN": count(40_000_001), "UNREDEEMED": count(3_000_000_001)}

    def image_hash(self) -> str:
        """Return a new hash of forty hex digits, the only form seen so far."""
        return hashlib.sha1(f"{self._seed}/{next(self._hashes)}".encode()).hexdigest()

    def return_id(self, type: str) -> int:
        """Return a new id of a return."""
        return next(self._ids.get(type, self._ids["RETURN"]))

    def order(self) -> int:
        """Return a new id of an order."""
        return next(self._orders)

    def decision(self, images: Any, comment: Any = ..., item: int | None = None) -> Record:
        """Return a decision; `item` is its returnItemId."""
        reason = self._rng.choice(list(phrases.REASONS))
        return {
            "returnItemId": item or next(self._decisions),
            "count": 1,
            "comment": self._rng.choice(phrases.COMMENTS) if comment is ... else comment,
            "reasonType": reason,
            "subreasonType": self._rng.choice(phrases.REASONS[reason]),
            "decisionType": self._rng.choice(phrases.DECISIONS),
            "images": images,
        }

    def item(self, decisions: Any) -> Record:
        """Return an item of a return."""
        number = self._rng.randrange(100_000, 999_999)
        return {"marketSku": number, "shopSku": self._rng.choice(phrases.SKUS), "count": 1, "decisions": decisions}

    def return_fields(self, type: str) -> Record:
        """Return the fields of a return that have no attribute."""
        refund = {"refundStatus": self._rng.choice(phrases.REFUND_STATUSES)} if type == "RETURN" else {}
        value = self._rng.randrange(300, 9_000)
        return {
            "shipmentStatus": self._rng.choice(phrases.SHIPMENT_STATUSES),
            "fastReturn": False,
            "amount": {"value": value, "currencyId": "RUR"},
            **refund,
        }
