"""The language of browse's pages."""

import pytest

from market_photos.browse.words import choose


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
def test_query_cookie_and_browser_choose_the_language(asked: str, cookie: str, accept: str, language: str) -> None:
    assert choose(asked, cookie, accept) == language
