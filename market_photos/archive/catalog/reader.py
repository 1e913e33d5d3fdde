"""Read returns and photos from a store's catalogue, also while a run writes to it.

Memory use does not depend on the number of rows. Every row is checked against `rules.sound` when it is read.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

from market_photos.archive import layout
from market_photos.archive.catalog.errors import record_of, unusable
from market_photos.archive.catalog.opening import has_photos, open_catalog
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.rules import sound
from market_photos.archive.volume import is_there
from market_photos.errors import CatalogDamaged, CatalogUnusable, UsageError
from market_photos.model import PhotoKey, ReturnRef
from market_photos.record import ReturnRecord, read_record

#: Returns read in one query where the catalogue is not held still.
BATCH = 500


class KnownPhoto(NamedTuple):
    """A photo on record."""

    row: int
    key: PhotoKey
    folder: str
    """The folder of its return, relative to the store's."""
    state: State
    changed_at: int
    """Time of the last change of state, seconds since 1970."""
    suffix: str
    """With its dot; empty if no file was ever stored. `size` and `sha256` are empty then too."""
    size: int | None
    sha256: bytes
    content_type: str
    """As the server sent it."""
    note: str
    failures: int
    """Runs that failed to download it."""
    not_before: int
    """The earliest time of the next attempt, seconds since 1970."""

    @property
    def stem(self) -> str:
        """The file name without its suffix."""
        return layout.photo_stem(self.key)

    @property
    def name(self) -> str:
        """The file name."""
        return f"{self.stem}{self.suffix}"

    @property
    def path(self) -> str:
        """The path relative to the store's folder, with `/`; empty unless the photo is archived."""
        return f"{self.folder}/{self.name}" if self.state is State.ARCHIVED else ""


@dataclass(frozen=True)
class KnownReturn:
    """A return on record, with its photos."""

    catalog: Path
    campaign: int
    store: str
    """The store's name; empty if unknown."""
    row: int
    order: int
    return_id: int
    month: str
    """The month of its folder, `2026-01` or `undated`."""
    created_at: int
    """Seconds since 1970; 0 if unknown."""
    status: str
    """`refundStatus`, also of a return without a record; empty if unknown."""
    is_saved: bool
    """Whether return.json should exist and hold the current record."""
    is_held: bool
    """Whether it is exempt from pruning."""
    packed_record: bytes | None
    photos: list[KnownPhoto]
    """In the order in which they became known."""

    @property
    def folder(self) -> Path:
        """The folder of its files, relative to the store's."""
        return layout.return_folder(self.month, ReturnRef(self.order, self.return_id))

    @cached_property
    def raw(self) -> dict[str, Any]:
        """The API's record; empty if it is not kept. Raises CatalogDamaged."""
        return record_of(self.catalog, self.packed_record) if self.packed_record else {}

    @cached_property
    def photos_in_order(self) -> list[KnownPhoto]:
        """The photos in the order of the record; `photos` has later ones last. Raises CatalogDamaged."""
        return sorted(self.photos, key=lambda photo: self.record.position(photo.key))

    def without_damage(self) -> Self:
        """Return the return itself, or without its record if that is damaged."""
        try:
            self.raw  # noqa: B018 - decodes it
        except CatalogDamaged:
            return replace(self, packed_record=None)
        return self

    @cached_property
    def record(self) -> ReturnRecord:
        """The fields of the API's record. Raises CatalogDamaged."""
        return read_record(self.raw)


_RETURNS = (
    "SELECT id, order_id, return_id, month, created_at, coalesce(status, ''), saved AND record IS NOT NULL, "
    "held_at IS NOT NULL, record "
    f"FROM returns r WHERE {sound('returns', 'r')} AND "
)
_PHOTOS = (
    # From the state on, the fields of KnownPhoto in their order.
    "SELECT id, item, image_hash, state, changed_at, coalesce(suffix, ''), size, coalesce(sha256, x''), "
    "coalesce(content_type, ''), coalesce(note, ''), failures, not_before "
    f"FROM photos p WHERE return_row = ? AND {sound('photos', 'p')} ORDER BY id"
)
_ARCHIVED = (
    f"SELECT id, month, order_id, return_id FROM returns r WHERE id > ? AND {sound('returns', 'r')} AND EXISTS "
    "(SELECT 1 FROM photos WHERE return_row = r.id AND +state = 'archived') ORDER BY id LIMIT ?"
)
_NEWEST_FIRST = "ORDER BY created_at DESC, id"


class Reader:
    """The returns of one store on one connection. Methods block and raise CatalogUnusable or ArchiveUnwritable."""

    def __init__(self, path: Path, campaign: int, connection: sqlite3.Connection) -> None:
        self._path = path
        self._campaign = campaign
        self._connection = connection

    @cached_property
    def name(self) -> str:
        """The store's name; empty if unknown."""
        return self._meta("name")

    def watermark(self) -> int | None:
        """Return up to when every return has been listed, seconds since 1970; None before that."""
        value = self._meta("watermark")
        return int(value) if value else None

    def awaiting(self, most: int = -1) -> Iterator[KnownReturn]:
        """Yield the returns that await the seller's decision, oldest first; at most so many."""
        return self._returns("awaits > 0 ORDER BY created_at, id LIMIT ?", most)

    def awaiting_count(self) -> int:
        """Return how many returns await the seller's decision."""
        return int(next(self.rows("SELECT count(*) n FROM returns WHERE awaits > 0"))["n"])

    def find(self, order: int, return_id: int) -> KnownReturn | None:
        """Return one return, or None."""
        return next(self._returns("return_id = ? AND order_id = ?", return_id, order), None)

    def get(self, row: int) -> KnownReturn:
        """Return the return in a row, which must exist."""
        return next(self._returns("id = ?", row))

    def numbered(self, order: int | None, return_ids: Sequence[int]) -> list[KnownReturn]:
        """Return the returns of an order, those with these ids, or both, newest first."""
        conditions = ["order_id = ?"] * (order is not None)
        conditions += ["return_id IN (SELECT value FROM json_each(?))"] * bool(return_ids)
        values = [order] * (order is not None) + [json.dumps(list(return_ids))] * bool(return_ids)
        # The inner query is answered by an index alone.
        rows = f"id IN (SELECT id FROM returns WHERE {' AND '.join(conditions)})"
        return list(self._returns(f"{rows} {_NEWEST_FIRST}", *values))

    def at(self, rows: Iterable[int]) -> list[KnownReturn]:
        """Return the returns in these rows, newest first."""
        return list(self._returns(f"id IN (SELECT value FROM json_each(?)) {_NEWEST_FIRST}", json.dumps(list(rows))))

    def created(self, since: int, until: int, *, all_returns: bool = False) -> Iterator[KnownReturn]:
        """Yield returns that have photos, newest first, created at `since` or later and before `until`.

        Both are in seconds since 1970; `all_returns`: also those without photos. Nothing may be written on this
        connection meanwhile.
        """
        chosen = "true" if all_returns else "EXISTS (SELECT 1 FROM photos WHERE return_row = r.id)"
        return self._returns(f"created_at >= ? AND created_at < ? AND {chosen} {_NEWEST_FIRST}", since, until)

    def archived_folders(self) -> Iterator[tuple[int, Path]]:
        """Yield row and folder of every return that has archived photos, in batches: rows may change meanwhile."""
        last = 0
        while batch := list(self.rows(_ARCHIVED, last, BATCH)):
            last = batch[-1]["id"]
            for row, month, order, return_id in batch:
                yield row, layout.return_folder(month, ReturnRef(order, return_id))

    def interrupt_when(self, is_stopped: Callable[[], bool], instructions: int) -> None:
        """Make queries fail once `is_stopped`; it is called after every so many instructions of SQLite."""
        self._connection.set_progress_handler(is_stopped, instructions)

    def rows(self, query: str, *values: object) -> Iterator[sqlite3.Row]:
        """Yield the rows of a query."""
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise unusable(self._path, error, self._connection) from error

    def _meta(self, key: str) -> str:
        rows = self.rows(f"SELECT value FROM meta m WHERE key = ? AND {sound('meta', 'm')}", key)
        return next((row["value"] for row in rows), "")

    def _returns(self, condition: str, *values: object) -> Iterator[KnownReturn]:
        for row, order, return_id, month, created_at, status, is_saved, is_held, record in self.rows(
            _RETURNS + condition, *values
        ):
            yield KnownReturn(
                catalog=self._path,
                campaign=self._campaign,
                store=self.name,
                row=row,
                order=order,
                return_id=return_id,
                month=month,
                created_at=created_at,
                status=status,
                is_saved=bool(is_saved),
                is_held=bool(is_held),
                packed_record=record,
                photos=self._photos(row, month, order, return_id),
            )

    def _photos(self, return_row: int, month: str, order: int, return_id: int) -> list[KnownPhoto]:
        folder = layout.return_folder(month, ReturnRef(order, return_id)).as_posix()
        return [
            KnownPhoto(row, PhotoKey(self._campaign, order, return_id, item, image_hash), folder, State(state), *rest)
            for row, item, image_hash, state, *rest in self.rows(_PHOTOS, return_row)
        ]


@contextmanager
def open_reader(archive: Path, campaign: int) -> Iterator[Reader]:
    """Open a store's catalogue for reading. Raises CatalogUnusable if it is missing or unusable."""
    path = layout.store_folder(archive, campaign) / layout.CATALOG_NAME
    if not is_there(path):
        raise CatalogUnusable(
            f"{path}: there is no catalogue of store {campaign}.",
            "Check --campaign and directory in [archive]. Where the photos are there and only the catalogue is lost: "
            "put it back from a backup, or run `market-photos rebuild`.",
        )
    is_lost = not path.stat().st_size and has_photos(path.with_name(layout.PHOTOS))
    with closing(open_catalog(path, campaign, read_only=True, may_be_new=not is_lost)) as connection:
        yield Reader(path, campaign, connection)


@contextmanager
def snapshot(archive: Path, campaign: int) -> Iterator[Reader]:
    """Open a store's catalogue as it is now: rows that change later are read as they were. Raises CatalogUnusable."""
    with open_reader(archive, campaign) as reader:
        list(reader.rows("BEGIN"))
        reader.name  # noqa: B018 - the first query decides which state is read
        yield reader


def returns_numbered(archive: Path, campaign: int, order: int | None, return_ids: Sequence[int]) -> list[KnownReturn]:
    """Return what `Reader.numbered` finds in one store. Raises CatalogUnusable."""
    with snapshot(archive, campaign) as reader:
        return reader.numbered(order, return_ids)


def only_return(found: Sequence[KnownReturn], return_id: int, order: int | None = None) -> KnownReturn:
    """Return the only return that was found with this number. Raises UsageError where there is none or several."""
    if not found:
        of_order = f" of order {order}" if order is not None else ""
        raise UsageError(
            f"The archive has no return {return_id}{of_order}.",
            "Check the numbers. To download a new one: `market-photos fetch --order ORDER`.",
        )
    if len(found) > 1:
        choices = "; ".join(f"--campaign {known.campaign} --order {known.order}" for known in found)
        raise UsageError(f"There are {len(found)} returns {return_id}.", f"Choose one: {choices}")
    return found[0]
