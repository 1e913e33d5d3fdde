"""Encode the API's record of a return for the catalogue and for return.json. Pure."""

import json
import zlib
from typing import Any

from pydantic_core import to_json

#: Levels of lists and objects in a record that is kept; the API's records have 8. Interpreters give up at different
#: depths (3.11: 1,000 less the caller's frames, 3.12.1: 1,497, 3.13: 9,998), so this limit is below them all. It is
#: above the 254 levels that `to_json` writes: only a record that `to_json` refuses has to be measured.
MAX_DEPTH = 500


def pack(record: dict[str, Any]) -> bytes:
    """Return the record as compressed JSON. Raises ValueError if it is nested more than MAX_DEPTH levels deep."""
    return zlib.compress(_compact(record))


def _compact(record: dict[str, Any]) -> bytes:
    try:
        return to_json(record)
    except ValueError:  # half a surrogate pair, or very deep: json escapes any text as ASCII
        if is_too_deep(record):
            raise ValueError(f"its record is nested more than {MAX_DEPTH} levels deep") from None
        return json.dumps(record, separators=(",", ":")).encode()


def is_too_deep(value: Any) -> bool:
    """Return whether lists and objects are nested more than MAX_DEPTH levels deep, the value itself included."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def unpack(packed: bytes) -> dict[str, Any]:
    """Return the record that `pack` encoded. Raises ValueError if `pack` cannot have made `packed`."""
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("the packed record is cut off or too long")
    try:
        record = json.loads(content)
    except RecursionError as error:
        raise ValueError("the record is nested too deeply") from error
    if not isinstance(record, dict):
        raise ValueError("the packed record is no object")
    return record


def render(record: dict[str, Any]) -> bytes:
    """Return the content of return.json."""
    return json.dumps(record, ensure_ascii=False, indent=1).encode(errors="backslashreplace") + b"\n"
