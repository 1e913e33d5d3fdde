"""Write the index as CSV, JSON lines or Parquet, without keeping the rows in memory."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO

from market_photos.errors import UsageError, how_to_install
from market_photos.export.rows import COLUMNS, NUMBERS, Row

#: Where Russian Excel splits a CSV file that is opened by a double click; the comma is its decimal separator.
DELIMITER = ";"
#: Rows per Parquet row group: about 2 MB in memory.
GROUP_ROWS = 10_000

#: The beginning of a text that a spreadsheet reads as a formula. In some locales Excel accepts full-width signs too.
_FORMULA = re.compile(r"[\s\0]*[=+\-@＝＋－＠]|[\t\r\n]")


def write_csv(stream: BinaryIO, rows: Iterable[Row], delimiter: str = DELIMITER) -> int:
    """Write the rows as CSV and return their number.

    The file is UTF-8 with a byte order mark: without it, Excel assumes a legacy code page. A text that a
    spreadsheet would read as a formula gets an apostrophe in front, because buyers write some of the texts.
    """
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="", write_through=False)
    written = 0
    try:
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([defused(value) if isinstance(value, str) else value for value in row])
            written += 1
    finally:
        text.detach()
    return written


def defused(text: str) -> str:
    """Return the text in a form that no spreadsheet evaluates."""
    return f"'{text}" if _FORMULA.match(text) else text


def write_jsonl(stream: BinaryIO, rows: Iterable[Row]) -> int:
    """Write one JSON object per line, in UTF-8 with texts unchanged, and return the number of rows."""
    written = 0
    for row in rows:
        line = json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False, separators=(",", ":"))
        stream.write(line.encode() + b"\n")
        written += 1
    return written


def write_parquet(stream: BinaryIO, rows: Iterable[Row]) -> int:
    """Write the rows as Parquet and return their number. Raises UsageError where pyarrow is not installed."""
    arrow, parquet = require_parquet()
    schema = arrow.schema([(name, arrow.int64() if name in NUMBERS else arrow.string()) for name in COLUMNS])
    written = 0
    with parquet.ParquetWriter(stream, schema, compression="zstd") as writer:
        for group in _groups(iter(rows)):
            columns = [
                arrow.array(column, field.type)
                for column, field in zip(zip(*group, strict=True), schema, strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema), row_group_size=GROUP_ROWS)
            written += len(group)
    return written


def require_parquet() -> tuple[Any, Any]:
    """Return pyarrow and its parquet module. Raises UsageError where they are not installed."""
    try:
        import pyarrow  # noqa: PLC0415 - an extra, and slow to load
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed.",
            f"{how_to_install('parquet')} Or use --format csv or jsonl.",
        ) from None
    return pyarrow, pyarrow.parquet


#: By format.
WRITERS: dict[str, Callable[[BinaryIO, Iterable[Row]], int]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}


def _groups(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while group := list(islice(rows, GROUP_ROWS)):
        yield group
