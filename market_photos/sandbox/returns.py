"""A return as the API describes it, and the filters and orders of listings."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from market_photos.clock import MOSCOW

if TYPE_CHECKING:
    from market_photos.sandbox.store import Store

Record = dict[str, Any]


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


#: The value of a field that is left out of the record; None is the API's null.
ABSENT: Any = _Absent()


class Return:
    """A return. Its attributes may be changed at any time; `record()` has their current values."""

    __slots__ = ("created", "fields", "id", "items", "order", "store", "type", "updated")

    store: "Store"
    id: int
    order: int
    created: datetime
    updated: datetime
    type: str
    items: list[Record]
    fields: Record

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        self.store.changed()

    def __repr__(self) -> str:
        return f"<Return {self.id} of order {self.order}, updated {self.updated:%Y-%m-%d}>"

    def decisions(self) -> list[Record]:
        """Return the decisions of all items, none if they are null or absent."""
        return [decision for item in self.items for decision in item.get("decisions") or () if decision]

    def record(self) -> Record:
        """Return the API's ReturnDTO."""
        dates = {"creationDate": stamp(self.created, self.id), "updateDate": stamp(self.updated, self.id + 1)}
        told = {"id": self.id, "orderId": self.order, "returnType": self.type, **dates, "items": self.items}
        record: Record = present(told | self.fields)
        return record


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


@dataclass(frozen=True)
class Filters:
    """The filters of a listing; hashable, so that all pages of a listing share one sorted list."""

    from_date: date | None = None
    to_date: date | None = None
    type: str = ""
    statuses: frozenset[str] = frozenset()
    shipment_statuses: frozenset[str] = frozenset()
    order_ids: frozenset[int] = frozenset()

    def passes(self, back: Return, to_date_inclusive: bool) -> bool:
        """Return whether the listing contains the return."""
        return (
            self._in_dates(back.updated.astimezone(MOSCOW).date(), to_date_inclusive)
            and (not self.type or back.type == self.type)
            and (not self.statuses or back.fields.get("refundStatus") in self.statuses)
            and (not self.shipment_statuses or back.fields.get("shipmentStatus") in self.shipment_statuses)
            and (not self.order_ids or back.order in self.order_ids)
        )

    def _in_dates(self, day: date, to_date_inclusive: bool) -> bool:
        if self.from_date and day < self.from_date:
            return False
        return self.to_date is None or day < self.to_date or (to_date_inclusive and day == self.to_date)


#: The API documents no order. "scattered" is stable but arbitrary, the most difficult one for a client.
ORDERS: dict[str, Callable[[Return], Any]] = {
    "scattered": lambda back: (zlib.crc32(str(back.id).encode()), back.id),
    "id": lambda back: back.id,
    "updated": lambda back: (back.updated, back.id),
}
