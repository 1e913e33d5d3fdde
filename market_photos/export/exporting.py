"""Run the two exports, and report on standard error what was written and what is missing."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from market_photos.archive.place import Archive
from market_photos.archive.stores import select_stores
from market_photos.clock import Clock
from market_photos.console import say
from market_photos.export.output import output
from market_photos.export.pack import Packed, find, write_pack
from market_photos.export.rows import Days, index
from market_photos.export.selection import Selection
from market_photos.export.table import DELIMITER, WRITERS, require_parquet, write_csv

#: Missing photos named on the terminal; the pack's page lists all of them.
SHOWN_ABSENT = 10


class Job(NamedTuple):
    """The stores of an archive, and the file to write: `-` for standard output."""

    archive: Archive
    campaigns: tuple[int, ...]
    """Empty for all stores."""
    target: Path
    force: bool
    """Whether an existing file is replaced."""


def export_pack(job: Job, selection: Selection, language: str, clock: Clock) -> None:
    """Write a pack of the selected returns.

    Raises UsageError, CatalogUnusable, EvidenceBroken or ArchiveUnwritable; the target is then unchanged.
    """
    catalogs = job.archive.fetch(job.campaigns)
    found = find(catalogs, select_stores(catalogs, job.campaigns), selection)
    with output(job.target, catalogs, force=job.force) as stream:
        packed = write_pack(stream, job.archive, found, selection, language=language, made_at=clock.now().wall)
    _say_packed(job.target, packed)


def export_index(job: Job, days: Days, kind: str, delimiter: str = DELIMITER) -> None:
    """Write the index as csv, jsonl or parquet (`kind`). Raises the same errors as `export_pack`."""
    if kind == "parquet":
        require_parquet()
    write = partial(write_csv, delimiter=delimiter) if kind == "csv" else WRITERS[kind]
    catalogs = job.archive.fetch(job.campaigns)
    with output(job.target, catalogs, force=job.force) as stream:
        written = write(stream, index(catalogs, select_stores(catalogs, job.campaigns), days))
    say(f"{job.target}: {written:,} photos, one per row; paths are relative to {job.archive.name}")


def _say_packed(path: Path, packed: Packed) -> None:
    say(f"{path}: {packed.photos:,} photos, {packed.size:,} bytes; open index.html in it")
    if packed.absent:
        say(f"warning: {len(packed.absent):,} more photos are known but not in the pack:")
    for photo in packed.absent[:SHOWN_ABSENT]:
        say(f"  {photo.key}: {photo.state} {photo.note}".rstrip())
    if (more := len(packed.absent) - SHOWN_ABSENT) > 0:
        say(f"  … and {more:,} more; the pack's page lists all of them")
