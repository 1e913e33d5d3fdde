"""The folders of returns on disk: find them, write the files that outlive the catalogue, remove files safely.

Paths named `folder` are relative to the store's folder.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from market_photos import failpoints
from market_photos.archive import atomic, layout, tree, volume
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownReturn
from market_photos.errors import ArchiveUnwritable


def return_folders(store: Path, report_unknown: Callable[[Path, str], None]) -> Iterator[Path]:
    """Yield the folders of a store that are named like returns, by month and name, and report everything else.

    Follows no link. Raises ArchiveUnwritable.
    """
    photos = store / layout.PHOTOS
    for month, is_folder in _folders(photos):
        if not is_folder or not layout.is_month(month):
            report_unknown(photos / month, "not a folder of the archive")
            continue
        for name, is_inner_folder in _folders(photos / month):
            if is_inner_folder and layout.parse_return_folder(name):
                yield photos / month / name
            else:
                report_unknown(photos / month / name, "not a folder of the archive")


def _folders(parent: Path) -> list[tuple[str, bool]]:
    with volume.disk_errors(parent):
        return tree.folders(parent)


def require_real_folders(store: Path, folder: Path) -> None:
    """Raise ArchiveUnwritable where a link or a file stands in place of a folder on the path."""
    with volume.disk_errors(store / folder):
        obstacle = tree.obstacle(store, folder)
    if obstacle:
        raise ArchiveUnwritable(
            f"{obstacle}: is a link or a file where a folder of the archive should be; no link is followed.",
            "Move it aside, or put the folder back; then run the same command again.",
        )


def set_aside(store: Path, path: Path, day: str) -> None:
    """Move a file to `set-aside/<day>`, where no sync touches it. `path` is relative to the store's folder.

    Overwrites nothing. Raises ArchiveUnwritable.
    """
    wanted = store / layout.SET_ASIDE / day / path.relative_to(layout.PHOTOS)
    atomic.make_folder(wanted.parent, within=store)
    with volume.disk_errors(wanted):
        number, target = 1, wanted
        while os.path.lexists(target):
            number += 1
            target = wanted.with_name(f"{wanted.name}.{number}")
        (store / path).rename(target)
        atomic.sync_folder(target.parent)
        atomic.sync_folder((store / path).parent)


def write_hold(folder: Path, command: str, since: str) -> None:
    """Write the file that keeps a hold when the catalogue is lost. Raises ArchiveUnwritable."""
    atomic.make_folder(folder)
    text = f"Kept from `market-photos prune` since {since} by: {command}\n"
    atomic.write_atomically(folder / layout.HOLD_NAME, text.encode())


def remove_hold(folder: Path) -> None:
    """Remove that file, if it exists. Raises ArchiveUnwritable."""
    with volume.disk_errors(folder), suppress(FileNotFoundError):
        (folder / layout.HOLD_NAME).unlink()
        atomic.sync_folder(folder)


def write_tombstone(folder: Path, known: KnownReturn, pruned_at: int) -> None:
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
    atomic.make_folder(folder)
    atomic.write_atomically(folder / layout.TOMBSTONE_NAME, json.dumps(content, indent=1).encode() + b"\n")


def remove_set_aside(store: Path, folder: Path) -> list[Path]:
    """Remove what verify has set aside of a return; return the folders found instead of files, which stay.

    Follows no link. Raises ArchiveUnwritable.
    """
    left: list[Path] = []
    within_day = folder.relative_to(layout.PHOTOS)
    with volume.disk_errors(store / layout.SET_ASIDE):
        for day in tree.names(store / layout.SET_ASIDE):
            aside = Path(layout.SET_ASIDE, day, within_day)
            if tree.obstacle(store, aside):
                continue
            with tree.opened_folder(store, aside) as opened:
                if opened is None:
                    continue
                left += [aside / name for name in tree.remove_files(opened, tree.names(opened))]
            with suppress(OSError):
                (store / aside).rmdir()
    return left


def remove_views(store: Path) -> None:
    """Remove what browse has made of photos and records: previews and its index. Raises ArchiveUnwritable."""
    with volume.disk_errors(store):
        if (store / layout.THUMBNAILS).is_dir() and not (store / layout.THUMBNAILS).is_symlink():
            shutil.rmtree(store / layout.THUMBNAILS)
        for suffix in ("", "-wal", "-shm"):
            (store / f"{layout.BROWSE_INDEX}{suffix}").unlink(missing_ok=True)


def remove_photos(store: Path, folder: Path, stems: Iterable[str], *, keep_record: bool) -> list[Path]:
    """Remove the photos with these stems and the record, also unfinished ones; return the folders found instead.

    Follows no link, and removes no folder. Raises ArchiveUnwritable.
    """
    removed = {*stems, *(() if keep_record else (layout.RECORD_NAME.partition(".")[0],))}
    with volume.disk_errors(store / folder), tree.opened_folder(store, folder) as opened:
        if opened is None:
            return []
        left = []
        for name in tree.names(opened):
            if name.partition(".")[0] in removed:
                left += [folder / name for name in tree.remove_files(opened, [name])]
                failpoints.point("pruning")
        os.fsync(opened)
    return left
