"""The language of a page and the form of lists: as the address says, and remembered in cookies."""

from contextlib import suppress

from aiohttp import web
from yarl import URL

from market_photos.pages import LANGUAGES, Wording

#: What a visitor may choose: the name in the address, and its values; the first value is the default.
CHOICES = {"lang": LANGUAGES, "view": ("cards", "compact")}
_YEAR = 365 * 86_400


def language_of(request: web.Request) -> Wording:
    """Return the texts in the language of the request."""
    accept = request.headers.get("Accept-Language", "")
    return Wording(chosen(request, "lang") or preferred(accept), "market_photos.browse")


def is_compact(request: web.Request) -> bool:
    """Return whether lists are shown in their compact form."""
    return chosen(request, "view") == "compact"


def chosen(request: web.Request, name: str) -> str:
    """Return the choice in the address, else in the cookie; empty if there is none."""
    given = (request.query.get(name, ""), request.cookies.get(f"market_photos_{name}", ""))
    return next((value for value in given if value in CHOICES[name]), "")


def remember_choices(request: web.Request, response: web.Response) -> None:
    """Set a cookie for each choice in the address."""
    for name, values in CHOICES.items():
        if (value := request.query.get(name, "")) in values:
            cookie = f"market_photos_{name}"
            response.set_cookie(cookie, value, max_age=_YEAR, httponly=True, samesite="Strict")


def preferred(accept: str) -> str:
    """Return the language of an Accept-Language header, by default English."""
    qualities: dict[str, float] = {}
    for part in accept[:500].lower().split(","):
        name, _, parameter = part.partition(";")
        with suppress(ValueError):
            quality = float(parameter.strip().removeprefix("q=")) if parameter.strip() else 1.0
            qualities.setdefault(name.strip().partition("-")[0], quality)
    known = [language for language, quality in qualities.items() if language in LANGUAGES and quality > 0]
    return max(known, key=qualities.__getitem__, default="en")


def own_address(url: URL) -> str:
    """Return the path and query of a request as a link, without a leading `//`, which would name another host."""
    return "/" + str(url).lstrip("/")
