"""The files in a return's folder that outlive the catalogue, and what browse has made of a store."""

import json
import shutil
from pathlib import Path

from market_photos.archive import layout, volume
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownReturn
from market_photos.archive.files import StoreFiles


def write_hold(files: StoreFiles, folder: Path, command: str, since: str) -> None:
    """Write the file that keeps a hold when the catalogue is lost. Raises ArchiveUnwritable."""
    text = f"Kept from `market-photos prune` since {since} by: {command}\n"
    files.write(folder / layout.HOLD_NAME, text.encode())


def remove_hold(files: StoreFiles, folder: Path) -> None:
    """Remove that file, if it exists. Raises ArchiveUnwritable."""
    files.remove(folder / layout.HOLD_NAME)


def write_tombstone(files: StoreFiles, known: KnownReturn, pruned_at: int) -> None:
    """Write the file that keeps pruned photos from a new download when the catalogue is lost.

    `pruned_at` is in seconds since 1970. Raises ArchiveUnwritable.
    """
    content = {
        "created_at": known.created_at,
        "pruned_at": pruned_at,
        "photos": [
            {"item": photo.key.item, "hash": photo.key.image_hash, "size": photo.size, "sha256": photo.sha256.hex()}
            for photo in known.photos
            if photo.state is State.PRUNED
        ],
    }
    files.write(known.folder / layout.TOMBSTONE_NAME, json.dumps(content, indent=1).encode() + b"\n")


def remove_views(store: Path) -> None:
    """Remove what browse has made of photos and records: previews and its index. Raises ArchiveUnwritable."""
    with volume.disk_errors(store):
        if (store / layout.THUMBNAILS).is_dir() and not (store / layout.THUMBNAILS).is_symlink():
            shutil.rmtree(store / layout.THUMBNAILS)
        for suffix in ("", "-wal", "-shm"):
            (store / f"{layout.BROWSE_INDEX}{suffix}").unlink(missing_ok=True)
