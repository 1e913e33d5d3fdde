"""Compare a store's folder with its catalogue. Reads only, and may run beside a sync.

The check walks the return folders on disk, then looks for returns whose folder is missing. A sync may change both
meanwhile, so a difference is checked again before it is reported, and unexpected files only at the end.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownPhoto, KnownReturn
from market_photos.archive.catalog.record_codec import render
from market_photos.archive.files import Entry, StoreFiles
from market_photos.archive.hashing import in_threads
from market_photos.archive.layout import (
    HOLD_NAME,
    PART_SUFFIX,
    RECORD_NAME,
    TOMBSTONE_NAME,
    parse_return_folder,
)
from market_photos.archive.volume import disk_errors

#: Seconds by which a photo may be newer than its row: the clocks of the Market and of a storage differ.
CLOCK_SLACK = 600


class ProblemKind(StrEnum):
    """How the disk differs from the catalogue."""

    MISSING = "missing"
    """Archived according to the catalogue, but not on disk."""
    CHANGED = "changed"
    """On disk, but with another size or content than was archived."""
    TORN = "torn"
    """Left over: unfinished, or finished but not recorded, or pruned but still on disk."""
    UNKNOWN = "unknown"
    """Not in the catalogue."""


class Problem(NamedTuple):
    """A file that differs from the catalogue."""

    kind: ProblemKind
    path: Path
    """Relative to the store's folder."""
    detail: str
    photo: KnownPhoto | None = None
    return_row: int | None = None
    """Of the return, if the file is its return.json."""


class _Folder(NamedTuple):
    """A return's folder after the check of names and sizes."""

    path: Path
    """Relative to the store's folder."""
    problems: list[Problem]
    to_compare: list[KnownPhoto]
    """Photos whose SHA-256 is still to be compared."""
    record: KnownReturn | None
    """The return, if its return.json is still to be compared."""


class Verifier:
    """One check of one store. `photos` and `size` count what was checked."""

    def __init__(
        self,
        catalog: Catalog,
        files: StoreFiles,
        *,
        full: bool,
        is_busy: Callable[[], bool],
        threads: int | None = None,
    ) -> None:
        """`is_busy` returns whether a sync of the store is running: its unfinished files are no problem.

        `full`: read every photo. Without it, the SHA-256 that a bucket keeps is compared of those photos that are
        newer than their row.
        """
        self.photos = 0
        self.size = 0
        self.in_flight = 0
        self._reader = catalog.reader
        self._files = files
        self._catalog_folder = catalog.path.parent
        self._full = full
        self._is_busy = is_busy
        self._threads = threads
        self._leftovers: list[Problem] = []

    def problems(self) -> Iterator[Problem]:
        """Yield the problems. Raises CatalogUnusable, and ArchiveUnwritable where a folder cannot be read."""
        with disk_errors(self._catalog_folder):
            folders: Iterator[_Folder] = filter(
                None, map(self._check_names, self._files.return_folders(self._unknown))
            )
            if self._full or self._files.keeps_sha256:
                folders = in_threads(self._check_contents, folders, self._threads or self._files.at_once)
            for folder in folders:
                yield from filter(self._is_current, folder.problems)
                if self._full and folder.record:
                    yield from self._changed_record(folder.path / RECORD_NAME, folder.record)
            for row, path in self._reader.archived_folders():
                if not self._files.has_folder(path):
                    yield from self._missing_folder(self._reader.get(row))
            yield from self._current_leftovers()

    def _check_names(self, path: Path) -> _Folder | None:
        """Compare names and sizes. Return None if the catalogue has no return in this folder."""
        with disk_errors(self._catalog_folder / path):
            entries = self._files.entries(path)
        known = self._find(path)
        if known is None:
            for name in entries:
                self._unknown(path / name, "the catalogue has no such return")
            return None
        archived = _archived(known)
        folder = _Folder(path, [], [], known if known.is_saved and RECORD_NAME in entries else None)
        for photo in archived:
            if problem := self._size_problem(known.folder / photo.name, photo, entries.get(photo.name)):
                folder.problems.append(problem)
            elif self._full or self._may_be_another(photo, entries[photo.name]):
                folder.to_compare.append(photo)
        if known.is_saved and folder.record is None:
            folder.problems.append(_missing_record(known, "the return's record"))
        expected = {photo.name for photo in archived} | {RECORD_NAME, HOLD_NAME, TOMBSTONE_NAME}
        by_stem = {photo.stem: photo for photo in known.photos}
        for name in sorted(entries.keys() - expected):
            self._leftover(path / name, by_stem.get(name.partition(".")[0]))
        return folder

    def _size_problem(self, path: Path, photo: KnownPhoto, entry: Entry | None) -> Problem | None:
        self.photos += 1
        if entry is None:
            return Problem(ProblemKind.MISSING, path, "archived, but not on disk", photo)
        self.size += entry.size
        if entry.size == photo.size and entry.is_file:
            return None
        detail = f"{entry.size:,} bytes, archived were {photo.size or 0:,}"
        return Problem(ProblemKind.CHANGED, path, detail, photo)

    def _may_be_another(self, photo: KnownPhoto, entry: Entry) -> bool:
        """Return whether the photo may have been replaced, by its time, and a kept SHA-256 tells."""
        return self._files.keeps_sha256 and entry.modified > photo.changed_at + CLOCK_SLACK

    def _check_contents(self, folder: _Folder) -> _Folder:
        """Add the photos whose hash has changed, and tick off a return.json that is as it was saved.

        Runs in a worker thread, so it does not use the catalogue.
        """
        for photo in folder.to_compare:
            path = folder.path / photo.name
            if difference := self._difference(path, photo.sha256):
                problem = Problem(ProblemKind.CHANGED, path, difference, photo)
                folder.problems.append(problem)
        if self._full and (known := folder.record) and self._content(folder.path / RECORD_NAME) == render(known.raw):
            return folder._replace(record=None)
        return folder

    def _changed_record(self, path: Path, known: KnownReturn) -> Iterator[Problem]:
        content = self._content(path)
        # The record is read after the file, and the file again: a sync may have written a newer one since.
        known = self._reader.get(known.row)
        if known.is_saved and content != render(known.raw) and self._content(path) == content:
            yield Problem(ProblemKind.CHANGED, path, "not the record that was saved", None, known.row)

    def _is_current(self, problem: Problem) -> bool:
        """Return whether the problem still exists: a sync or a user may have changed the archive since."""
        if problem.kind is ProblemKind.MISSING and self._files.exists(problem.path):
            return False
        if problem.photo is None:
            return problem.return_row is None or self._reader.get(problem.return_row).is_saved
        known = self._reader.find(problem.photo.key.order, problem.photo.key.return_id)
        identity = problem.photo.row, problem.photo.sha256
        return known is not None and any((photo.row, photo.sha256) == identity for photo in _archived(known))

    def _missing_folder(self, known: KnownReturn) -> Iterator[Problem]:
        reason = "its whole folder is missing"
        missing = [
            Problem(ProblemKind.MISSING, known.folder / photo.name, reason, photo) for photo in _archived(known)
        ]
        self.photos += len(missing)
        if known.is_saved:
            missing.append(_missing_record(known, reason))
        yield from filter(self._is_current, missing)

    def _unknown(self, path: Path, reason: str) -> None:
        self._leftovers.append(Problem(ProblemKind.UNKNOWN, path, reason))

    def _leftover(self, path: Path, photo: KnownPhoto | None) -> None:
        """Note a file in a return's folder that is not an archived photo; `photo` has the same stem."""
        if path.name.endswith(PART_SUFFIX):
            reason = "an unfinished file"
        elif photo is None:
            self._unknown(path, "the catalogue has no such photo")
            return
        elif photo.state is State.PRUNED:
            reason = "pruned, but still on disk: run the same prune again"
        else:
            reason = f"finished, but {photo.state} in the catalogue: left by a run that was interrupted"
        self._leftovers.append(Problem(ProblemKind.TORN, path, reason))

    def _current_leftovers(self) -> Iterator[Problem]:
        """Yield the leftovers that still exist and were not recorded meanwhile."""
        folder, expected = Path(), set[str]()
        for problem in self._leftovers:
            path = problem.path
            if path.parent != folder:
                folder, expected = path.parent, self._expected_names(path.parent)
            if not self._files.exists(path) or path.name in expected:
                continue
            if problem.kind is ProblemKind.TORN and self._is_busy():
                self.in_flight += 1
            else:
                yield problem

    def _expected_names(self, folder: Path) -> set[str]:
        """Return the names of the photos that the catalogue now has in a return's folder."""
        known = self._find(folder)
        return {photo.name for photo in _archived(known)} if known else set()

    def _find(self, folder: Path) -> KnownReturn | None:
        """Return the return that the catalogue has in a folder."""
        ids = parse_return_folder(folder.name)
        known = self._reader.find(*ids) if ids else None
        return known if known and known.folder == folder else None

    def _difference(self, path: Path, sha256: bytes) -> str:
        """Return how a file's content differs from what was archived, empty if it does not."""
        try:
            found = self._files.sha256(path) if self._full else self._files.kept_sha256(path)
        except OSError as error:
            return f"cannot be read: {error.strerror or 'it is gone'}"
        return "" if found == sha256 else f"SHA-256 {found.hex()}, archived was {sha256.hex()}"

    def _content(self, path: Path) -> bytes | None:
        try:
            return self._files.content(path)
        except OSError:
            return None


def _archived(known: KnownReturn) -> list[KnownPhoto]:
    return [photo for photo in known.photos if photo.state is State.ARCHIVED]


def _missing_record(known: KnownReturn, detail: str) -> Problem:
    return Problem(ProblemKind.MISSING, known.folder / RECORD_NAME, detail, None, known.row)
