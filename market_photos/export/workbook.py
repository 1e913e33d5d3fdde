"""Write rows into the sheets of an xlsx file, with numbers as numbers, dates as dates, and no formula."""

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, BinaryIO

from market_photos.clock import moscow_time
from market_photos.export.rows import COLUMNS, Column, Row
from market_photos.export.style import Style, is_formula, lacking
from market_photos.pages import Wording
from market_photos.text import without_controls

#: Rows of a sheet, with the heading; characters of a cell (limits of Excel).
_ROWS, _CHARACTERS = 1_048_576, 32_767
#: The largest whole number that Excel keeps exactly.
_MAX_NUMBER = 10**15
#: The first date that Excel shows as one, and the first that it does not.
_FIRST, _END = dt.datetime(1900, 3, 1), dt.datetime(9999, 12, 31)  # noqa: DTZ001 - a spreadsheet has no time zones
_WIDTHS = {"number": 12, "money": 11, "time": 17, "text": 18}
_OPTIONS = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
}


def write_xlsx(stream: BinaryIO, rows: Iterable[Row], style: Style) -> int:
    """Write the rows as xlsx and return their number. Raises UsageError where XlsxWriter is not installed."""
    try:
        from xlsxwriter import Workbook  # noqa: PLC0415 - an extra, and slow to load
    except ImportError:
        raise lacking("xlsx", "XlsxWriter", "xlsx") from None
    with Workbook(stream, _OPTIONS) as book:
        sheets = _Sheets(book, style.headings())
        for row in rows:
            sheets.add(row, style.words)
        sheets.finish()
    return sheets.written


class _Sheets:
    """The sheets of a workbook: when one is full, the next begins."""

    def __init__(self, book: Any, headings: list[str]) -> None:
        self.written = 0
        self._book = book
        self._book.set_properties({"author": "market-photos"})
        self._headings = headings
        self._bold = self._book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1})
        # A person who edits such a cell does not make it a formula either.
        self._quoted = self._book.add_format({"quote_prefix": True})
        formats = {"time": "dd.mm.yyyy hh:mm", "money": "#,##0.00", "number": "0"}
        self._formats = {kind: self._book.add_format({"num_format": code}) for kind, code in formats.items()}
        self._add_sheet()

    def add(self, row: Row, words: Wording | None) -> None:
        """Add a row; with `words`, values of the API are written in words."""
        if self._next == _ROWS:
            self.finish()
            self._add_sheet()
        for number, (column, value) in enumerate(zip(COLUMNS, row, strict=True)):
            self._write(number, column, value, words)
        self._next += 1
        self.written += 1

    def _write(self, number: int, column: Column, value: Any, words: Wording | None) -> None:
        if value is None or value == "":
            return
        moment = moscow_time(value) if column.kind == "time" else None
        if moment and _FIRST <= moment.replace(tzinfo=None) < _END:
            self._sheet.write_datetime(self._next, number, moment.replace(tzinfo=None), self._formats["time"])
        elif isinstance(value, int | Decimal) and -_MAX_NUMBER < value < _MAX_NUMBER:
            self._sheet.write_number(self._next, number, value, self._formats[column.kind])
        else:
            text = without_controls(words.value(column.kind, value) if words else str(value))
            self._sheet.write_string(
                self._next, number, text[:_CHARACTERS], self._quoted if is_formula(text) else None
            )

    def _add_sheet(self) -> None:
        self._sheet = self._book.add_worksheet()
        self._sheet.freeze_panes(1, 3)
        for number, column in enumerate(COLUMNS):
            self._sheet.set_column(number, number, 50 if column.name == "comment" else _WIDTHS.get(column.kind, 24))
            self._sheet.write_string(0, number, self._headings[number], self._bold)
        self._next = 1

    def finish(self) -> None:
        """Let the rows of the present sheet be filtered."""
        self._sheet.autofilter(0, 0, max(1, self._next - 1), len(COLUMNS) - 1)
