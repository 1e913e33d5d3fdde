"""Detect that a store's folder was moved, removed or unmounted while a run works in it.

A path may lead elsewhere at any moment: a volume is unmounted or mounted over, a folder is moved, a link is changed.
SQLite would then write to a file without a name, and new folders would fill an empty mount point. So a run remembers
the identity of its files, and compares it before each commit.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from market_photos.archive import atomic, volume
from market_photos.archive.layout import PHOTOS
from market_photos.archive.tree import identity
from market_photos.errors import ArchiveUnwritable


class HeldFolder(AbstractContextManager["HeldFolder"]):
    """A store's folder, held open. Every thread may use it; a check takes a few microseconds."""

    def __init__(self, folder: Path, marker: str | None = None) -> None:
        """Open the folder. `marker` is a file that must stay in the archive's. Raises ArchiveUnwritable."""
        self.folder = folder
        self._marker = folder.parent / marker if marker else None
        self._kept: dict[str, tuple[Path, tuple[int, int]]] = {}
        self.require_also: Callable[[], None] = lambda: None
        """Raises an error for a further reason to write nothing: a lease that is no longer valid."""
        self._open = ExitStack()
        with volume.disk_errors(folder):
            self._descriptor = self._hold(folder)
            self._identity = identity(os.fstat(self._descriptor))
            self._keep_photos()

    def keep(self, name: str, known: tuple[int, int] | None = None) -> None:
        """Remember a file of the folder; `known` is its identity, if the caller has it. Raises ArchiveUnwritable.

        The caller keeps the file open, as the inode number of a removed file is used again. It is not opened here:
        closing any descriptor of a catalogue ends SQLite's locks on it in the whole process.
        """
        with volume.disk_errors(self.folder / name):
            known = known or identity(os.stat(name, dir_fd=self._descriptor))
        self._kept = {**self._kept, name: (self.folder / name, known)}  # a new dict, as another thread may be reading

    def require_same(self) -> None:
        """Raise ArchiveUnwritable if the folder or a remembered file is missing or was replaced."""
        self.require_also()
        if changed := self._changed():
            raise ArchiveUnwritable(
                f"{changed}: is gone, or is not the one that was there at the start: the archive was moved, removed "
                "or unmounted meanwhile. Nothing more was written.",
                "Put it back, or mount its volume; the same command then goes on.",
            )

    def _changed(self) -> Path | None:
        path = self.folder
        try:
            if identity(path.stat()) != self._identity:
                return path
            if self._marker:
                path = self._marker
                path.stat()
            for name, (path, known) in self._kept.items():
                if identity(os.stat(name, dir_fd=self._descriptor)) != known:
                    return path
        except (FileNotFoundError, NotADirectoryError):
            return path
        except OSError:
            with volume.disk_errors(path):
                raise
        return None

    def make_folder(self, folder: Path) -> None:
        """Create a folder inside the store's, with its parents. Raises ArchiveUnwritable."""
        self.require_same()
        atomic.make_folder(folder, within=self.folder)
        if PHOTOS not in self._kept:
            with volume.disk_errors(folder):
                self._keep_photos()

    def close(self) -> None:
        """Close the folder."""
        self._open.close()

    def _keep_photos(self) -> None:
        if volume.is_there(self.folder / PHOTOS):
            self.keep(PHOTOS, identity(os.fstat(self._hold(self.folder / PHOTOS))))

    def _hold(self, folder: Path) -> int:
        """Return a descriptor of the folder that stays open until `close`. Raises OSError."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open.callback(os.close, descriptor)
        return descriptor

    def __exit__(self, *_: object) -> None:
        self.close()
