"""Read the rows of the index: one per photo, with the same columns in every format."""

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownPhoto, snapshot
from market_photos.clock import iso, moscow_midnight
from market_photos.record import ReturnRecord
from market_photos.text import encodable


class Row(NamedTuple):
    """A photo with its return. Unknown texts are empty, unknown numbers None."""

    store: int
    order: int
    return_id: int
    created: str
    """The API's text, ISO 8601 with an offset; so is `updated`."""
    updated: str
    status: str
    sku: str
    reason: str
    subreason: str
    decision: str
    comment: str
    item: int
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


#: The names of the columns. `return` cannot be a field, as it is a keyword of Python.
COLUMNS = tuple("return" if name == "return_id" else name for name in Row._fields)
NUMBERS = frozenset({"store", "order", "return", "item", "size"})


class Days(NamedTuple):
    """A range of days of creation in Moscow time, both ends included; None leaves an end open."""

    first: dt.date | None = None
    last: dt.date | None = None

    def seconds(self) -> tuple[int, int]:
        """Return the first moment of the range and the first one after it, in seconds since 1970."""
        since = moscow_midnight(self.first) if self.first else 0
        return since, moscow_midnight(self.last + dt.timedelta(days=1)) if self.last else 2**62


def index(archive: Path, campaigns: Iterable[int], days: Days) -> Iterator[Row]:
    """Yield the rows store by store, newest return first. Raises CatalogUnusable.

    All stores are read as they are at the first row, whatever a sync writes meanwhile.
    """
    with ExitStack() as opened:
        snapshots = [opened.enter_context(snapshot(archive, campaign)) for campaign in campaigns]
        for store in snapshots:
            for return_ in store.with_photos(*days.seconds()):
                yield from (_row(photo, return_.record) for photo in return_.photos)


def _row(photo: KnownPhoto, record: ReturnRecord) -> Row:
    key, decision = photo.key, record.decision_of(photo.key)
    return Row(
        store=key.campaign,
        order=key.order,
        return_id=key.return_id,
        created=record.created,
        updated=record.updated,
        status=record.refund_status,
        sku=decision.sku,
        reason=decision.reason,
        subreason=decision.subreason,
        decision=decision.decision,
        comment=decision.comment,
        item=key.item,
        image_hash=encodable(key.image_hash),
        state=photo.state.value,
        path=f"{key.campaign}/{photo.path}" if photo.path else "",
        content_type=photo.content_type,
        size=photo.size,
        sha256=photo.sha256.hex(),
        fetched_at=iso(photo.changed_at) if photo.state is State.ARCHIVED else "",
        note=photo.note,
    )
