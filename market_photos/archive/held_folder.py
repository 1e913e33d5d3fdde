"""The folder of a store while a run works in it: whether it is still the one that the run began in.

A path may lead elsewhere from one moment to the next: a volume is unmounted, another one is mounted over it, a folder
is moved or removed, a link is switched. SQLite then goes on writing to a file that nobody finds again, and new
folders fill an empty mount point. So the run remembers which files it works on, and looks before each commit.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from market_photos.archive import atomic, volume
from market_photos.archive.layout import PHOTOS
from market_photos.archive.tree import identity
from market_photos.errors import ArchiveUnwritable


class HeldFolder:
    """A store's folder, held open. A check takes a few microseconds; any thread may call it."""

    def __init__(self, folder: Path, marker: str | None = None) -> None:
        """`marker`: a file that must stay in the archive's folder. Raises ArchiveUnwritable."""
        self.folder = folder
        self._marker = folder.parent / marker if marker else None
        self._kept: dict[str, tuple[Path, tuple[int, int]]] = {}
        self._open = ExitStack()
        with volume.disk_errors(folder):
            self._descriptor = self._hold(folder)
            self._identity = identity(os.fstat(self._descriptor))
            self._keep_photos()

    def keep(self, name: str, known: tuple[int, int] | None = None) -> None:
        """Remember a file of the folder; `known`: its identity where the caller has it. Raises ArchiveUnwritable.

        The caller keeps it open, for the number of a removed file goes to the next new one. It is not opened here:
        to close any descriptor of a catalogue ends SQLite's locks on it in the whole process.
        """
        with volume.disk_errors(self.folder / name):
            known = known or identity(os.stat(name, dir_fd=self._descriptor))
        self._kept = {**self._kept, name: (self.folder / name, known)}  # another thread may be reading the old one

    def require_same(self) -> None:
        """Raise ArchiveUnwritable where the folder, or a file in it, is gone or another one is in its place."""
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
        """Create a folder inside the store's, and its parents, never the store's own. Raises ArchiveUnwritable."""
        self.require_same()
        atomic.make_folder(folder, within=self.folder)
        if PHOTOS not in self._kept:
            with volume.disk_errors(folder):
                self._keep_photos()

    def close(self) -> None:
        self._open.close()

    def _keep_photos(self) -> None:
        if (self.folder / PHOTOS).is_dir():
            self.keep(PHOTOS, identity(os.fstat(self._hold(self.folder / PHOTOS))))

    def _hold(self, folder: Path) -> int:
        """A descriptor of the folder, open until `close`. Raises OSError."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open.callback(os.close, descriptor)
        return descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


#: The former name, which sync/ still uses.
Ground = HeldFolder
