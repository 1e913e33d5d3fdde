"""Reads JSON that is damaged in places, so that the damage costs the records it is in and not the whole answer.

Slow, and not needed for what a sound server sends: `records` comes here after the plain way has failed.
"""

import json
import math
import re
from typing import Any, NamedTuple, NoReturn

from market_photos.market.json_body import parse_json

#: Strings, so that brackets inside them do not count, and brackets. A string that is never closed ends the text.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
#: What `surrogateescape` makes of bytes that are not UTF-8.
_BAD_BYTE = re.compile("[\udc80-\udcff]")
#: Characters of a record that name it.
_SHOWN = 60


class Mended(NamedTuple):
    content: Any
    problems: list[str]
    """What was lost, in words; the texts are a stranger's."""


def loads(body: bytes) -> Any:
    """Return the content of sound JSON. Raises ValueError or RecursionError."""
    return parse_json(body, parse_constant=_no_constant, parse_float=_finite)


def mend(body: bytes, depth: int) -> Mended:
    """Return the content of damaged JSON, whose records begin inside `depth` brackets.

    A record is kept with U+FFFD in place of bytes that are not UTF-8, and with text in place of NaN, Infinity and
    numbers that are too long. What cannot be read even so becomes None. Raises ValueError or RecursionError where the
    frame of the records is damaged.
    """
    text = body.decode(json.detect_encoding(body), "surrogateescape")
    problems: list[str] = []
    pieces: list[str] = []
    end = 0
    for first, last in _spans(text, depth):
        pieces += [text[end:first], _mended_record(text[first:last], problems)]
        end = last
    framed = _whole("".join([*pieces, text[end:]])).strip()
    content, end = _LENIENT.raw_decode(framed)
    if end < len(framed):
        problems.append(f"the answer goes on after its end: {framed[end : end + _SHOWN]!r}")
    return Mended(content, problems)


def _spans(text: str, depth: int) -> list[tuple[int, int]]:
    """Where the objects and arrays inside `depth` brackets begin and end."""
    found, level, first = [], 0, 0
    for match in _TOKEN.finditer(text):
        if match[0] in "[{":
            first = match.start() if level == depth else first
            level += 1
        elif match[0] in "]}":
            level -= 1
            if level == depth:
                found.append((first, match.end()))
            if level == 0:
                break  # what follows is not part of the answer
    return found


def _mended_record(text: str, problems: list[str]) -> str:
    """The record as sound JSON."""
    try:
        if not _BAD_BYTE.search(text):
            json.loads(text, parse_constant=_no_constant, parse_float=_finite)
            return text
    except (ValueError, RecursionError):
        pass
    name = f"the record {_whole(text[:_SHOWN])!r}"
    try:
        mended = json.dumps(_LENIENT.decode(_whole(text)))
    except RecursionError:
        problems.append(f"{name} is nested too deeply")
    except ValueError as error:
        problems.append(f"{name} is no JSON: {error}")
    else:
        problems.append(f"{name} is damaged: kept with U+FFFD for bytes that are not UTF-8, text for odd numbers")
        return mended
    return "null"


def _whole(text: str) -> str:
    """The text with U+FFFD for bytes that are not UTF-8."""
    return _BAD_BYTE.sub("\N{REPLACEMENT CHARACTER}", text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float | str:
    """A number too great for a float stays text: as infinity it could not be written as JSON again."""
    return number if math.isfinite(number := float(text)) else text


def _int_or_text(text: str) -> int | str:
    """A number with more digits than Python converts stays text."""
    try:
        return int(text)
    except ValueError:
        return text


_LENIENT = json.JSONDecoder(parse_constant=str, parse_float=_finite, parse_int=_int_or_text, strict=False)
