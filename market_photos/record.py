"""Read the API's record of a return, the `ReturnDTO` of its documentation, into typed fields.

Nothing in a record is trusted: a field that is missing, null or of another type is empty here. Values of enumerations
and dates stay as the API writes them; every string can be encoded as UTF-8.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any, NamedTuple

from market_photos.model import PhotoKey
from market_photos.text import encodable

#: Values of `refundStatus` with which a return awaits the seller's decision: of DBS, and of FBY, FBS and Express.
AWAITING = frozenset({"WAITING_FOR_DECISION", "PREMODERATION_DECISION_WAITING"})
#: Larger amounts of money are no prices.
_MAX_AMOUNT = 10**12


class Amount(NamedTuple):
    """An amount of money."""

    value: Decimal
    currency: str
    """An ISO code, or `RUR` as the API writes roubles."""


class Goods(NamedTuple):
    """One piece of the goods: where it is, and by which codes it is known."""

    status: str = ""
    stock: str = ""
    """`stockType`: FIT, DEFECT …"""
    cis: str = ""
    imei: str = ""


class Decision(NamedTuple):
    """A decision of a return, with the item that it concerns."""

    item: int | None = None
    """`returnItemId`, the number in a photo's address."""
    sku: str = ""
    market_sku: str = ""
    quantity: int | None = None
    comment: str = ""
    reason: str = ""
    subreason: str = ""
    decision: str = ""
    amount: Amount | None = None
    images: tuple[str, ...] = ()
    """Image hashes, unchanged."""


@dataclass(frozen=True)
class ReturnRecord:
    """The fields of a return that pages and exports show."""

    created: str = ""
    """ISO 8601 with an offset."""
    updated: str = ""
    type: str = ""
    refund_status: str = ""
    shipment_status: str = ""
    recipient: str = ""
    """`shipmentRecipientType`: how the goods come back."""
    amount: Amount | None = None
    decisions: tuple[Decision, ...] = field(default=())
    """In the order of the record; an item without decisions has an empty one."""
    pickup_till: str = ""
    """Until when the store may pick the goods up."""
    pickup_point: str = ""
    """Name and address."""
    is_fast: bool = False
    """Whether the goods stay with the buyer."""
    tracks: tuple[str, ...] = ()
    goods: tuple[Goods, ...] = ()

    def decision_of(self, photo: PhotoKey) -> Decision:
        """Return the decision that lists the photo, else the first one of its item, else the item's empty one."""
        of_item = self._decisions.setdefault((photo.item, None), Decision(photo.item))
        return self._decisions.get((photo.item, photo.image_hash), of_item)

    def position(self, photo: PhotoKey) -> int:
        """Return where the record lists the photo, from 0; a photo that it does not list comes after all others."""
        return self._positions.get((photo.item, photo.image_hash), len(self._positions))

    def distinct(self, name: str) -> list[str]:
        """Return the different non-blank texts of a field of the decisions, in their order, stripped."""
        texts = (getattr(decision, name).strip() for decision in self.decisions)
        return list(dict.fromkeys(filter(None, texts)))

    @cached_property
    def _decisions(self) -> dict[tuple[int | None, str | None], Decision]:
        """By item and image hash, and by item alone."""
        found: dict[tuple[int | None, str | None], Decision] = {}
        for decision in self.decisions:
            for image in (None, *decision.images):
                found.setdefault((decision.item, image), decision)
        return found

    @cached_property
    def _positions(self) -> dict[tuple[int | None, str], int]:
        listed = [(decision.item, image) for decision in self.decisions for image in decision.images]
        return {photo: number for number, photo in enumerate(dict.fromkeys(listed))}


def read_record(record: Any) -> ReturnRecord:
    """Return the fields of a decoded record; of anything but an object, an empty one."""
    fields = _mapping(record)
    return ReturnRecord(
        created=_text(fields.get("creationDate")),
        updated=_text(fields.get("updateDate")),
        type=_text(fields.get("returnType")),
        refund_status=refund_status(fields),
        shipment_status=_text(fields.get("shipmentStatus")),
        recipient=_text(fields.get("shipmentRecipientType")),
        pickup_till=_text(fields.get("pickupTillDate")),
        pickup_point=_pickup_point(_mapping(fields.get("logisticPickupPoint"))),
        is_fast=fields.get("fastReturn") is True,
        tracks=tuple(dict.fromkeys(_text(track.get("trackCode")) for track in _of_items(fields, "tracks"))),
        goods=tuple(
            Goods(*(_text(one.get(name)) for name in ("status", "stockType", "cis", "imei")))
            for one in _of_items(fields, "instances")
        ),
        amount=_amount(fields.get("amount")),
        decisions=tuple(_decisions(fields)),
    )


def refund_status(record: Mapping[str, Any]) -> str:
    """Return `refundStatus` of a decoded record."""
    return _text(record.get("refundStatus"))


def _of_items(fields: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the objects in a list of every item."""
    return [member for item in _mappings(fields.get("items")) for member in _mappings(item.get(name))]


def _pickup_point(point: Mapping[str, Any]) -> str:
    address = _mapping(point.get("address"))
    parts = [point.get("name"), *(address.get(name) for name in ("city", "street", "house"))]
    return ", ".join(filter(None, map(_text, parts)))


def _decisions(fields: Mapping[str, Any]) -> Iterator[Decision]:
    for item in _mappings(fields.get("items")):
        for decision in _mappings(item.get("decisions")) or [{}]:
            yield Decision(
                item=_integer(decision.get("returnItemId")),
                sku=_text(item.get("shopSku")),
                market_sku=_text(item.get("marketSku")),
                quantity=_integer(decision.get("count", item.get("count"))),
                comment=_text(decision.get("comment")),
                reason=_text(decision.get("reasonType")),
                subreason=_text(decision.get("subreasonType")),
                decision=_text(decision.get("decisionType")),
                amount=_amount(decision.get("amount")),
                images=tuple(image for image in _list(decision.get("images")) if isinstance(image, str)),
            )


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, dict | list) else encodable(str(value))


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _amount(value: Any) -> Amount | None:
    fields = _mapping(value)
    try:
        number = Decimal(_text(fields.get("value")))
    except InvalidOperation:
        return None
    is_price = number.is_finite() and abs(number) < _MAX_AMOUNT
    return Amount(number, _text(fields.get("currencyId"))) if is_price else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [member for member in _list(value) if isinstance(member, dict)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
