"""A store in object storage: photos and records as objects, the catalogue in a scratch folder while in use.

    <prefix>/<campaign>/lease.json                               who is at work, and the checkpoint that counts
    <prefix>/<campaign>/catalog/<sequence>-<holder>.sqlite3.gz   checkpoints of the catalogue
    <prefix>/<campaign>/photos/…                                 as in a folder

A clean end writes a checkpoint and then releases the lease. Whoever takes a lease over after a crash has a catalogue
that lacks the last run: the photos that came since are found by a listing, and the whole quota counts as spent.
"""

import asyncio
import hashlib
import logging
import mimetypes
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from market_photos.archive import checkpoint, layout, volume
from market_photos.archive.bucket_files import SHA256, stored
from market_photos.archive.lease import Lease, boottime
from market_photos.archive.objects import Bucket
from market_photos.archive.photo_file import Part, Stored, discarded_at_the_end
from market_photos.archive.place import TAKEN_OVER
from market_photos.archive.storage_errors import Conflict
from market_photos.archive.upload import UploadedPart
from market_photos.archive.urgency import Urgency
from market_photos.errors import ArchiveUnwritable, CatalogDamaged

log = logging.getLogger(__name__)

#: Seconds between two looks at the lease, beside those before each commit: an upload may hang.
GUARD_SECONDS = 1.0
#: During a run a checkpoint is written when the new photos weigh so many times as much as the last one, or as
#: CHECKPOINT_BYTES at least, and after so many seconds.
CHECKPOINT_SHARE = 10
CHECKPOINT_BYTES = 1_000_000
CHECKPOINT_SECONDS = 6 * 3600
#: In a store's scratch folder: photos that are being downloaded and do not fit into memory.
_PARTS = "parts"
#: Seconds before a checkpoint from which an object may be unknown to it: it was uploaded after it was made.
_UPLOAD_SECONDS = 600.0


class BucketPlace:
    """The photos of a store in a bucket, while its lease is held. See place.Place."""

    def __init__(self, bucket: Bucket, campaign: int, scratch: Path, floor: int | None, lease: Lease) -> None:
        self._bucket = bucket.while_valid(lease.require_valid)
        self._root = f"{campaign}/"
        self._scratch = scratch
        self._floor = floor
        self._lease = lease
        self._safe_size = 0
        self._safe_at = boottime()
        self._checkpoint_size = 0
        self._unknown: dict[Path, list[Path]] = {}
        """Photos that the checkpoint may not know, by folder."""

    @property
    def stamp(self) -> str:
        state = self._lease.state
        return f"{TAKEN_OVER}{state.holder}" if self._lease.is_taken_over else state.stamp

    def leave_stamp(self, stamp: str) -> None:
        self._lease.change(stamp=stamp)

    async def guard(self) -> None:
        while True:
            self._lease.require_valid()
            await asyncio.sleep(GUARD_SECONDS)

    @asynccontextmanager
    async def part(self, path: Path) -> AsyncIterator[Part]:
        async def upload(suffix: str, content: bytes | Path, stored: Stored) -> None:
            await self._upload(path.with_name(f"{path.name}{suffix}"), content, stored)

        parts = self._scratch / _PARTS / f"{path.parent.name}-{path.name}{layout.PART_SUFFIX}"
        async with discarded_at_the_end(UploadedPart(parts, self._floor, upload)) as part:
            yield part

    async def _upload(self, path: Path, content: bytes | Path, stored: Stored) -> None:
        """Put a photo. One that is there already is taken if it is the same; otherwise it is replaced."""
        attributes = _attributes(path, stored.sha256)
        try:
            await self._bucket.create_async(self._key(path), content, attributes)
        except Conflict:
            if not await asyncio.to_thread(self._holds, path, stored):
                await asyncio.to_thread(self._bucket.put, self._key(path), content, attributes)

    def _holds(self, path: Path, stored: Stored) -> bool:
        """Return whether the photo is there."""
        try:
            return self.stored(path) == stored
        except FileNotFoundError:
            return False

    def write(self, path: Path, content: bytes) -> None:
        self._bucket.put(self._key(path), content, _attributes(path, hashlib.sha256(content).digest()))

    def settle(self, folder: Path) -> None:
        """Do nothing: an object is durable when its put is answered."""

    def find(self, folder: Path, stem: str) -> Path | None:
        return next((path for path in self._unknown.get(folder, ()) if path.stem == stem), None)

    def stored(self, path: Path) -> Stored:
        return stored(self._bucket, self._key(path))

    def sweep(self, folder: Path, stem: str, *, parts_only: bool) -> int:
        """Do nothing: a bucket has no unfinished objects."""
        return 0

    def keep_safe(self, backup: Callable[[Path], None], size: int) -> None:
        """Write a checkpoint when the new photos weigh ten times as much as it, or after some hours."""
        is_worth = size - self._safe_size > CHECKPOINT_SHARE * max(self._size_of_the_last(), CHECKPOINT_BYTES)
        if is_worth or boottime() - self._safe_at > CHECKPOINT_SECONDS:
            try:
                self.checkpoint(backup)
            except ArchiveUnwritable as error:
                self._lease.require_valid()
                log.warning("%s The next attempt to write a checkpoint follows.", error.message)
            else:
                self._safe_size = size

    def _size_of_the_last(self) -> int:
        """Return the bytes of the last checkpoint, which may be an earlier run's."""
        if not self._checkpoint_size and (latest := self._lease.state.checkpoint):
            found = self._bucket.head(latest)
            self._checkpoint_size = found.size if found else 0
        return self._checkpoint_size

    def finish(self, backup: Callable[[Path], None], urgency: Urgency) -> None:
        self.checkpoint(backup, is_released=True, **urgency._asdict())

    def checkpoint(self, backup: Callable[[Path], None], *, is_released: bool = False, **changes: Any) -> None:
        """Upload the catalogue, and make the lease name it; remove earlier checkpoints. `changes`: of the lease.

        Later ones belong to a process that took over while this one stood still.
        """
        state = self._lease.state
        key = f"{self._root}catalog/{state.sequence:010}-{state.holder}.sqlite3.gz"
        packed = self._scratch / "checkpoint.sqlite3.gz"
        checkpoint.pack(backup, packed)
        self._bucket.put(key, packed)
        with volume.disk_errors(packed):
            self._checkpoint_size, self._safe_at = packed.stat().st_size, boottime()
            packed.unlink()
        self._lease.change(checkpoint=key, is_released=is_released, **changes)
        if is_released:
            checkpoint.mark(self._scratch, key)
        try:
            self._bucket.remove(
                *(found.key for found in self._bucket.walk(f"{self._root}catalog/") if found.key < key)
            )
        except ArchiveUnwritable as error:
            log.info("%s Earlier checkpoints are left there.", error.message)

    def bring_catalog(self) -> None:
        """Make the catalogue in the scratch folder that of the checkpoint. Raises CatalogDamaged."""
        latest = self._lease.state.checkpoint
        if self.stamp.startswith(TAKEN_OVER):  # by this process, or by a command since the last run
            self._look_for_unknown()
        elif not latest and self._has_photos():
            raise CatalogDamaged(
                f"{self._bucket.url}/{self._root}: its lease and its catalogue are lost, but there are photos.",
                checkpoint.REBUILD,
            )
        if not checkpoint.is_current(self._scratch, latest) or self._lease.is_taken_over:
            checkpoint.bring_catalog(self._bucket, latest, self._scratch)
        checkpoint.unmark(self._scratch)
        with volume.disk_errors(self._scratch):
            shutil.rmtree(self._scratch / _PARTS, ignore_errors=True)

    def drop_other_catalog(self) -> None:
        """Remove the catalogue in the scratch folder unless it is that of the checkpoint."""
        if not checkpoint.is_current(self._scratch, self._lease.state.checkpoint):
            with volume.disk_errors(self._scratch):
                checkpoint.remove_catalog(self._scratch)
        checkpoint.unmark(self._scratch)

    def _look_for_unknown(self) -> None:
        """List the photos that came after the checkpoint of the last run.

        A checkpoint that an owner's command made since does not count: it knows no more than that one.
        """
        latest = "" if self._lease.state.stamp.startswith(TAKEN_OVER) else self._lease.state.checkpoint
        made = self._bucket.head(latest) if latest else None
        since = made.modified - _UPLOAD_SECONDS if made else 0.0
        unknown = defaultdict(list)
        for found in self._bucket.walk(f"{self._root}{layout.PHOTOS}/"):
            path = Path(found.key.removeprefix(self._root))
            if found.modified >= since and found.size and layout.is_suffix(path.suffix) and "-" in path.stem:
                unknown[path.parent].append(path)
        self._unknown = dict(unknown)

    def _has_photos(self) -> bool:
        """Return whether the store has any photo."""
        return any(True for _ in self._bucket.walk(f"{self._root}{layout.PHOTOS}/"))

    def _key(self, path: Path) -> str:
        return f"{self._root}{path.as_posix()}"


def _attributes(path: Path, sha256: bytes) -> dict[str, str]:
    media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return {"Content-Type": media, SHA256: sha256.hex()}
