"""Is the archive what its catalogue says? Reads only, and may read while a run is at work.

Two passes: over the folders on disk, each beside what is known of its return; then over the returns whose folder is
not there at all. What a run changes meanwhile is looked at once more before it is called a problem.
"""

import os
import stat
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from market_photos.archive import tree
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownPhoto, KnownReturn
from market_photos.archive.catalog.record_codec import render
from market_photos.archive.hashing import file_sha256, in_threads
from market_photos.archive.layout import (
    HOLD_NAME,
    PART_SUFFIX,
    PHOTOS,
    RECORD_NAME,
    TOMBSTONE_NAME,
    parse_return_folder,
)
from market_photos.archive.volume import disk_errors


class ProblemKind(StrEnum):
    MISSING = "missing"
    """On record as archived, but not there."""
    CHANGED = "changed"
    """There, but not what was archived."""
    TORN = "torn"
    """Left over: unfinished, or finished but never recorded, or pruned but still there."""
    UNKNOWN = "unknown"
    """Nobody knows whose it is."""


class Problem(NamedTuple):
    kind: ProblemKind
    path: Path
    """Relative to the store's folder."""
    detail: str
    photo: KnownPhoto | None = None
    return_row: int | None = None
    """Of the return whose return.json it is."""


class _Job(NamedTuple):
    """Files of one folder whose content is to be compared."""

    folder: Path
    photos: list[KnownPhoto]
    record: KnownReturn | None


class Verifier:
    """One check of one store. `photos` and `size` count what was looked at."""

    def __init__(
        self, catalog: Catalog, folder: Path, *, full: bool, is_busy: Callable[[], bool], threads: int | None = None
    ) -> None:
        """`is_busy`: whether a run is at work on the store; what it has in flight is no problem."""
        self.photos = 0
        self.size = 0
        self.in_flight = 0
        self._reader = catalog.reader
        self._folder = folder
        self._full = full
        self._is_busy = is_busy
        self._threads = threads
        self._found: list[Problem] = []
        self._leftovers: list[Problem] = []

    def problems(self) -> Iterator[Problem]:
        """As they are found. Raises CatalogUnusable, and ArchiveUnwritable where a folder may not be read."""
        with disk_errors(self._folder):
            yield from self._problems()

    def _problems(self) -> Iterator[Problem]:
        for job, changed in in_threads(self._compare, self._jobs(), self._threads):
            yield from self._take()
            yield from filter(self._still, changed)
            yield from self._record_changed(job)
        yield from self._take()
        for row, folder in self._reader.archived_folders():
            if not (self._folder / folder).is_dir():
                yield from self._whole_folder_missing(row)
        yield from self._settled_leftovers()

    def _take(self) -> list[Problem]:
        """What the walk found since last time."""
        found, self._found = self._found, []
        return [problem for problem in found if self._still(problem)]

    def _jobs(self) -> Iterator[_Job]:
        """Walks the folders in their order on disk by name; the content of those that look well is to be compared."""
        photos = self._folder / PHOTOS
        for month, is_folder in self._folders(photos):
            if not is_folder:
                self._unknown(photos / month, "not one of ours")
                continue
            for name, is_inner_folder in self._folders(photos / month):
                names = parse_return_folder(name)
                if names is None or not is_inner_folder:
                    self._unknown(photos / month / name, "not one of ours")
                    continue
                job = self._visit(photos / month / name, month, names)
                if self._full and job:
                    yield job

    def _folders(self, parent: Path) -> list[tuple[str, bool]]:
        with disk_errors(parent):
            return tree.folders(parent)

    def _visit(self, folder: Path, month: str, names: tuple[int, int]) -> _Job | None:
        with disk_errors(folder):
            entries = tree.entries(folder)
        known = self._reader.find(*names)
        if known is None or known.month != month:
            for name in entries:
                self._unknown(folder / name, "no such return is on record")
            return None
        photos = known.photos
        alike = [
            photo for photo in photos if photo.state is State.ARCHIVED and self._looks_well(folder, photo, entries)
        ]
        has_record = known.is_saved and self._has_record(folder, known, entries)
        explained = {photo.name for photo in photos if photo.state is State.ARCHIVED}
        owners = {photo.stem: photo for photo in photos}
        for name in sorted(entries.keys() - explained - {RECORD_NAME, HOLD_NAME, TOMBSTONE_NAME}):
            self._left(folder / name, owners)
        return _Job(folder, alike, known if has_record else None)

    def _looks_well(self, folder: Path, photo: KnownPhoto, entries: dict[str, os.stat_result]) -> bool:
        self.photos += 1
        path = (folder / photo.name).relative_to(self._folder)
        entry = entries.get(photo.name)
        if entry is None:
            self._found.append(Problem(ProblemKind.MISSING, path, "on record as archived, but not there", photo))
            return False
        size = entry.st_size
        self.size += size
        if size != photo.size or not stat.S_ISREG(entry.st_mode):
            self._found.append(
                Problem(ProblemKind.CHANGED, path, f"{size:,} bytes, archived were {photo.size or 0:,}", photo)
            )
            return False
        return True

    def _has_record(self, folder: Path, known: KnownReturn, entries: dict[str, os.stat_result]) -> bool:
        if RECORD_NAME in entries:
            return True
        path = (folder / RECORD_NAME).relative_to(self._folder)
        self._found.append(Problem(ProblemKind.MISSING, path, "the return's record", None, known.row))
        return False

    def _compare(self, job: _Job) -> tuple[_Job, list[Problem]]:
        """Runs in a thread of its own: no catalogue here."""
        return job, [
            Problem(ProblemKind.CHANGED, (job.folder / photo.name).relative_to(self._folder), difference, photo)
            for photo in job.photos
            if (difference := _difference(job.folder / photo.name, photo.sha256))
        ]

    def _record_changed(self, job: _Job) -> Iterator[Problem]:
        if job.record is None:
            return
        path = job.folder / RECORD_NAME
        content = _content(path)
        # Asked last: a run may have written a newer record since.
        record = self._saved_record(job.record.row)
        if record is not None and content != render(record) and _content(path) == content:
            relative = path.relative_to(self._folder)
            yield Problem(ProblemKind.CHANGED, relative, "not the record that was saved", None, job.record.row)

    def _still(self, problem: Problem) -> bool:
        """Whether it is so now: a run, or the owner, may have been at work since."""
        if problem.kind is ProblemKind.MISSING and (self._folder / problem.path).exists():
            return False
        if problem.photo is None:
            return problem.return_row is None or self._saved_record(problem.return_row) is not None
        known = self._reader.find(problem.photo.key.order, problem.photo.key.return_id)
        return any(
            photo.row == problem.photo.row and photo.state is State.ARCHIVED and photo.sha256 == problem.photo.sha256
            for photo in (known.photos if known else ())
        )

    def _saved_record(self, row: int) -> dict[str, Any] | None:
        """Return the record that a return's return.json should hold, as it is now; None if it need not exist."""
        known = self._reader.get(row)
        return known.raw if known.is_saved else None

    def _whole_folder_missing(self, row: int) -> Iterator[Problem]:
        known = self._reader.get(row)
        why = "its whole folder is not there"
        archived = [photo for photo in known.photos if photo.state is State.ARCHIVED]
        self.photos += len(archived)
        missing = [Problem(ProblemKind.MISSING, known.folder / photo.name, why, photo) for photo in archived]
        if known.is_saved:
            missing.append(Problem(ProblemKind.MISSING, known.folder / RECORD_NAME, why, None, known.row))
        yield from filter(self._still, missing)

    def _unknown(self, path: Path, why: str) -> None:
        self._leftovers.append(Problem(ProblemKind.UNKNOWN, path.relative_to(self._folder), why))

    def _left(self, path: Path, owners: dict[str, KnownPhoto]) -> None:
        """A file in a return's folder that is no archived photo."""
        owner = owners.get(path.name.partition(".")[0])
        if path.name.endswith(PART_SUFFIX):
            self._leftovers.append(Problem(ProblemKind.TORN, path.relative_to(self._folder), "an unfinished file"))
        elif owner is None:
            self._unknown(path, "no such photo is on record")
        else:
            self._leftovers.append(Problem(ProblemKind.TORN, path.relative_to(self._folder), _why_left(owner.state)))

    def _settled_leftovers(self) -> Iterator[Problem]:
        """What is in flight while a run is at work is no problem, nor what has got its row, or has gone."""
        folder, archived = Path(), set[str]()
        for problem in self._leftovers:
            path = self._folder / problem.path
            if path.parent != folder:
                folder, archived = path.parent, self._archived_names(path.parent)
            if not os.path.lexists(path) or path.name in archived:
                continue
            if problem.kind is ProblemKind.TORN and self._is_busy():
                self.in_flight += 1
                continue
            yield problem

    def _archived_names(self, folder: Path) -> set[str]:
        """The files that the catalogue now expects in a return's folder."""
        names = parse_return_folder(folder.name)
        known = self._reader.find(*names) if names else None
        if known is None or known.folder != folder.relative_to(self._folder):
            return set()
        return {photo.name for photo in known.photos if photo.state is State.ARCHIVED}


def _why_left(state: State) -> str:
    if state is State.PRUNED:
        return "pruned, but still there: run the same prune once more"
    return f"finished, but the photo is on record as {state}: left by a run that was cut short"


def _difference(path: Path, sha256: bytes) -> str:
    try:
        found = file_sha256(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if found == sha256 else f"SHA-256 {found.hex()}, archived was {sha256.hex()}"


def _content(path: Path) -> bytes | None:
    try:
        return tree.content(path)
    except OSError:
        return None
