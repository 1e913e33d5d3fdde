"""Read the rows of the table: one per photo, with the same columns in every format."""

import datetime as dt
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownReturn, snapshot
from market_photos.clock import iso, moscow_midnight
from market_photos.record import Decision
from market_photos.text import encodable


class Row(NamedTuple):
    """A photo with its return, or a return without photos. Unknown texts are empty, unknown numbers None."""

    store: int
    order: int
    return_id: int
    created: str
    """The API's text, ISO 8601 with an offset; so is `updated`."""
    updated: str
    status: str
    shipment_status: str
    amount: Decimal | None
    """Of the return, else of the decision."""
    currency: str
    sku: str
    reason: str
    subreason: str
    decision: str
    comment: str
    item: int | None
    photo: int | None
    """The number of the photo in its return, from 1, in the order of the record."""
    pending: int
    """Photos of the return that are not downloaded yet."""
    image_hash: str
    state: str
    path: str
    """Relative to the archive, with `/`."""
    content_type: str
    """As the server sent it."""
    size: int | None
    sha256: str
    fetched_at: str
    """UTC."""
    note: str


class Column(NamedTuple):
    """A column of the table."""

    name: str
    label: str
    """The name of its heading, in `field` of values.toml."""
    kind: str
    """`text`, `number`, `money`, `time`, or the section of values.toml that holds its values."""


def _columns() -> Iterator[Column]:
    labels = {
        "return_id": "return",
        "status": "refund",
        "shipment_status": "shipment",
        "photo": "photo_number",
        "image_hash": "hash",
        "size": "size_bytes",
        "fetched_at": "downloaded",
    }
    kinds = {
        **dict.fromkeys(("store", "order", "return_id", "item", "photo", "pending", "size"), "number"),
        **dict.fromkeys(("created", "updated", "fetched_at"), "time"),
        **{name: name for name in ("reason", "subreason", "decision", "state")},
        "status": "refund",
        "shipment_status": "shipment",
        "amount": "money",
    }
    for field in Row._fields:
        # `return` cannot be a field, as it is a keyword of Python.
        name = "return" if field == "return_id" else field
        yield Column(name, labels.get(field, field), kinds.get(field, "text"))


COLUMNS = tuple(_columns())
NAMES = tuple(column.name for column in COLUMNS)


class Days(NamedTuple):
    """A range of days of creation in Moscow time, both ends included; None leaves an end open."""

    first: dt.date | None = None
    last: dt.date | None = None

    def seconds(self) -> tuple[int, int]:
        """Return the first moment of the range and the first one after it, in seconds since 1970."""
        since = moscow_midnight(self.first) if self.first else 0
        return since, moscow_midnight(self.last + dt.timedelta(days=1)) if self.last else 2**62


def index(archive: Path, campaigns: Iterable[int], days: Days, *, all_returns: bool = False) -> Iterator[Row]:
    """Yield the rows store by store, newest return first; `all_returns`: also returns without photos.

    Each store is read as it is at its first row, whatever a sync writes meanwhile. Raises CatalogUnusable.
    """
    for campaign in campaigns:  # one after another: a process may not open all of them at once
        with snapshot(archive, campaign) as store:
            for back in store.created(*days.seconds(), all_returns=all_returns):
                yield from _rows(back)


def _rows(back: KnownReturn) -> Iterator[Row]:
    pending = sum(photo.state is State.PENDING for photo in back.photos)
    for number, photo in enumerate(back.photos_in_order, 1):
        row = _row_of_return(back, back.record.decision_of(photo.key), pending)
        yield row._replace(
            item=photo.key.item,
            photo=number,
            image_hash=encodable(photo.key.image_hash),
            state=photo.state.value,
            path=f"{back.campaign}/{photo.path}" if photo.path else "",
            content_type=photo.content_type,
            size=photo.size,
            sha256=photo.sha256.hex(),
            fetched_at=iso(photo.changed_at) if photo.state is State.ARCHIVED else "",
            note=photo.note,
        )
    if not back.photos:
        yield _row_of_return(back, next(iter(back.record.decisions), Decision()), pending)


def _row_of_return(back: KnownReturn, decision: Decision, pending: int) -> Row:
    record = back.record
    amount = record.amount or decision.amount
    return Row(
        store=back.campaign,
        order=back.order,
        return_id=back.return_id,
        created=record.created or (iso(back.created_at) if back.created_at > 0 else ""),
        updated=record.updated,
        status=back.status or record.refund_status,
        shipment_status=record.shipment_status,
        amount=amount.value if amount else None,
        currency=amount.currency if amount else "",
        sku=decision.sku,
        reason=decision.reason,
        subreason=decision.subreason,
        decision=decision.decision,
        comment=decision.comment,
        item=decision.item,
        photo=None,
        pending=pending,
        image_hash="",
        state="none",
        path="",
        content_type="",
        size=None,
        sha256="",
        fetched_at="",
        note="",
    )
