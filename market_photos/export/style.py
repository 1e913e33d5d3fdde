"""What the formats of a table have in common: headings, cells that are no formulas, libraries that may be lacking."""

import re
from typing import NamedTuple

from market_photos.errors import UsageError, how_to_install
from market_photos.export.rows import COLUMNS
from market_photos.pages import Wording

#: The beginning of a text that a spreadsheet reads as a formula. In some locales Excel accepts full-width signs too.
_FORMULA = re.compile(r"[\s\0]*[=+\-@＝＋－＠]|[\t\r\n]")


class Style(NamedTuple):
    """How a table for people is written."""

    words: Wording | None = None
    """The language of headings, values, dates and amounts; None: as the API writes them, with the columns' names."""
    delimiter: str = ";"
    """Of CSV. Russian Excel splits at semicolons, as the comma is its decimal separator."""

    def headings(self) -> list[str]:
        """Return the headings of the columns."""
        return [self.words(column.label) if self.words else column.name for column in COLUMNS]


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet would read the text as a formula where it is typed or imported."""
    return _FORMULA.match(text) is not None


def defused(text: str) -> str:
    """Return the text in a form that no spreadsheet evaluates."""
    return f"'{text}" if is_formula(text) else text


def lacking(what: str, library: str, extra: str) -> UsageError:
    """Return the error for a format whose library is not installed."""
    return UsageError(
        f"{what} needs {library}, which is not installed.",
        f"{how_to_install(extra)} Or use --format csv or jsonl.",
    )
