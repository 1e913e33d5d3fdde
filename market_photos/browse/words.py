"""What the pages say, in English and Russian."""

import tomllib
from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import NamedTuple

LANGUAGES = ("en", "ru")


@cache
def _table() -> dict[str, dict[str, list[str]]]:
    content = resources.files("market_photos.browse").joinpath("words.toml").read_text(encoding="utf-8")
    return tomllib.loads(content)


class Words:
    """The words of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._column = LANGUAGES.index(language)

    def __call__(self, name: str, section: str = "ui", **values: object) -> str:
        """A text of our own. Raises KeyError where there is none."""
        return _table()[section][name][self._column].format(**values)

    def known(self, section: str, value: str) -> str:
        """What a value of the API means; empty where nobody knows."""
        found = _table()[section].get(value)
        return found[self._column] if found else ""

    def counted(self, name: str, n: int) -> str:
        """`1 return`, `2 возврата`."""
        forms = _table()["ui"][name][self._column].split("|")
        return forms[min(_plural(self.language)(n), len(forms) - 1)].format(n=self.number(n))

    def number(self, value: int) -> str:
        """With a no-break space or a comma between the thousands."""
        return f"{value:,}".replace(",", "\N{NO-BREAK SPACE}" if self.language == "ru" else ",")

    def bytes(self, size: int) -> str:
        units = ("Б", "КБ", "МБ", "ГБ") if self.language == "ru" else ("bytes", "KB", "MB", "GB")
        amount = float(size)
        for unit in units[:-1]:
            if amount < 1000:
                return self._decimal(f"{amount:.0f} {unit}" if unit == units[0] else f"{amount:.1f} {unit}")
            amount /= 1000
        return self._decimal(f"{amount:.1f} {units[-1]}")

    def duration(self, seconds: float) -> str:
        hour, minute, second = ("ч", "мин", "с") if self.language == "ru" else ("h", "min", "s")
        if seconds < 60:
            return f"{max(0, seconds):.0f} {second}"
        if seconds < 3600:
            return f"{seconds // 60:.0f} {minute} {seconds % 60:.0f} {second}"
        return f"{seconds // 3600:.0f} {hour} {seconds % 3600 // 60:.0f} {minute}"

    def _decimal(self, shown: str) -> str:
        return shown.replace(".", ",") if self.language == "ru" else shown


def _plural(language: str) -> Callable[[int], int]:
    return _russian if language == "ru" else (lambda n: int(n != 1))


def _russian(n: int) -> int:
    """0: 1, 21, 31 возврат; 1: 2, 3, 4, 22 возврата; 2: 5, 11, 12 возвратов."""
    if n % 10 == 1 and n % 100 != 11:
        return 0
    return 1 if 2 <= n % 10 <= 4 and not 12 <= n % 100 <= 14 else 2


class Preferred(NamedTuple):
    quality: float
    place: int
    language: str


def choose(asked: str, cookie: str, accept: str) -> str:
    """The language of a page: what was asked for now, else before, else what the browser prefers."""
    for given in (asked, cookie):
        if given in LANGUAGES:
            return given
    found = [_preferred(place, part) for place, part in enumerate(accept[:500].split(","))]
    known = [one for one in found if one.language in LANGUAGES and one.quality > 0]
    return min(known, key=lambda one: (-one.quality, one.place)).language if known else "en"


def _preferred(place: int, part: str) -> Preferred:
    name, _, parameter = part.partition(";")
    try:
        quality = float(parameter.strip().removeprefix("q=")) if parameter.strip() else 1.0
    except ValueError:
        quality = 0.0
    return Preferred(quality, place, name.strip().lower().partition("-")[0])
