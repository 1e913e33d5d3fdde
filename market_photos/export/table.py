"""Write the table as CSV, JSON lines, Parquet or xlsx, without keeping the rows in memory."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Any, BinaryIO

from market_photos.clock import moscow_time
from market_photos.export.rows import COLUMNS, NAMES, Column, Row
from market_photos.export.style import Style, defused, lacking
from market_photos.export.workbook import write_xlsx
from market_photos.pages import Wording

#: Rows per Parquet row group: about 2 MB in memory.
GROUP_ROWS = 10_000


def write_csv(stream: BinaryIO, rows: Iterable[Row], style: Style) -> int:
    """Write the rows as CSV and return their number.

    The file is UTF-8 with a byte order mark: without it, Excel assumes a legacy code page. A text that a
    spreadsheet would read as a formula gets an apostrophe in front, because buyers write some of the texts.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="", write_through=False)
    written = 0
    try:
        writer = csv.writer(text, delimiter=style.delimiter, lineterminator="\r\n")
        writer.writerow(style.headings())
        for row in rows:
            cells = [_text(column, value, style.words) for column, value in zip(COLUMNS, row, strict=True)]
            writer.writerow(cells)
            written += 1
    finally:
        text.detach()
    return written


def _text(column: Column, value: Any, words: Wording | None) -> Any:
    """Return a cell of a CSV file."""
    if isinstance(value, Decimal):
        return words.decimal(value) if words else f"{value:f}"
    if not isinstance(value, str):
        return value
    if words:
        value = words.date(value) if column.kind == "time" else words.value(column.kind, value)
    return defused(value)


def write_jsonl(stream: BinaryIO, rows: Iterable[Row], style: Style) -> int:
    """Write one JSON object per line, in UTF-8 with texts unchanged, and return the number of rows."""
    written = 0
    for row in rows:
        content = dict(zip(NAMES, row, strict=True))
        stream.write(json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=float).encode() + b"\n")
        written += 1
    return written


def write_parquet(stream: BinaryIO, rows: Iterable[Row], style: Style) -> int:
    """Write the rows as Parquet and return their number. Raises UsageError where pyarrow is not installed."""
    try:
        import pyarrow as arrow  # noqa: PLC0415 - an extra, and slow to load
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise lacking("Parquet", "pyarrow", "parquet") from None
    types = {"number": arrow.int64(), "money": arrow.float64(), "time": arrow.timestamp("us", "UTC")}
    schema = arrow.schema([(column.name, types.get(column.kind, arrow.string())) for column in COLUMNS])
    read: dict[str, Callable[[Any], Any]] = {
        "time": moscow_time,
        "money": lambda amount: None if amount is None else float(amount),
    }
    written = 0
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        for group in _groups(iter(rows)):
            columns = [
                arrow.array([read[column.kind](cell) for cell in cells] if column.kind in read else cells, field.type)
                for column, cells, field in zip(COLUMNS, zip(*group, strict=True), schema, strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema), row_group_size=GROUP_ROWS)
            written += len(group)
    return written


#: By format.
WRITERS: dict[str, Callable[[BinaryIO, Iterable[Row], Style], int]] = {
    "csv": write_csv,
    "xlsx": write_xlsx,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}


def _groups(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while group := list(islice(rows, GROUP_ROWS)):
        yield group
