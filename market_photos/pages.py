"""Templates, texts in two languages, numbers and dates for the pages of `browse` and of export's packs.

Only this module imports Babel and Jinja2, so that commands without pages do not load them.
"""

import datetime as dt
import tomllib
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from babel import Locale
from babel.dates import format_datetime
from babel.numbers import format_decimal
from babel.units import format_unit

from market_photos.clock import MOSCOW, moscow_time
from market_photos.record import Amount
from market_photos.text import without_controls

#: In the order of the columns of every table of words. English dates and units are written as in Britain.
LANGUAGES = ("en", "ru")
_LOCALES = {"en": Locale("en", "GB"), "ru": Locale("ru")}
#: The order in which a table of words lists plural forms; a language has some of them, the last serves the rest.
_PLURALS = ("one", "few", "many", "other")
#: As people write them: `26 Nov 2026, 06:30` and `26.11.2026 06:30`.
_MOMENTS = {"en": "d MMM y, HH:mm", "ru": "dd.MM.y HH:mm"}
_BYTE_UNITS = ("byte", "kilobyte", "megabyte", "gigabyte")


class Wording:
    """The texts of one language: `values.toml`, which all rooms share, and the package's `words.toml`.

    Both hold `[section] name = [English, Russian]`. The package's `ui` extends the shared `field`.
    """

    def __init__(self, language: str, package: str = "") -> None:
        self.language = language
        self._locale = _LOCALES[language]
        self._column = LANGUAGES.index(language)
        self._sections = _sections(package)

    def __call__(self, name: str, section: str = "ui", **values: object) -> str:
        """Return a text with `{values}` filled in. Raises KeyError where there is none."""
        return self._sections[section][name][self._column].format(**values)

    def value(self, section: str, value: str) -> str:
        """Return what a value of the API, a photo's state or an exit code means; an unknown value as it is."""
        texts = self._sections.get(section, {}).get(value)
        return texts[self._column] if texts else value

    def counted(self, name: str, n: int, section: str = "ui") -> str:
        """Return a number with its noun: `1 return`, `2 возврата`."""
        forms = self(name, section, n=self.number(n)).split("|")
        return forms[min(_PLURALS.index(self._locale.plural_form(n)), len(forms) - 1)]

    def number(self, value: int) -> str:
        """Return a number with separators."""
        return format_decimal(value, locale=self._locale)

    def bytes(self, size: float) -> str:
        """Return a size in decimal units: `999 bytes`, `1,5 МБ`."""
        power = 0
        while size >= 1000 and power < len(_BYTE_UNITS) - 1:
            size, power = size / 1000, power + 1
        unit = f"digital-{_BYTE_UNITS[power]}"
        return format_unit(size, unit, "short" if power else "long", "#,##0.#", locale=self._locale)

    def duration(self, seconds: float) -> str:
        """Return a duration in its two largest units: `1 hr 5 min`."""
        minutes, seconds = divmod(max(0, round(seconds)), 60)
        hours, minutes = divmod(minutes, 60)
        days, hours_of_day = divmod(hours, 24)
        parts = [(hours, "hour"), (minutes, "minute")] if hours else [(minutes, "minute"), (seconds, "second")]
        parts = [(days, "day"), (hours_of_day, "hour")] if days > 2 else parts
        shown = [part for part in parts if part[0]] or parts[-1:]
        return " ".join(format_unit(n, f"duration-{unit}", length="short", locale=self._locale) for n, unit in shown)

    def money(self, amount: Amount | None) -> str:
        """Return an amount with its currency, `1,200 ₽`; empty for None."""
        if amount is None:
            return ""
        currency = "₽" if amount.currency in ("RUR", "RUB") else amount.currency
        return f"{format_decimal(amount.value, locale=self._locale)} {currency}".strip()

    def decimal(self, value: Decimal) -> str:
        """Return a number without separators of thousands, as a spreadsheet in this language reads it."""
        return format_decimal(value, "0.######", locale=self._locale)

    def date(self, text: str) -> str:
        """Return one of the API's dates in Moscow time; a text that is no date as it is."""
        moment = moscow_time(text)
        if moment and len(text) == len("2026-11-26"):
            return format_datetime(
                moment, _MOMENTS[self.language][:-5].rstrip(" ,"), tzinfo=MOSCOW, locale=self._locale
            )
        return self._moment(moment) if moment else text

    def moment(self, wall: float | None) -> str:
        """Return seconds since 1970 in Moscow time; empty for None and for what no calendar has."""
        try:
            return "" if wall is None else self._moment(dt.datetime.fromtimestamp(wall, MOSCOW))
        except (ValueError, OverflowError, OSError):
            return ""

    def _moment(self, moment: dt.datetime) -> str:
        return format_datetime(moment, _MOMENTS[self.language], tzinfo=MOSCOW, locale=self._locale)


@cache
def _sections(package: str) -> dict[str, dict[str, list[str]]]:
    values = _read_table("market_photos", "values.toml")
    own = _read_table(package, "words.toml") if package else {}
    return values | own | {"ui": values["field"] | own.get("ui", {})}


def _read_table(package: str, name: str) -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(resources.files(package).joinpath(name).read_text(encoding="utf-8"))


def templates(package: str) -> jinja2.Environment:
    """Return the package's templates. They escape every value, and drop control characters from every string."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_plain,
    )


def _plain(value: Any) -> Any:
    # Not of Markup, a subclass of str that macros return: it would be escaped a second time.
    return without_controls(value) if type(value) is str else value
