"""`export`: write packs of evidence and tables."""

import datetime as dt
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from market_photos import console
from market_photos.archive.catalog.reader import snapshot
from market_photos.archive.place import Archive
from market_photos.archive.places import open_archive
from market_photos.cli.each_store import EachStore
from market_photos.cli.options import DATE, ID, campaigns_option, config_option
from market_photos.clock import SystemClock
from market_photos.config import find_config, load
from market_photos.errors import UsageError
from market_photos.export.exporting import Job, export_pack, export_table
from market_photos.export.rows import Days
from market_photos.export.selection import Selection
from market_photos.export.style import Style
from market_photos.export.table import WRITERS
from market_photos.pages import LANGUAGES, Wording

#: Formats for people: headings and values can be in words.
SPREADSHEETS = ("csv", "xlsx")
_OPTIONS = {
    "pdf": "--pdf",
    "first": "--from",
    "last": "--to",
    "delimiter": "--delimiter",
    "language": "--lang",
    "all_returns": "--all-returns",
}


@click.command()
@click.option("--order", type=ID, metavar="ID", help="Export a pack of evidence: all returns of this order.")
@click.option(
    "--return", "returns", type=ID, multiple=True, metavar="ID", help="Export a pack of this return; repeatable."
)
@click.option("--pdf", is_flag=True, help="Pack: write its page as one PDF, for a support form.")
@click.option(
    "--lang",
    "--language",
    "language",
    type=click.Choice(LANGUAGES),
    help="Language. Pack: ru by default. csv, xlsx: headings and values in words.",
)
@click.option("--format", "kind", type=click.Choice(list(WRITERS)), help="Export a table: one row per photo.")
@click.option("--from", "first", type=DATE, metavar="DATE", help="Table: only returns created on or after this day.")
@click.option("--to", "last", type=DATE, metavar="DATE", help="Table: only returns created on or before this day.")
@click.option("--all-returns", is_flag=True, help="Table: also returns without photos.")
@click.option("--delimiter", help="csv: character between cells, or `tab`. Default: ; (with --lang en a comma).")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="File to write; - for standard output.",
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
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
            "Say what to export: --order or --return for a pack of evidence, or --format for a table, not both.",
            "For example: market-photos export --order 40000123 --out pack.zip",
        )
    job = Job(open_archive(load(find_config(config)).archive), out, force)
    if kind is None:
        _pack(job, campaigns, Selection(order, tuple(sorted(set(returns)))), **options)
    else:
        _table(job, campaigns, kind, **options)


def _pack(
    job: Job,
    campaigns: tuple[int, ...],
    selection: Selection,
    *,
    pdf: bool,
    language: str | None,
    **table_options: Any,
) -> None:
    _refuse(table_options, "a pack", "--format")
    each = EachStore()
    found = each.find_returns(job.archive, campaigns, *selection)
    export_pack(job, found, selection, language or "ru", SystemClock(), pdf=pdf)
    if each.failed:
        console.say(
            f"warning: {each.named()}: could not be read; if it has {selection.describe()} too, the pack lacks it."
        )
    sys.exit(each.exit_code())


def _table(
    job: Job,
    campaigns: tuple[int, ...],
    kind: str,
    *,
    pdf: bool,
    first: dt.datetime | None,
    last: dt.datetime | None,
    all_returns: bool,
    delimiter: str | None,
    language: str | None,
) -> None:
    _refuse({"pdf": pdf}, "a table", "--order or --return")
    if kind != "csv":
        _refuse({"delimiter": delimiter}, f"--format {kind}", "--format csv")
    if kind not in SPREADSHEETS:
        _refuse({"language": language}, f"--format {kind}", "--format csv or xlsx")
    if first and last and first > last:
        raise UsageError(f"--from {first.date()} is after --to {last.date()}.", "Give the earlier day to --from.")
    days = Days(first.date() if first else None, last.date() if last else None)
    style = Style(Wording(language) if language else None, _delimiter(delimiter, language))
    export_table(job, partial(_readable, job.archive, campaigns), days, kind, style, all_returns=all_returns)


def _readable(archive: Archive, campaigns: tuple[int, ...]) -> list[int]:
    """Return the stores of a table. Raises an error, before anything is written, unless all can be read."""
    each = EachStore()

    def open_once(campaign: int) -> int:
        with snapshot(archive.catalogs, campaign):
            return campaign

    stores = each.results(each.select(archive, campaigns), open_once)
    if each.failed:
        raise each.refusal(
            f"{each.named()}: the table would lack it, so nothing was written.",
            "See the error above, or name the stores that can be read with --campaign.",
        )
    return stores


def _refuse(options: dict[str, Any], what: str, belongs: str) -> None:
    if given := [_OPTIONS[name] for name, value in options.items() if value]:
        raise UsageError(f"{', '.join(given)} cannot be used with {what}.", f"Use it with {belongs}.")


def _delimiter(text: str | None, language: str | None) -> str:
    """Return the delimiter. Raises UsageError if it cannot separate cells."""
    default = "," if language == "en" else ";"
    found = "\t" if text in {"tab", "\\t"} else default if text is None else text
    if len(found) != 1 or found in '"\r\n\0' or found.isalnum():
        raise UsageError(f"--delimiter {text!r} cannot separate cells.", "Give one character: ; or , or tab.")
    return found
