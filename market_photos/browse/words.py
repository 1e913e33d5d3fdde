"""Choose the language of a page."""

from contextlib import suppress

from market_photos.pages import LANGUAGES


def choose(requested: str, cookie: str, accept: str) -> str:
    """Return the language of the address, else of the cookie, else of the Accept-Language header, else English."""
    for language in (requested, cookie):
        if language in LANGUAGES:
            return language
    qualities: dict[str, float] = {}
    for part in accept[:500].lower().split(","):
        name, _, parameter = part.partition(";")
        with suppress(ValueError):
            quality = float(parameter.strip().removeprefix("q=")) if parameter.strip() else 1.0
            qualities.setdefault(name.strip().partition("-")[0], quality)
    known = [language for language, quality in qualities.items() if language in LANGUAGES and quality > 0]
    return max(known, key=qualities.__getitem__, default="en")
