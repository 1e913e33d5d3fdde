"""The query of a listing: filters, limit and page token."""

import base64
import json
import re
import zlib
from dataclasses import dataclass
from datetime import date

from market_photos.sandbox.records import Record
from market_photos.sandbox.replies import Refused

_MAX_ORDER_IDS = 50
#: Makes every token begin with `+/`, so that a client which does not encode its query fails.
_SALT = b"\xfb\xff"

Query = dict[str, str]


@dataclass(frozen=True)
class Filters:
    """The filters of a listing; hashable, so that all pages of a listing share one sorted list."""

    from_date: date | None = None
    to_date: date | None = None
    type: str = ""
    statuses: frozenset[str] = frozenset()
    shipment_statuses: frozenset[str] = frozenset()
    order_ids: frozenset[int] = frozenset()

    def match(self, record: Record, updated: date, to_date_inclusive: bool) -> bool:
        """Return whether the listing contains the return that was updated on this day in Moscow."""
        return (
            (self.from_date is None or updated >= self.from_date)
            and (self.to_date is None or updated < self.to_date or (to_date_inclusive and updated == self.to_date))
            and (not self.type or record["returnType"] == self.type)
            and (not self.statuses or record.get("refundStatus") in self.statuses)
            and (not self.shipment_statuses or record.get("shipmentStatus") in self.shipment_statuses)
            and (not self.order_ids or record["orderId"] in self.order_ids)
        )


def filters_of(query: Query) -> Filters:
    """Return the filters of a query. Raises Refused if one is invalid."""
    order_ids = _listed(query, "orderIds")
    if len(order_ids) > _MAX_ORDER_IDS:
        raise Refused(400, "BAD_REQUEST", f"orderIds: at most {_MAX_ORDER_IDS}")
    try:
        return Filters(
            from_date=_day(query.get("fromDate")),
            to_date=_day(query.get("toDate")),
            type=query.get("type", ""),
            statuses=_listed(query, "statuses"),
            shipment_statuses=_listed(query, "shipmentStatuses"),
            order_ids=frozenset(map(int, order_ids)),
        )
    except ValueError as problem:
        raise Refused(400, "BAD_REQUEST", str(problem)) from problem


def limit_of(query: Query, default: int) -> int:
    """Return the number of records per page. Raises Refused if it is invalid."""
    text = query.get("limit", str(default))
    if not text.isdecimal() or int(text) < 1:
        raise Refused(400, "BAD_REQUEST", "limit must be at least 1")
    return int(text)


def offset_of(query: Query, filters: Filters) -> int:
    """Return where the page begins. Raises Refused for a bad token and for one of other filters."""
    token = query.get("pageToken", query.get("page_token"))
    if token is None:
        return 0
    try:
        offset, listing, _ = json.loads(base64.b64decode(token, validate=True).removeprefix(_SALT))
        if listing == _fingerprint(filters) and isinstance(offset, int) and offset >= 0:
            return offset
    except (ValueError, TypeError):
        pass
    raise Refused(400, "BAD_REQUEST", "Bad page token")


def paging(end: int, whole: int, filters: Filters) -> Query:
    """Return the `paging` of a page that ends at `end` of `whole` records."""
    return {"nextPageToken": token_at(end, filters)} if end < whole else {}


def token_at(offset: int, filters: Filters, nonce: int = 0) -> str:
    """Return a token of the page that begins at `offset`; each nonce gives another token."""
    content = json.dumps([max(0, offset), _fingerprint(filters), nonce])
    return base64.b64encode(_SALT + content.encode()).decode()


def _fingerprint(filters: Filters) -> int:
    parts = (value if not isinstance(value, frozenset) else sorted(value) for value in vars(filters).values())
    return zlib.crc32(repr(list(parts)).encode())


def _day(text: str | None) -> date | None:
    if text is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        raise ValueError(f"not a date as YYYY-MM-DD: {text}")
    return date.fromisoformat(text) if text else None


def _listed(query: Query, name: str) -> frozenset[str]:
    return frozenset(value for value in query.get(name, "").split(",") if value)
