"""What else may lie in a return's folder, and how files leave it."""

import json
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from market_photos import failpoints
from market_photos.archive import atomic, layout, tree, volume
from market_photos.archive.catalog.reader import KnownPhoto


def set_aside(store: Path, path: Path, day: str) -> Path:
    """Moves a file (`path` relative to the store's folder) to where no run touches it; where it is now.

    Never overwrites. Raises ArchiveUnwritable.
    """
    target = store / layout.SET_ASIDE / day / path.relative_to(layout.PHOTOS)
    atomic.make_folder(target.parent, within=store)
    with volume.disk_errors(target):
        target = _free_name(target)
        (store / path).rename(target)
        atomic.sync_folder(target.parent)
        atomic.sync_folder((store / path).parent)
    return target


def _free_name(target: Path) -> Path:
    number, candidate = 1, target
    while os.path.lexists(candidate):
        number += 1
        candidate = target.with_name(f"{target.name}.{number}")
    return candidate


def mark_held(folder: Path, command: str, since: str) -> None:
    """So that the hold outlives the catalogue. Raises ArchiveUnwritable."""
    atomic.make_folder(folder)
    text = f"Kept from `market-photos prune` since {since} by: {command}\n"
    atomic.write_atomically(folder / layout.HOLD_NAME, text.encode())


def unmark_held(folder: Path) -> None:
    """Raises ArchiveUnwritable."""
    with volume.disk_errors(folder), suppress(FileNotFoundError):
        (folder / layout.HOLD_NAME).unlink()
        atomic.sync_folder(folder)


def write_tombstone(folder: Path, created_at: int, pruned_at: int, photos: Iterable[KnownPhoto]) -> None:
    """So that nothing is fetched again after the catalogue was lost. Raises ArchiveUnwritable."""
    content = {
        "created_at": created_at,
        "pruned_at": pruned_at,
        "photos": [
            {"item": photo.key.item, "hash": photo.key.image_hash, "size": photo.size, "sha256": photo.sha256.hex()}
            for photo in photos
        ],
    }
    atomic.make_folder(folder)
    atomic.write_atomically(folder / layout.TOMBSTONE_NAME, json.dumps(content, indent=1).encode() + b"\n")


def forget_aside(store: Path, folder: Path) -> list[Path]:
    """Remove what verify has set aside of a return (`folder` relative to the store's); return what stays.

    Follows no link; folders stay. Raises ArchiveUnwritable.
    """
    kept: list[Path] = []
    place = folder.relative_to(layout.PHOTOS)
    with volume.disk_errors(store / layout.SET_ASIDE), tree.opened_folder(store, Path(layout.SET_ASIDE)) as days:
        for day in tree.names(days) if days is not None else ():
            aside = Path(layout.SET_ASIDE, day, place)
            if tree.obstacle(store, aside):
                continue
            with tree.opened_folder(store, aside) as opened:
                if opened is None:
                    continue
                kept += [aside / name for name in tree.remove_files(opened, tree.names(opened))]
            with suppress(OSError):
                (store / aside).rmdir()
    return kept


def forget_views(store: Path) -> None:
    """Removes what browse made of photos and records: small pictures and its index. Raises ArchiveUnwritable."""
    with volume.disk_errors(store):
        if (store / layout.THUMBNAILS).is_dir() and not (store / layout.THUMBNAILS).is_symlink():
            shutil.rmtree(store / layout.THUMBNAILS)
        for suffix in ("", "-wal", "-shm"):
            (store / f"{layout.BROWSE_INDEX}{suffix}").unlink(missing_ok=True)


def empty(store: Path, folder: Path, stems: Iterable[str], *, keep_record: bool) -> list[Path]:
    """Remove the photos with these stems and the record, parts included; return what stays of them.

    `folder` is relative to the store's. Follows no link; folders stay. Raises ArchiveUnwritable.
    """
    record = () if keep_record else (layout.RECORD_NAME.partition(".")[0],)
    ours = {*stems, *record}
    with volume.disk_errors(store / folder), tree.opened_folder(store, folder) as opened:
        if opened is None:
            return []
        kept = []
        for name in tree.names(opened):
            if name.partition(".")[0] in ours:
                kept += [folder / name for name in tree.remove_files(opened, [name])]
                failpoints.point("pruning")
        os.fsync(opened)
    return kept
