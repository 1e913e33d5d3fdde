"""Choose the language of a page."""

from typing import NamedTuple

from market_photos.pages import LANGUAGES


class Preferred(NamedTuple):
    quality: float
    place: int
    language: str


def choose(asked: str, cookie: str, accept: str) -> str:
    """Return the language of the request, else of its cookie, else the one its browser prefers, else English."""
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
