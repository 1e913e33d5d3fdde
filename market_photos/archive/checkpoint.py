"""Checkpoints of a catalogue: compressed copies in a bucket, and which of them the scratch folder holds."""

import gzip
import shutil
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from market_photos.archive import atomic, layout, volume
from market_photos.archive.objects import Bucket
from market_photos.archive.stores import numbered_folders
from market_photos.errors import CatalogDamaged, ConfigError

#: In the scratch folder: the archive whose catalogues it holds.
OWNER_NAME = "archive"
#: In a store's scratch folder: the key of the checkpoint that its catalogue equals.
MARKER_NAME = "checkpoint"
REBUILD = "Run `market-photos rebuild`: it makes a new catalogue from the photos, and nothing is downloaded again."


def claim_scratch(scratch: Path, archive: str) -> None:
    """Make a scratch folder without stores that of an archive. Raises ConfigError if it has stores of another one.

    `archive`: its address, in which a typo may stand until the bucket answers. Raises ArchiveUnwritable.
    """
    path = scratch / OWNER_NAME
    with volume.disk_errors(path):
        owner = path.read_text() if volume.is_there(path) else ""
        if owner == archive:
            return
        if owner and numbered_folders(scratch):
            raise ConfigError(
                f"{scratch}: holds the catalogues of {owner}, not of {archive}.",
                "Give each archive a scratch folder of its own. If only its address has changed, move this folder "
                "away while no run is at work: a new one is filled from the bucket.",
            )
        atomic.make_folder(scratch)
        with atomic.replacing(path, sync=False) as file:
            file.write(archive.encode())


def mark(scratch: Path, checkpoint: str) -> None:
    """Record that the catalogue in a scratch folder equals the checkpoint. Raises ArchiveUnwritable."""
    with volume.disk_errors(scratch / MARKER_NAME):
        (scratch / MARKER_NAME).write_text(checkpoint)


def unmark(scratch: Path) -> None:
    """Record that the catalogue in a scratch folder is about to change. Raises ArchiveUnwritable."""
    with volume.disk_errors(scratch / MARKER_NAME):
        (scratch / MARKER_NAME).unlink(missing_ok=True)


def is_current(scratch: Path, checkpoint: str) -> bool:
    """Return whether the catalogue in a scratch folder equals the checkpoint."""
    with suppress(OSError):
        return bool(checkpoint) and (scratch / MARKER_NAME).read_text() == checkpoint
    return False


def bring_catalog(bucket: Bucket, checkpoint: str, scratch: Path) -> None:
    """Replace the catalogue in a scratch folder by the checkpoint, or remove it if there is none.

    Raises CatalogDamaged if the checkpoint cannot be read.
    """
    target = scratch / layout.CATALOG_NAME
    with volume.disk_errors(target):
        remove_catalog(scratch)
        if not checkpoint:
            return
        try:
            with atomic.replacing(target) as file:
                unpacked = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
                for chunk in bucket.chunks(checkpoint):
                    file.write(unpacked.decompress(chunk))
                file.write(unpacked.flush())
                if not unpacked.eof:
                    raise CatalogDamaged(f"{bucket.url}/{checkpoint}: is cut off.", REBUILD)
        except (FileNotFoundError, zlib.error) as error:
            raise CatalogDamaged(f"{bucket.url}/{checkpoint}: cannot be read: {error}.", REBUILD) from error


def remove_catalog(scratch: Path) -> None:
    """Remove the catalogue in a scratch folder. Raises OSError."""
    for suffix in ("", "-wal", "-shm"):
        (scratch / f"{layout.CATALOG_NAME}{suffix}").unlink(missing_ok=True)


def pack(backup: Callable[[Path], None], target: Path) -> None:
    """Write what `backup` writes, compressed. Raises ArchiveUnwritable."""
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
