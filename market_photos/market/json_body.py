"""Parse JSON that may be damaged or nested too deeply, to the same result on every Python version."""

import json
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

#: Levels of nesting that are kept where the parser refuses the whole text. More than the archive keeps in a record,
#: so that record is still refused, and only it; fewer than the 1 000 that the parser of Python 3.11 shares with its
#: callers.
_LEVELS = 600
#: Strings, so that brackets inside them do not count, and brackets. An unclosed string ends the text. Possessive, so
#: that the time is linear in the length of any text.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
#: Bytes that are not UTF-8, as `surrogateescape` decodes them.
_BAD_BYTE = re.compile("[\udc80-\udcff]")
#: Characters of a record that name it in a message.
_SHOWN = 60


class Parsed(NamedTuple):
    """The content of a body, and what of it was lost, in words with text of the server."""

    content: Any
    problems: list[str]


def parse_json(body: bytes) -> Any:
    """Return the content of sound JSON; values that are nested too deeply become null.

    Raises ValueError if it is no JSON.
    """
    text = body.decode(json.detect_encoding(body), "surrogatepass")
    try:
        return _STRICT.decode(text)
    except RecursionError:
        return _STRICT.decode(_replace_values(text, _LEVELS, lambda _: "null"))


def parse_records(body: bytes, depth: int) -> Parsed:
    """Return the content of JSON in which records inside `depth` brackets may be damaged.

    A damaged record is kept with U+FFFD for bytes that are not UTF-8, and with text for NaN, Infinity and numbers
    that are too long. A record that cannot be read becomes None. Raises ValueError or RecursionError if the text
    around the records is damaged.
    """
    try:
        return Parsed(parse_json(body), [])
    except ValueError:
        return _mended(body.decode(json.detect_encoding(body), "surrogateescape"), depth)


def _mended(text: str, depth: int) -> Parsed:
    problems: list[str] = []
    framed = _without_bad_bytes(_replace_values(text, depth, lambda record: _mended_record(record, problems))).strip()
    content, end = _LENIENT.raw_decode(framed)
    if end < len(framed):
        problems.append(f"the answer goes on after its end: {framed[end : end + _SHOWN]!r}")
    return Parsed(content, problems)


def _replace_values(text: str, depth: int, replacement: Callable[[str], str]) -> str:
    """Return the text with `replacement` of each object and array that has `depth` brackets around it."""
    pieces: list[str] = []
    level = first = end = 0
    for match in _TOKEN.finditer(text):
        if match[0] in "[{":
            first = match.start() if level == depth else first
            level += 1
        elif match[0] in "]}":
            level -= 1
            if level == depth:
                pieces += [text[end:first], replacement(text[first : match.end()])]
                end = match.end()
            if level == 0:
                break  # the rest is not part of the answer
    if level > depth:
        pieces += [text[end:first], replacement(text[first:])]
        end = len(text)
    return "".join([*pieces, text[end:]])


def _mended_record(text: str, problems: list[str]) -> str:
    """Return the record as sound JSON."""
    try:
        if not _BAD_BYTE.search(text):
            _STRICT.decode(text)
            return text
    except (ValueError, RecursionError):
        pass
    name = f"the record {_without_bad_bytes(text[:_SHOWN])!r}"
    try:
        mended = json.dumps(_LENIENT.decode(_without_bad_bytes(text)))
    except RecursionError:
        problems.append(f"{name} is nested too deeply")
    except ValueError as error:
        problems.append(f"{name} is no JSON: {error}")
    else:
        problems.append(f"{name} is damaged: kept with U+FFFD for bytes that are not UTF-8, text for odd numbers")
        return mended
    return "null"


def _without_bad_bytes(text: str) -> str:
    """Return the text with U+FFFD for bytes that are not UTF-8."""
    return _BAD_BYTE.sub("\N{REPLACEMENT CHARACTER}", text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float | str:
    """Return the number, or its text if no float holds it: infinity cannot be written as JSON again."""
    return number if math.isfinite(number := float(text)) else text


def _int_or_text(text: str) -> int | str:
    """Return the number, or its text if it has more digits than Python converts."""
    try:
        return int(text)
    except ValueError:
        return text


_STRICT = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
_LENIENT = json.JSONDecoder(parse_constant=str, parse_float=_finite, parse_int=_int_or_text, strict=False)
