"""The Python interface: read an archive, and sync it. `market_photos` exports what is public here."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from random import SystemRandom
from typing import Any, BinaryIO

from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownPhoto, KnownReturn, snapshot
from market_photos.archive.place import Archive as Place
from market_photos.archive.places import open_archive
from market_photos.archive.stores import known_stores, select_stores
from market_photos.clock import SystemClock
from market_photos.config import Settings, find_config, load
from market_photos.console import redact
from market_photos.errors import ExitCode, MarketPhotosError, UsageError
from market_photos.record import Decision
from market_photos.reporting import report as reporting
from market_photos.reporting.summary import full_report
from market_photos.settings import Archive as ArchiveSettings
from market_photos.sync.plan import Nightly
from market_photos.sync.progress_file import write_progress
from market_photos.sync.run import Options, Run

__all__ = ["Archive", "ExitCode", "MarketPhotosError", "Photo", "Report", "Return", "State", "StoreReport"]

#: Later than every return, in seconds since 1970.
_END = 2**62


@dataclass(frozen=True)
class Photo:
    """A photo of a return. Unknown texts are empty."""

    item: int
    """The decision's `returnItemId`."""
    image_hash: str
    """The API's name of the photo."""
    state: State
    """`archived`, `pending`, `failed`, `gone` (the API no longer has it) or `pruned`."""
    path: Path | None
    """The file on this machine; None unless the photo is archived, and in a bucket. `Archive.open` reads both."""
    key: str
    """The file within the archive, such as `101/photos/2026-01/5-4/7-aa.jpg`; empty unless the photo is archived."""
    size: int | None
    """In bytes; None if it was never downloaded. `sha256` (hexadecimal) and `content_type` are empty then."""
    sha256: str
    content_type: str
    changed_at: dt.datetime
    """When it came into this state, in UTC."""
    note: str
    """Why it failed or is gone."""
    sku: str
    """The seller's SKU of the item; the other fields are the API's texts about the decision."""
    comment: str
    reason: str
    subreason: str
    decision: str


@dataclass(frozen=True)
class Return:
    """A return that has photos. Unknown texts are empty."""

    campaign: int
    """The number of the store."""
    store: str
    """The name of the store."""
    order: int
    return_id: int
    created: dt.datetime | None
    """In UTC; None if unknown."""
    refund_status: str
    """As the API writes it, such as `REFUNDED`."""
    folder: Path | None
    """The folder of its files, which exists once a photo has been archived; None in a bucket."""
    is_held: bool
    """Whether `hold` keeps it from pruning."""
    record: dict[str, Any]
    """The API's record, unchanged; empty if it was pruned."""
    photos: tuple[Photo, ...]
    """In the order of the record."""


@dataclass(frozen=True)
class _Counts:
    """The numbers of `sync --json`."""

    exit_code: ExitCode
    discovered: int
    """Photos in the catalogue: the sum of the next six."""
    downloaded: int
    already: int
    """Archived before this sync."""
    gone: int
    failed: int
    pending: int
    pruned: int
    bytes: int
    """Downloaded in this sync."""
    requests: int
    would_fetch: int | None
    """Photos that a sync would download; None unless this was a dry run."""


@dataclass(frozen=True)
class StoreReport(_Counts):
    """The result of a sync of one store."""

    campaign: int
    name: str
    error: str | None
    """Why the store could not be finished; None if it could."""


@dataclass(frozen=True)
class Report(_Counts):
    """The result of a sync. It is complete if `exit_code` is 0."""

    seconds: float
    text: str
    """The summary that the command line prints."""
    stores: tuple[StoreReport, ...]


class Archive:
    """An archive of photos. Reading creates nothing and disturbs no run.

    An archive in a bucket is read as its last run left it: reading brings the catalogues into `[archive] scratch`.

    >>> from market_photos import Archive, State
    >>> archive = Archive(directory)
    >>> archive.stores()
    [101]
    >>> for found in archive.returns():
    ...     print(found.order, found.created.date(), found.refund_status)
    ...     for photo in found.photos:
    ...         print("  ", photo.state, photo.sku, photo.path and photo.path.name)
    500000002 2026-09-19 REFUNDED
       archived чайник-1.7л 70000002-cc.jpg
    500000001 2026-09-18 REFUNDED
       archived чайник-1.7л 70000001-aa.jpg
       gone чайник-1.7л None
    >>> [found.return_id for found in archive.order(500000001)]
    [40000001]
    >>> with archive.open(found.photos[0]) as file:
    ...     len(file.read()) == found.photos[0].size
    True
    """

    def __init__(self, directory: str | Path) -> None:
        """`directory`: the folder of the archive. A sync takes the other settings from the environment."""
        self.directory = Path(directory)
        self._settings: Settings | None = None
        self._place: Place = open_archive(ArchiveSettings(directory=self.directory))

    @classmethod
    def from_config(cls, config: str | Path | None = None) -> "Archive":
        """Return the archive of a configuration: the file, else $MARKET_PHOTOS_CONFIG, else ./config.toml.

        Raises MarketPhotosError if it is wrong.
        """
        settings = load(find_config(Path(config) if config is not None else None))
        archive = cls(settings.archive.directory)
        archive._settings, archive._place = settings, open_archive(settings.archive)
        return archive

    def stores(self) -> list[int]:
        """Return the numbers of the stores in the archive. Blocks. Raises MarketPhotosError."""
        return self._place.stores()

    def returns(
        self, *campaigns: int, since: dt.datetime | None = None, until: dt.datetime | None = None
    ) -> Iterator[Return]:
        """Yield the returns that have photos, store by store, newest first.

        `campaigns`: only these stores. `since`, `until`: created at this moment or later, and before that moment.
        Each store is read as it is when its first return is yielded. Blocks. Raises MarketPhotosError.
        """
        for campaign in select_stores(self._place, campaigns):
            with snapshot(self._place.catalogs, campaign) as reader:
                for known in reader.created(_seconds(since, 0), _seconds(until, _END)):
                    yield self._return(known)

    def order(self, number: int) -> list[Return]:
        """Return the returns of an order, newest first. Blocks. Raises MarketPhotosError."""
        found: list[Return] = []
        catalogs = self._place.fetch()
        for campaign in known_stores(catalogs):
            with snapshot(catalogs, campaign) as reader:
                found += map(self._return, reader.numbered(number, []))
        return found

    def open(self, photo: Photo) -> BinaryIO:
        """Open the file of an archived photo for reading; it is never in memory as a whole. Blocks.

        Raises MarketPhotosError, and OSError where the file is missing or cannot be read.
        """
        if not photo.key:
            raise UsageError(f"Photo {photo.item}-{photo.image_hash} is {photo.state}: there is no file.")
        campaign, _, path = photo.key.partition("/")
        return self._place.open(int(campaign), path)

    async def sync(
        self,
        *campaigns: int,
        full: bool = False,
        dry_run: bool = False,
        max_photos: int | None = None,
        max_seconds: float | None = None,
    ) -> Report:
        """Download the photos of new and updated returns, as `market-photos sync` does; return what was done.

        Without `campaigns` it syncs the stores of the configuration. Nothing is printed, and [report] of the
        configuration is not used. A store that fails is in the report; MarketPhotosError is raised only if nothing
        could be done.
        """
        settings = self._settings
        if settings is None:
            others = load(None)
            section = others.archive.model_copy(update={"directory": self.directory, "url": None})
            settings = others.model_copy(update={"archive": section})
        redact.hide(settings.api_key())
        options = Options("sync, from Python", campaigns, max_seconds, max_photos, dry_run)
        run = Run(settings, Nightly(full), options, SystemClock(), SystemRandom())
        progress = asyncio.create_task(write_progress(run))
        try:
            return _report(await run())
        finally:
            progress.cancel()
            await asyncio.gather(progress, return_exceptions=True)

    def _return(self, known: KnownReturn) -> Return:
        created = known.created_at or None
        return Return(
            campaign=known.campaign,
            store=known.store,
            order=known.order,
            return_id=known.return_id,
            created=_utc(created) if created else None,
            refund_status=known.record.refund_status,
            folder=self._place.path_of(known.campaign, known.folder.as_posix()),
            is_held=known.is_held,
            record=known.raw,
            photos=tuple(_photo(self._place, photo, known.record.decision_of(photo.key)) for photo in known.photos),
        )


def _photo(place: Place, known: KnownPhoto, decision: Decision) -> Photo:
    return Photo(
        item=known.key.item,
        image_hash=known.key.image_hash,
        state=known.state,
        path=place.path_of(known.key.campaign, known.path) if known.path else None,
        key=f"{known.key.campaign}/{known.path}" if known.path else "",
        size=known.size,
        sha256=known.sha256.hex(),
        content_type=known.content_type,
        changed_at=_utc(known.changed_at),
        note=known.note,
        sku=decision.sku,
        comment=decision.comment,
        reason=decision.reason,
        subreason=decision.subreason,
        decision=decision.decision,
    )


def _report(report: reporting.Report) -> Report:
    told = report.as_json()
    stores = tuple(StoreReport(**_fields(StoreReport, store)) for store in told["stores"])
    return Report(**_fields(Report, told | {"text": "\n".join(full_report(report)), "stores": stores}))


def _fields(cls: type[_Counts], told: dict[str, Any]) -> dict[str, Any]:
    """Return those entries of the JSON report that the class has."""
    told = {"would_fetch": None} | told | {"exit_code": ExitCode(told["exit_code"])}
    return {field.name: told[field.name] for field in fields(cls)}


def _seconds(moment: dt.datetime | None, default: int) -> int:
    return default if moment is None else int(moment.timestamp())


def _utc(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, dt.UTC)
