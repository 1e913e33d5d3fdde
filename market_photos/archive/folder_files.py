"""The files of a store in a folder of this machine. See files.StoreFiles."""

import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path

from market_photos import failpoints
from market_photos.archive import atomic, layout, tree, volume
from market_photos.archive.files import Entry
from market_photos.archive.hashing import file_sha256
from market_photos.errors import ArchiveUnwritable


class FolderFiles:
    """Files below the folder `store`."""

    def __init__(self, store: Path) -> None:
        self._store = store

    def return_folders(self, report_unknown: Callable[[Path, str], None]) -> Iterator[Path]:
        photos = Path(layout.PHOTOS)
        for month, is_folder in self._folders(photos):
            if not is_folder or not layout.is_month(month):
                report_unknown(photos / month, "not a folder of the archive")
                continue
            for name, is_inner_folder in self._folders(photos / month):
                if is_inner_folder and layout.parse_return_folder(name):
                    yield photos / month / name
                else:
                    report_unknown(photos / month / name, "not a folder of the archive")

    def _folders(self, parent: Path) -> list[tuple[str, bool]]:
        with volume.disk_errors(self._store / parent):
            return tree.folders(self._store / parent)

    def has_folder(self, folder: Path) -> bool:
        return volume.is_there(self._store / folder) and (self._store / folder).is_dir()

    def entries(self, folder: Path) -> dict[str, Entry]:
        with tree.opened_folder(self._store, folder) as opened:
            found = tree.entries(opened) if opened is not None else {}
        return {
            name: Entry(status.st_size, status.st_mtime, stat.S_ISREG(status.st_mode))
            for name, status in found.items()
        }

    def exists(self, path: Path) -> bool:
        with volume.disk_errors(self._store / path):
            try:
                (self._store / path).lstat()
            except (FileNotFoundError, NotADirectoryError):
                return False
        return True

    def content(self, path: Path) -> bytes:
        return tree.content(self._store / path)

    def head(self, path: Path, size: int) -> bytes:
        with tree.open_file(self._store / path) as file:
            return file.read(size)

    def sha256(self, path: Path) -> bytes:
        return file_sha256(self._store / path)

    keeps_sha256 = False
    kept_sha256 = sha256
    at_once = None

    def require_real_folders(self, folder: Path) -> None:
        with volume.disk_errors(self._store / folder):
            obstacle = tree.obstacle(self._store, folder)
        if obstacle:
            raise ArchiveUnwritable(
                f"{obstacle}: is a link or a file where a folder of the archive should be; no link is followed.",
                "Move it aside, or put the folder back; then run the same command again.",
            )

    def write(self, path: Path, content: bytes) -> None:
        atomic.make_folder(self._store / path.parent)
        atomic.write_atomically(self._store / path, content)

    def remove(self, path: Path) -> None:
        with volume.disk_errors(self._store / path), suppress(FileNotFoundError):
            (self._store / path).unlink()
            atomic.sync_folder((self._store / path).parent)

    def remove_stems(self, folder: Path, stems: Collection[str]) -> list[Path]:
        with volume.disk_errors(self._store / folder), tree.opened_folder(self._store, folder) as opened:
            if opened is None:
                return []
            left = []
            for name in tree.names(opened):
                if name.partition(".")[0] in stems:
                    left += [folder / name for name in tree.remove_files(opened, [name])]
                    failpoints.point("pruning")
            os.fsync(opened)
        return left

    def set_aside(self, path: Path, day: str) -> None:
        wanted = self._store / layout.SET_ASIDE / day / path.relative_to(layout.PHOTOS)
        atomic.make_folder(wanted.parent, within=self._store)
        with volume.disk_errors(wanted):
            number, target = 1, wanted
            while os.path.lexists(target):
                number += 1
                target = wanted.with_name(f"{wanted.name}.{number}")
            (self._store / path).rename(target)
            atomic.sync_folder(target.parent)
            atomic.sync_folder((self._store / path).parent)

    def set_aside_folders(self) -> Iterator[Path]:
        waiting = [Path(layout.SET_ASIDE)]
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting += [folder / name for name, is_folder in self._folders(folder) if is_folder]

    def remove_set_aside(self, folder: Path) -> list[Path]:
        left: list[Path] = []
        within_day = folder.relative_to(layout.PHOTOS)
        with volume.disk_errors(self._store / layout.SET_ASIDE):
            for day in tree.names(self._store / layout.SET_ASIDE):
                aside = Path(layout.SET_ASIDE, day, within_day)
                if tree.obstacle(self._store, aside):
                    continue
                with tree.opened_folder(self._store, aside) as opened:
                    if opened is None:
                        continue
                    left += [aside / name for name in tree.remove_files(opened, tree.names(opened))]
                with suppress(OSError):
                    (self._store / aside).rmdir()
        return left
