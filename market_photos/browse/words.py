"""Choose the language of a page."""

from contextlib import suppress

from aiohttp import web

from market_photos.pages import LANGUAGES, Wording

COOKIE = "market_photos_lang"
_YEAR = 365 * 86_400


def language_of(request: web.Request) -> Wording:
    """Return the texts in the language of the request."""
    requested, cookie = request.query.get("lang", ""), request.cookies.get(COOKIE, "")
    return Wording(choose(requested, cookie, request.headers.get("Accept-Language", "")), "market_photos.browse")


def remember_language(request: web.Request, response: web.Response) -> None:
    """Set a cookie if the address of the request contains a language."""
    if (requested := request.query.get("lang", "")) in LANGUAGES:
        response.set_cookie(COOKIE, requested, max_age=_YEAR, httponly=True, samesite="Strict")


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
