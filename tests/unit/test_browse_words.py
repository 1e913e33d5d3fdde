"""The language of browse's pages."""

import pytest

from market_photos.browse.words import preferred


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en;q=0.2, ru;q=0.8", "ru"),
        ("en, ru", "en"),
        ("de", "en"),
        ("ru;q=0, de", "en"),
        (";;;q=,,\x00", "en"),
        ("", "en"),
    ],
)
def test_the_browsers_preferred_language_is_chosen(accept: str, language: str) -> None:
    assert preferred(accept) == language
