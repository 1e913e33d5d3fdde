"""JSON of a stranger, parsed to the same result by every interpreter."""

import json
import re
from collections.abc import Iterator
from typing import Any

#: Levels of nesting that are parsed where an interpreter refuses the whole; what lies below them becomes null. More
#: than the archive keeps in a record, so the record that is too deep is still refused, and it alone; fewer than the
#: 1 000 that the parser of 3.11 shares with the frames of its callers.
_LEVELS = 600
#: A text, whole or cut off, or a bracket. Possessive: linear in the length of any body.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def parse_json(body: bytes, **options: Any) -> Any:
    """Return the value of a JSON text of any depth. `options` are those of `json.loads`.

    Raises ValueError where it is no JSON, RecursionError where it is too deep and not in UTF-8.
    """
    try:
        return json.loads(body, **options)
    except RecursionError:
        return json.loads(b"".join(_shallow(body)), **options)


def _shallow(body: bytes) -> Iterator[bytes]:
    """Yield the pieces of the text with null in place of every value that lies too deep."""
    depth, kept_from = 0, 0
    for token in _TOKEN.finditer(body):
        if token[0] in b"[{":
            depth += 1
            if depth == _LEVELS + 1:
                yield body[kept_from : token.start()]
                yield b"null"
        elif token[0] in b"]}":
            depth -= 1
            if depth == _LEVELS:
                kept_from = token.end()
    if depth <= _LEVELS:
        yield body[kept_from:]
