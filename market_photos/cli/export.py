"""`export`: write packs of evidence and tables."""

import datetime as dt
from pathlib import Path
from typing import Any

import click

from market_photos.archive.places import open_archive
from market_photos.cli.options import DATE, ID, campaigns_option, config_option
from market_photos.clock import SystemClock
from market_photos.config import find_config, load
from market_photos.errors import UsageError
from market_photos.export.exporting import Job, export_index, export_pack
from market_photos.export.rows import Days
from market_photos.export.selection import Selection

FORMATS = ("csv", "jsonl", "parquet")
DEFAULT_DELIMITER = ";"


@click.command()
@click.option("--order", type=ID, help="Export a pack of evidence: all returns of this order.")
@click.option("--return", "returns", type=ID, multiple=True, help="Export a pack of this return; may be repeated.")
@click.option(
    "--language",
    type=click.Choice(["ru", "en"]),
    default="ru",
    show_default=True,
    help="Write the page of a pack in this language.",
)
@click.option("--format", "kind", type=click.Choice(FORMATS), help="Export a table: one row per photo.")
@click.option("--from", "first", type=DATE, help="Table: begin with returns created on this day.")
@click.option("--to", "last", type=DATE, help="Table: end with returns created on this day.")
@click.option(
    "--delimiter",
    metavar="CHARACTER",
    help="CSV: separate cells by this, or by `tab`. Default: ; as Russian Excel expects.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Write this file; - is standard output.",
)
@click.option("--force", is_flag=True, help="Replace the file if an export wrote it.")
@campaigns_option
@config_option
def export(
    *,
    order: int | None,
    returns: tuple[int, ...],
    kind: str | None,
    out: Path,
    force: bool,
    campaigns: tuple[int, ...],
    config: Path | None,
    **options: Any,
) -> None:
    """Export evidence, or a table of the archive.

    With --order or --return: a zip with the photos as the Market served them, the API's records, a page to read and
    print (index.html), and BagIt manifests for checking it. With --format: a table of all photos and their returns,
    for Excel, pandas or DuckDB. A running sync is not disturbed.
    """
    wants_pack = order is not None or bool(returns)
    if wants_pack == (kind is not None):
        raise UsageError(
            "Say what to export: --order or --return for a pack of evidence, or --format for the index, not both.",
            "For example: market-photos export --order 40000123 --out pack.zip",
        )
    job = Job(open_archive(load(find_config(config)).archive), campaigns, out, force)
    if kind is None:
        _pack(job, Selection(order, tuple(sorted(set(returns)))), **options)
    else:
        _index(job, kind=kind, **options)


def _pack(job: Job, selection: Selection, *, language: str, **index_options: Any) -> None:
    _refuse(index_options, "a pack", "--format")
    export_pack(job, selection, language, SystemClock())


def _index(
    job: Job,
    *,
    kind: str,
    first: dt.datetime | None,
    last: dt.datetime | None,
    delimiter: str | None,
    language: str,
) -> None:
    if kind != "csv":
        _refuse({"delimiter": delimiter}, f"--format {kind}", "--format csv")
    if first and last and first > last:
        raise UsageError(f"--from {first.date()} is after --to {last.date()}.", "Give the earlier day to --from.")
    days = Days(first.date() if first else None, last.date() if last else None)
    export_index(job, days, kind, _delimiter(delimiter))


def _refuse(options: dict[str, Any], what: str, belongs: str) -> None:
    names = {"first": "--from", "last": "--to", "delimiter": "--delimiter"}
    if given := [names[name] for name, value in options.items() if value is not None]:
        raise UsageError(f"{', '.join(given)} cannot be used with {what}.", f"Use it with {belongs}.")


def _delimiter(text: str | None) -> str:
    """Return the delimiter. Raises UsageError if it cannot separate cells."""
    found = "\t" if text in {"tab", "\\t"} else DEFAULT_DELIMITER if text is None else text
    if len(found) != 1 or found in '"\r\n\0' or found.isalnum():
        raise UsageError(f"--delimiter {text!r} cannot separate cells.", "Give one character: ; or , or tab.")
    return found
