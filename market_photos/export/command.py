"""The two exports as commands: they say on standard error what was written, and what was not."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from market_photos.archive.catalog import known_stores
from market_photos.clock import Clock
from market_photos.config import Settings
from market_photos.console import say
from market_photos.errors import UsageError
from market_photos.export.output import output
from market_photos.export.pack import Packed, find, write_pack
from market_photos.export.rows import Days, index
from market_photos.export.table import DELIMITER, require_parquet, write_csv, write_jsonl, write_parquet
from market_photos.export.wanted import Selection

#: Absent photos that are named on the terminal; the page has them all.
SHOWN_ABSENT = 10


class Target(NamedTuple):
    """Where an export goes; the path `-` is standard output."""

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
    """Raises UsageError, CatalogUnusable, EvidenceBroken or ArchiveUnwritable; then nothing is left at the target."""
    archive = settings.archive.directory
    found = find(archive, _stores(archive, campaigns), selection)
    with output(target.path, force=target.force) as stream:
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
    """`kind`: csv, jsonl or parquet. Raises as `export_pack`."""
    archive = settings.archive.directory
    if kind == "parquet":
        require_parquet()
    rows = index(archive, _stores(archive, campaigns), days)
    write: dict[str, Callable[[], int]] = {
        "csv": lambda: write_csv(stream, rows, delimiter),
        "jsonl": lambda: write_jsonl(stream, rows),
        "parquet": lambda: write_parquet(stream, rows),
    }
    with output(target.path, force=target.force) as stream:
        written = write[kind]()
    say(f"{target.path}: {written:,} photos, one a row; paths are relative to {archive}")


def _stores(archive: Path, campaigns: tuple[int, ...]) -> list[int]:
    """Raises UsageError where there is no archive."""
    known = sorted(set(campaigns)) or known_stores(archive)
    if not known:
        raise UsageError(
            f"{archive}: there is no archive here, nothing to export.",
            "Check directory in [archive], or run `market-photos sync` first.",
        )
    return known


def _pack_lines(path: Path, packed: Packed) -> list[str]:
    lines = [
        f"{path}: {packed.photos:,} photos, {packed.size:,} bytes, each as it was fetched; open index.html in it"
    ]
    if packed.absent:
        lines.append(f"warning: {len(packed.absent):,} more photos are known and not in the pack:")
    lines += [f"  {photo.key}: {photo.state} {photo.note}".rstrip() for photo in packed.absent[:SHOWN_ABSENT]]
    if (more := len(packed.absent) - SHOWN_ABSENT) > 0:
        lines.append(f"  … and {more:,} more; the page names them all")
    return lines
