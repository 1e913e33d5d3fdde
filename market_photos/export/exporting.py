"""Run the exports, and report on standard error what was written and what is missing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from market_photos.archive.catalog.reader import KnownReturn
from market_photos.archive.place import Archive
from market_photos.clock import Clock
from market_photos.console import say
from market_photos.export.output import output
from market_photos.export.pack import Packed, require_photos, write_pack
from market_photos.export.pdf import write_pdf
from market_photos.export.rows import Days, index
from market_photos.export.selection import Selection
from market_photos.export.style import Style
from market_photos.export.table import WRITERS
from market_photos.text import counted

#: Missing photos named on the terminal; the pack's page lists all of them.
SHOWN_ABSENT = 10


class Job(NamedTuple):
    """The archive, and the file to write: `-` for standard output."""

    archive: Archive
    target: Path
    force: bool
    """Whether an existing file is replaced."""


def export_pack(
    job: Job, found: Sequence[KnownReturn], selection: Selection, language: str, clock: Clock, *, pdf: bool = False
) -> None:
    """Write a pack of the selected returns, which were found, or with `pdf` its page alone.

    Raises UsageError, CatalogUnusable, NothingArchived, EvidenceBroken or ArchiveUnwritable.
    """
    write = write_pdf if pdf else write_pack
    require_photos(found, selection)
    with output(job.target, job.archive.catalogs, force=job.force) as stream:
        packed = write(stream, job.archive, found, selection, language=language, made_at=clock.now().wall)
    _say_packed(job.target, packed, "" if pdf else "; open index.html in it")


def export_table(
    job: Job, select: Callable[[], list[int]], days: Days, kind: str, style: Style, *, all_returns: bool = False
) -> None:
    """Write the table in one of the formats of WRITERS. Raises the same errors as `export_pack`.

    `select` returns the stores; it is called once the file can be written.
    """
    catalogs = job.archive.catalogs
    with output(job.target, catalogs, force=job.force) as stream:
        rows = index(catalogs, select(), days, all_returns=all_returns)
        written = WRITERS[kind](stream, rows, style)
    say(f"{job.target}: {counted(written, 'row')}, one per photo; paths are relative to {job.archive.name}")


def _say_packed(path: Path, packed: Packed, hint: str) -> None:
    say(f"{path}: {counted(packed.photos, 'photo')}, {packed.size:,} bytes{hint}")
    if packed.absent:
        say(f"warning: not in the pack: {counted(len(packed.absent), 'more photo')} that the catalogue lists:")
    for photo in packed.absent[:SHOWN_ABSENT]:
        say(f"  {photo.key}: {photo.state} {photo.note}".rstrip())
    if (more := len(packed.absent) - SHOWN_ABSENT) > 0:
        say(f"  … and {more:,} more; the pack's page lists all of them")
