"""Run the two exports, and report on standard error what was written and what is missing."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from market_photos.archive.stores import select_stores
from market_photos.clock import Clock
from market_photos.config import Settings
from market_photos.console import say
from market_photos.export.output import output
from market_photos.export.pack import Packed, find, write_pack
from market_photos.export.rows import Days, index
from market_photos.export.selection import Selection
from market_photos.export.table import DELIMITER, require_parquet, write_csv, write_jsonl, write_parquet

#: Missing photos named on the terminal; the pack's page lists all of them.
SHOWN_ABSENT = 10


class Target(NamedTuple):
    """The file to write, `-` for standard output, and whether an existing one is replaced."""

    path: Path
    force: bool


def export_pack(
    settings: Settings,
    campaigns: tuple[int, ...],
    selection: Selection,
    target: Target,
    *,
    language: str,
    clock: Clock,
) -> None:
    """Write a pack of the selected returns to the target.

    Raises UsageError, CatalogUnusable, EvidenceBroken or ArchiveUnwritable; the target is then unchanged.
    """
    archive = settings.archive.directory
    found = find(archive, select_stores(archive, campaigns), selection)
    with output(target.path, archive, force=target.force) as stream:
        packed = write_pack(stream, archive, found, selection, language=language, made_at=clock.now().wall)
    for line in _pack_lines(target.path, packed):
        say(line)


def export_index(
    settings: Settings,
    campaigns: tuple[int, ...],
    days: Days,
    target: Target,
    *,
    kind: str,
    delimiter: str = DELIMITER,
) -> None:
    """Write the index to the target as csv, jsonl or parquet (`kind`). Raises the same errors as `export_pack`."""
    archive = settings.archive.directory
    if kind == "parquet":
        require_parquet()
    write: dict[str, Callable[[], int]] = {
        "csv": lambda: write_csv(stream, rows, delimiter),
        "jsonl": lambda: write_jsonl(stream, rows),
        "parquet": lambda: write_parquet(stream, rows),
    }
    with output(target.path, archive, force=target.force) as stream:
        rows = index(archive, select_stores(archive, campaigns), days)
        written = write[kind]()
    say(f"{target.path}: {written:,} photos, one per row; paths are relative to {archive}")


def _pack_lines(path: Path, packed: Packed) -> list[str]:
    lines = [f"{path}: {packed.photos:,} photos, {packed.size:,} bytes; open index.html in it"]
    if packed.absent:
        lines.append(f"warning: {len(packed.absent):,} more photos are known but not in the pack:")
    lines += [f"  {photo.key}: {photo.state} {photo.note}".rstrip() for photo in packed.absent[:SHOWN_ABSENT]]
    if (more := len(packed.absent) - SHOWN_ABSENT) > 0:
        lines.append(f"  … and {more:,} more; the pack's page lists all of them")
    return lines
