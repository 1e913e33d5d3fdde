"""An archive in object storage: photos and records as objects, the catalogue in a scratch folder while in use.

    <prefix>/<campaign>/lease.json                      who is at work, and the checkpoint that counts
    <prefix>/<campaign>/catalog/<sequence>.sqlite3.gz   checkpoints of the catalogue
    <prefix>/<campaign>/photos/…                        as in a folder

A clean end writes a checkpoint and then releases the lease. Whoever takes a lease over after a crash has a catalogue
that lacks the last run: the photos that came since are found by a listing, and the whole quota counts as spent.
"""

import asyncio
import gzip
import hashlib
import mimetypes
import shutil
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from market_photos.archive import atomic, layout, volume
from market_photos.archive.held_folder import HeldFolder
from market_photos.archive.lease import Lease, boottime
from market_photos.archive.lock import Lock
from market_photos.archive.objects import Bucket, Conflict
from market_photos.archive.photo_file import Part, Stored, discarded_at_the_end, to_the_end
from market_photos.archive.probe import require_conditional_puts
from market_photos.clock import Clock
from market_photos.errors import CatalogDamaged
from market_photos.settings import Archive as ArchiveSettings

#: During a run a checkpoint is written when the new photos weigh so many times as much as the last one, or as
#: CHECKPOINT_BYTES at least, and after so many seconds.
CHECKPOINT_SHARE = 10
CHECKPOINT_BYTES = 1_000_000
CHECKPOINT_SECONDS = 6 * 3600
#: In a store's scratch folder: the key of the checkpoint that its catalogue equals.
_CHECKPOINT_NAME = "checkpoint"
#: In a store's scratch folder: photos that are being downloaded and do not fit into memory.
_PARTS = "parts"
#: A stamp that no catalogue knows, so that it counts as older than the last run.
_NO_STAMP = "the lease was taken over"
#: Seconds before a checkpoint from which an object may be unknown to it: it was uploaded after it was made.
_UPLOAD_SECONDS = 600.0
#: The attribute of a photo with its SHA-256.
_SHA256 = "sha256"


Upload = Callable[[str, bytes | Path, Stored], Awaitable[None]]


class UploadedPart(Part):
    """A new photo that is put into a bucket. One that is streamed is collected in the scratch folder."""

    def __init__(self, path: Path, floor: int | None, upload: Upload) -> None:
        super().__init__(path, floor, atomic.make_folder)
        self._upload = upload

    async def finish(self) -> bytes:
        """Return the SHA-256 of the whole photo. Raises ArchiveUnwritable."""
        await to_the_end(asyncio.to_thread(self._finish))
        return self._hash.digest()

    async def prepare(self, suffix: str) -> None:
        """Put the photo into the bucket. Raises ArchiveUnwritable."""
        sha256 = await self.finish()
        content = self.path if self._file else b"".join(self._gathered)
        await self._upload(suffix, content, Stored(self.size, sha256))

    def commit(self, suffix: str) -> Stored:
        """Return size and hash: the photo is in the bucket since `prepare`."""
        return Stored(self.size, self._hash.digest())

    def _finish(self) -> None:
        if self._is_finished:
            return
        if self._file:
            with volume.disk_errors(self.path):
                self._put(self._file.fileno())
        else:
            self._hash.update(b"".join(self._gathered))
        self._is_finished = True


class BucketPlace:
    """The photos of a store in a bucket, while its lease is held. See place.Place."""

    def __init__(self, bucket: Bucket, campaign: int, scratch: Path, floor: int | None, lease: Lease) -> None:
        self._bucket = bucket
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
        return _NO_STAMP if self._lease.is_taken_over else self._lease.state.stamp

    def leave_stamp(self, stamp: str) -> None:
        self._lease.change(stamp=stamp)

    @asynccontextmanager
    async def part(self, path: Path) -> AsyncIterator[Part]:
        async def upload(suffix: str, content: bytes | Path, stored: Stored) -> None:
            await self._upload(path.with_name(f"{path.name}{suffix}"), content, stored)

        parts = self._scratch / _PARTS / f"{path.parent.name}-{path.name}{layout.PART_SUFFIX}"
        async with discarded_at_the_end(UploadedPart(parts, self._floor, upload)) as part:
            yield part

    async def _upload(self, path: Path, content: bytes | Path, stored: Stored) -> None:
        """Put a photo. One that is there already is taken if it is the same; otherwise it is replaced."""
        media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        attributes = {"Content-Type": media, _SHA256: stored.sha256.hex()}
        try:
            await self._bucket.create_async(self._key(path), content, attributes)
        except Conflict:
            if await asyncio.to_thread(self.stored, path) != stored:
                await asyncio.to_thread(self._bucket.put, self._key(path), content, attributes)

    def write(self, path: Path, content: bytes) -> None:
        self._bucket.put(self._key(path), content)

    def settle(self, folder: Path) -> None:
        """Do nothing: an object is durable when its put is answered."""

    def find(self, folder: Path, stem: str) -> Path | None:
        return next((path for path in self._unknown.get(folder, ()) if path.stem == stem), None)

    def stored(self, path: Path) -> Stored:
        key = self._key(path)
        found = self._bucket.head(key)
        if found and len(known := found.attributes.get(_SHA256, "")) == hashlib.sha256().digest_size * 2:
            return Stored(found.size, bytes.fromhex(known))
        digest, size = hashlib.sha256(), 0
        for chunk in self._bucket.chunks(key):
            digest.update(chunk)
            size += len(chunk)
        return Stored(size, digest.digest())

    def sweep(self, folder: Path, stem: str, *, parts_only: bool) -> int:
        """Do nothing: a bucket has no unfinished objects."""
        return 0

    def keep_safe(self, backup: Callable[[Path], None], size: int) -> None:
        """Write a checkpoint when the new photos weigh ten times as much as it, or after some hours."""
        is_worth = size - self._safe_size > CHECKPOINT_SHARE * max(self._checkpoint_size, CHECKPOINT_BYTES)
        if is_worth or boottime() - self._safe_at > CHECKPOINT_SECONDS:
            self.checkpoint(backup)
            self._safe_size = size

    def finish(self, backup: Callable[[Path], None]) -> None:
        self.checkpoint(backup, is_released=True)

    def checkpoint(self, backup: Callable[[Path], None], *, is_released: bool = False) -> None:
        """Upload the catalogue, and make the lease name it; remove earlier checkpoints.

        Later ones belong to a process that took over while this one stood still.
        """
        self._lease.require_valid()
        key = f"{self._root}catalog/{self._lease.state.sequence:010}.sqlite3.gz"
        packed = self._scratch / "checkpoint.sqlite3.gz"
        _pack(backup, packed)
        self._bucket.put(key, packed)
        self._checkpoint_size, self._safe_at = packed.stat().st_size, boottime()
        packed.unlink()
        self._lease.change(checkpoint=key, is_released=is_released)
        if is_released:
            (self._scratch / _CHECKPOINT_NAME).write_text(key)
        self._bucket.remove(*(found.key for found in self._bucket.walk(f"{self._root}catalog/") if found.key < key))

    def look_for_unknown(self) -> None:
        """List the photos that came after the checkpoint."""
        checkpoint = self._lease.state.checkpoint
        made = self._bucket.head(checkpoint) if checkpoint else None
        since = made.modified - _UPLOAD_SECONDS if made else 0.0
        unknown = defaultdict(list)
        for found in self._bucket.walk(f"{self._root}{layout.PHOTOS}/"):
            path = Path(found.key.removeprefix(self._root))
            if found.modified >= since and found.size and layout.is_suffix(path.suffix) and "-" in path.stem:
                unknown[path.parent].append(path)
        self._unknown = dict(unknown)

    def has_photos(self) -> bool:
        """Return whether the store has any photo."""
        return any(True for _ in self._bucket.walk(f"{self._root}{layout.PHOTOS}/"))

    def _key(self, path: Path) -> str:
        return f"{self._root}{path.as_posix()}"


class BucketArchive:
    """See place.Archive."""

    def __init__(self, settings: ArchiveSettings) -> None:
        self._settings = settings
        self.catalogs = settings.scratch
        self._bucket = Bucket(str(settings.url), settings.endpoint)

    def prepare(self) -> None:
        volume.require_marker(self.catalogs, self._settings.marker)
        atomic.make_folder(self.catalogs)
        volume.require_room(self.catalogs, self._settings.min_free_bytes)
        require_conditional_puts(self._bucket)

    @contextmanager
    def opened(self, campaign: int, held_folder: HeldFolder, lock: Lock, clock: Clock) -> Iterator[BucketPlace]:
        scratch = held_folder.folder
        with Lease(self._bucket, campaign, lock.command, clock) as lease:
            held_folder.require_also = lease.require_valid
            place = BucketPlace(self._bucket, campaign, scratch, self._settings.min_free_bytes, lease)
            checkpoint = lease.state.checkpoint
            if lease.is_taken_over:
                place.look_for_unknown()
            elif not checkpoint and place.has_photos():
                raise CatalogDamaged(
                    f"{self._bucket.url}/{campaign}: its lease and its catalogue are lost, but there are photos.",
                    _REBUILD,
                )
            if not is_current(scratch, checkpoint) or lease.is_taken_over:
                bring_catalog(self._bucket, checkpoint, scratch)
            with volume.disk_errors(scratch):
                (scratch / _CHECKPOINT_NAME).unlink(missing_ok=True)
                shutil.rmtree(scratch / _PARTS, ignore_errors=True)
            yield place


_REBUILD = "Run `market-photos rebuild`: it makes a new catalogue from the photos, and nothing is downloaded again."


def is_current(scratch: Path, checkpoint: str) -> bool:
    """Return whether the catalogue in a scratch folder equals the checkpoint."""
    with suppress(OSError):
        return bool(checkpoint) and (scratch / _CHECKPOINT_NAME).read_text() == checkpoint
    return False


def bring_catalog(bucket: Bucket, checkpoint: str, scratch: Path) -> None:
    """Replace the catalogue in a scratch folder by the checkpoint, or remove it if there is none.

    Raises CatalogDamaged if the checkpoint cannot be read.
    """
    target = scratch / layout.CATALOG_NAME
    with volume.disk_errors(target):
        for suffix in ("", "-wal", "-shm"):
            target.with_name(f"{target.name}{suffix}").unlink(missing_ok=True)
        if not checkpoint:
            return
        try:
            with atomic.replacing(target) as file:
                unpacked = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
                for chunk in bucket.chunks(checkpoint):
                    file.write(unpacked.decompress(chunk))
                file.write(unpacked.flush())
                if not unpacked.eof:
                    raise CatalogDamaged(f"{bucket.url}/{checkpoint}: is cut off.", _REBUILD)
        except (FileNotFoundError, zlib.error) as error:
            raise CatalogDamaged(f"{bucket.url}/{checkpoint}: cannot be read: {error}.", _REBUILD) from error


def _pack(backup: Callable[[Path], None], target: Path) -> None:
    copy = target.with_suffix("")
    with volume.disk_errors(target):
        copy.unlink(missing_ok=True)
        try:
            backup(copy)
            with (
                copy.open("rb") as source,
                atomic.replacing(target, sync=False) as file,
                gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1) as packed,
            ):
                shutil.copyfileobj(source, packed, 1024 * 1024)
        finally:
            copy.unlink(missing_ok=True)
