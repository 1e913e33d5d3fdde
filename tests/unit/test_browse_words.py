"""English and Russian."""

import tomllib
from importlib import resources

import pytest

from market_photos.browse.words import Words, choose
from market_photos.errors import ExitCode


def test_everything_is_said_in_both_languages() -> None:
    """And each exit code has its words."""
    table = tomllib.loads(resources.files("market_photos.browse").joinpath("words.toml").read_text(encoding="utf-8"))
    for section in table.values():
        for name, texts in section.items():
            assert len(texts) == 2, name
            assert all(texts), name
    assert {str(int(code)) for code in ExitCode} <= set(table["exit"])


@pytest.mark.parametrize(
    ("asked", "cookie", "accept", "language"),
    [
        ("ru", "en", "en", "ru"),
        ("", "ru", "en", "ru"),
        ("xx", "yy", "ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("", "", "en;q=0.2, ru;q=0.8", "ru"),
        ("", "", "en, ru", "en"),
        ("", "", "de", "en"),
        ("", "", "ru;q=0, de", "en"),
        ("", "", ";;;q=,,\x00", "en"),
        ("", "", "", "en"),
    ],
)
def test_the_language_is_chosen(asked: str, cookie: str, accept: str, language: str) -> None:
    """What was asked for now, else before, else what the browser prefers, else English."""
    assert choose(asked, cookie, accept) == language


@pytest.mark.parametrize(
    ("n", "russian"),
    [(1, "возврат"), (2, "возврата"), (5, "возвратов"), (11, "возвратов"), (21, "возврат"), (112, "возвратов")],
)
def test_russian_numbers_have_three_forms(n: int, russian: str) -> None:
    assert Words("ru").counted("returns_n", n) == f"{n} {russian}"


def test_amounts_are_readable() -> None:
    ru, en = Words("ru"), Words("en")
    assert (en.bytes(999), en.bytes(1_500_000), ru.bytes(1_500)) == ("999 bytes", "1.5 MB", "1,5 КБ")
    assert (en.number(12345), ru.number(12345)) == ("12,345", "12\N{NO-BREAK SPACE}345")
    assert (en.duration(59), ru.duration(3700)) == ("59 s", "1 ч 1 мин")
