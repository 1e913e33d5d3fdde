"""What is printed, and never the key: logging, errors and results of the command line.

People read standard error; programs read standard output.
"""

import json
import logging
import re
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from market_photos.errors import ExitCode, MarketPhotosError
from market_photos.streams import without_controls

_HIDDEN = "(key)"
#: A real key has 54 characters; a try-out key of one letter would hide half of every line.
SHORTEST_SECRET = 8


class Redactor:
    """Take secrets out of texts, also where characters are percent-encoded, once or more, or escaped as in JSON.

    Apply it to a whole text, before the text is cut: a part of a secret is not recognised.
    """

    def __init__(self) -> None:
        self._secrets: dict[str, re.Pattern[str]] = {}

    def hide(self, secret: str) -> None:
        if len(secret) < SHORTEST_SECRET:
            return
        self._secrets[secret] = re.compile("".join(map(_any_spelling, secret)))

    def __call__(self, text: str) -> str:
        for pattern in self._secrets.values():
            text = pattern.sub(_HIDDEN, text)
        return text


def _any_spelling(char: str) -> str:
    """Return a regular expression for the character as it stands, percent-encoded or escaped."""
    encoded = "".join(f"%(?:25)*(?i:{byte:02x})" for byte in char.encode())
    return rf"(?:\\?{re.escape(char)}|{encoded}|\\u(?i:{ord(char):04x}))"


redact = Redactor()

#: The store that the code at work concerns; tasks inherit it. JSON logs name it.
current_store: ContextVar[int | None] = ContextVar("current_store", default=None)


class _Handler(logging.Handler):
    """One line a record, on standard error, through the live view where there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        if _style.is_json:
            trace = {"traceback": _traceback(record.exc_info[1])} if record.exc_info and record.exc_info[1] else {}
            _print_json(record.levelname.lower(), record.getMessage(), logger=record.name, **trace)
        else:
            _print(self.format(record))


class _Style:
    """How standard error is written; set once, by the command line."""

    is_json = False


_style = _Style()


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return redact(text if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {text}")


def set_up_logging(verbose: int, quiet: bool, *, as_json: bool = False) -> None:
    """`verbose`: 1 tells what happens, 2 each request. `quiet`: errors only.

    `as_json`: whatever goes to standard error is one JSON object a line: time, level, message, and store where it
    concerns one.
    """
    _style.is_json = as_json
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    handler = _Handler()
    handler.setFormatter(_Formatter("%(asctime)s %(message)s", "%H:%M:%S") if verbose else _Formatter("%(message)s"))
    root = logging.getLogger("market_photos")
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(logging.ERROR if quiet else level)


def writes_json() -> bool:
    """Whether standard error is for programs, which want no live view."""
    return _style.is_json


def say(text: str, level: str = "info") -> None:
    """To people. A terminal that has gone away, or a full disk under a log, stops nothing.

    `level` shows in JSON only.
    """
    if _style.is_json:
        _print_json(level, text)
    else:
        _print(text)


def _print(text: str) -> None:
    print(without_controls(redact(text)), file=sys.stderr, flush=True)  # noqa: T201


def _print_json(level: str, message: str, **more: Any) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    store = current_store.get()
    about = {"time": now, "level": level, "message": message} | ({} if store is None else {"store": store}) | more
    _print(json.dumps(about, ensure_ascii=True))


def give(data: dict[str, Any]) -> None:
    """To programs: one JSON object on one line."""
    print(redact(json.dumps(data, ensure_ascii=True)), flush=True)  # noqa: T201


def show(text: str) -> None:
    """Print a result for people on standard output."""
    print(without_controls(redact(text)), flush=True)  # noqa: T201


def say_error(error: MarketPhotosError) -> None:
    if _style.is_json:
        _print_json("error", error.message, hint=error.hint, exit_code=int(error.exit_code))
        return
    say(f"error: {error.message}")
    if error.hint:
        say(f"  {error.hint}")


def say_internal_error(error: BaseException) -> ExitCode:
    last = "internal error; the archive is as the last completed step left it. Please report the lines above."
    if _style.is_json:
        _print_json("critical", last, traceback=_traceback(error), exit_code=int(ExitCode.INTERNAL))
        return ExitCode.INTERNAL
    say(_traceback(error))
    say(f"error: {last}")
    return ExitCode.INTERNAL


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
