"""An archive in object storage: its stores, and their catalogues in a scratch folder. See bucket.py."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from market_photos.archive import atomic, checkpoint, layout, lock, volume
from market_photos.archive.bucket import BucketPlace
from market_photos.archive.bucket_files import BucketFiles
from market_photos.archive.files import Opened
from market_photos.archive.hashing import in_threads
from market_photos.archive.held_folder import HeldFolder
from market_photos.archive.lease import LEASE_NAME, SLACK, TTL, Lease, LeaseState, is_probably_held
from market_photos.archive.lock import Lock, kept_free, note_elsewhere
from market_photos.archive.object_file import open_object
from market_photos.archive.objects import Bucket
from market_photos.archive.probe import WRITERS, require_conditional_puts, require_one_winner
from market_photos.archive.urgency import Urgency
from market_photos.clock import Clock
from market_photos.errors import CatalogDamaged, CatalogUnusable
from market_photos.settings import Archive as ArchiveSettings

#: Stores whose catalogues are fetched at the same time: mostly they wait for the storage.
FETCHING_THREADS = 16


class BucketArchive:
    """See place.Archive."""

    def __init__(self, settings: ArchiveSettings) -> None:
        self._settings = settings
        self.catalogs = settings.scratch
        self._bucket = Bucket(str(settings.url), settings.endpoint)
        self.name = self._bucket.url
        self.address = f"{self.name} at {settings.endpoint or 'AWS'}"

    def _claim_scratch(self) -> None:
        checkpoint.claim_scratch(self.catalogs, self.address)

    def fetch(self, campaigns: Iterable[int] = ()) -> Path:
        for error in self.fetch_each(campaigns).values():
            raise error
        return self.catalogs

    def fetch_each(self, campaigns: Iterable[int] = ()) -> dict[int, CatalogUnusable]:
        self._claim_scratch()
        stores = sorted(set(campaigns)) or self.stores()
        tried = zip(stores, in_threads(self._try_to_fetch, stores, FETCHING_THREADS), strict=True)
        return {campaign: error for campaign, error in tried if error}

    def _try_to_fetch(self, campaign: int) -> CatalogUnusable | None:
        try:
            self._fetch(campaign)
        except CatalogUnusable as error:
            return error
        return None

    def _fetch(self, campaign: int, failed: str = "") -> None:
        """Bring a catalogue up to date. `failed`: a checkpoint that could not be read just now."""
        folder = layout.store_folder(self.catalogs, campaign)
        found = self._bucket.get(f"{campaign}/{LEASE_NAME}")
        if found is None:
            return
        state = LeaseState.unpack(found)
        atomic.make_folder(folder)
        with volume.disk_errors(folder):
            note_elsewhere(folder, state.who if is_probably_held(state, found.modified) else None)
        is_at_work_here = lock.held_by(folder / layout.LOCK_NAME) is not None  # then its catalogue is a later one
        if state.checkpoint and not is_at_work_here and not checkpoint.is_current(folder, state.checkpoint):
            try:
                self._replace_catalog(state.checkpoint, folder)
            except CatalogDamaged:
                if state.checkpoint == failed:
                    raise
                self._fetch(campaign, failed=state.checkpoint)  # a run elsewhere may have replaced it meanwhile

    def _replace_catalog(self, latest: str, folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as fetched:
            checkpoint.bring_catalog(self._bucket, latest, Path(fetched))
            with kept_free(folder / layout.LOCK_NAME) as is_free, volume.disk_errors(folder):
                if is_free:
                    checkpoint.remove_catalog(folder)
                    Path(fetched, layout.CATALOG_NAME).rename(folder / layout.CATALOG_NAME)
                    checkpoint.mark(folder, latest)

    def stores(self) -> list[int]:
        numbers = map(layout.parse_store_folder, self._bucket.folders())
        return sorted(number for number in numbers if number is not None)

    def numbers(self) -> list[int]:
        return self.stores()

    def urgency(self, campaign: int) -> Urgency | None:
        found = self._bucket.get(f"{campaign}/{LEASE_NAME}")
        if found is None:
            return None
        state = LeaseState.unpack(found)
        return Urgency(state.lacks_photos, state.newest_return)

    def has_catalog(self, campaign: int) -> bool:
        found = self._bucket.get(f"{campaign}/{LEASE_NAME}")
        return found is not None and bool(LeaseState.unpack(found).checkpoint)

    def open(self, campaign: int, path: str) -> Opened:
        return open_object(self._bucket, f"{campaign}/{path}")

    def path_of(self, campaign: int, path: str) -> Path | None:
        return None

    takeover_seconds = 2 * (TTL + SLACK)
    is_changed_beside_runs = False
    is_looked_at_cheaply = False

    def files(self, campaign: int) -> BucketFiles:
        return BucketFiles(self._bucket, campaign)

    def check(self) -> Iterator[str]:
        require_conditional_puts(self._bucket)
        require_one_winner(self._bucket)
        yield f"the bucket {self.name} can be written, and keeps the conditions of puts: of {WRITERS} at once one won"

    def prepare(self) -> None:
        volume.require_marker(self.catalogs, self._settings.marker)
        self._claim_scratch()
        volume.require_room(self.catalogs, self._settings.min_free_bytes)
        require_conditional_puts(self._bucket)

    @contextmanager
    def opened(self, campaign: int, held_folder: HeldFolder, lock: Lock, clock: Clock) -> Iterator[BucketPlace]:
        with self._leased(campaign, held_folder, lock, clock) as place:
            place.bring_catalog()
            yield place

    @contextmanager
    def rebuilding(self, campaign: int, held_folder: HeldFolder, lock: Lock, clock: Clock) -> Iterator[BucketPlace]:
        with self._leased(campaign, held_folder, lock, clock, replaces_damaged=True) as place:
            place.drop_other_catalog()
            yield place

    @contextmanager
    def _leased(
        self, campaign: int, held_folder: HeldFolder, lock: Lock, clock: Clock, *, replaces_damaged: bool = False
    ) -> Iterator[BucketPlace]:
        self._claim_scratch()
        require_conditional_puts(self._bucket)  # upkeep does not prepare
        with Lease(self._bucket, campaign, lock.command, clock, replaces_damaged=replaces_damaged) as lease:
            held_folder.require_also = lease.require_valid
            yield BucketPlace(self._bucket, campaign, held_folder.folder, self._settings.min_free_bytes, lease)
