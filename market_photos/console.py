"""Print results, messages, errors and logs, with secrets taken out.

Standard error is for people, standard output for programs.
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
#: Shorter texts are not hidden: a made-up key of one letter would hide half of every line. Real keys have 54.
SHORTEST_SECRET = 8


class Redactor:
    """Replaces secrets in texts, also if characters are percent-encoded, once or more, or escaped as in JSON.

    Apply it to a text before the text is cut: a part of a secret is not recognised.
    """

    def __init__(self) -> None:
        self._secrets: dict[str, re.Pattern[str]] = {}

    def hide(self, secret: str) -> None:
        """Replace this secret from now on."""
        if len(secret) >= SHORTEST_SECRET:
            self._secrets[secret] = re.compile("".join(map(_any_spelling, secret)))

    def __call__(self, text: str) -> str:
        """Return the text without the secrets."""
        for pattern in self._secrets.values():
            text = pattern.sub(_HIDDEN, text)
        return text


def _any_spelling(char: str) -> str:
    """Return a regular expression for the character as it stands, percent-encoded or escaped."""
    encoded = "".join(f"%(?:25)*(?i:{byte:02x})" for byte in char.encode())
    return rf"(?:\\?{re.escape(char)}|{encoded}|\\u(?i:{ord(char):04x}))"


redact = Redactor()

#: Whether standard error is in JSON; set once, by the command line.
_is_json = False
#: The store on which the current task works; its subtasks inherit it. JSON logs contain it.
current_store: ContextVar[int | None] = ContextVar("current_store", default=None)


class _Handler(logging.Handler):
    """Prints a record as one line on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        if _is_json:
            trace = {"traceback": _traceback(record.exc_info[1])} if record.exc_info and record.exc_info[1] else {}
            _print_json(record.levelname.lower(), record.getMessage(), logger=record.name, **trace)
        else:
            level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
            _print(level + self.format(record))


def set_up_logging(verbose: int, quiet: bool, *, as_json: bool = False) -> None:
    """Set the level and the format of standard error.

    `verbose`: 0 logs warnings, 1 what happens, 2 each request. `quiet`: only errors. `as_json`: everything on
    standard error is one JSON object a line with time, level, message and, if it concerns one, the store.
    """
    global _is_json  # noqa: PLW0603 - the process has one standard error
    _is_json = as_json
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    handler = _Handler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s" if verbose else "%(message)s", "%H:%M:%S"))
    root = logging.getLogger("market_photos")
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(logging.ERROR if quiet else level)


def writes_json() -> bool:
    """Return whether standard error is in JSON."""
    return _is_json


def say(text: str, level: str = "info") -> None:
    """Print a message on standard error. `level` is written in JSON only. Does not raise if the write fails."""
    if _is_json:
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


def give(data: dict[str, Any] | list[Any]) -> None:
    """Print one JSON value on one line of standard output."""
    print(redact(json.dumps(data, ensure_ascii=True)), flush=True)  # noqa: T201


def show(text: str) -> None:
    """Print a result for people on standard output."""
    print(without_controls(redact(text)), flush=True)  # noqa: T201


def say_error(error: MarketPhotosError) -> None:
    """Print a foreseen error on standard error."""
    if _is_json:
        _print_json("error", error.message, hint=error.hint, exit_code=int(error.exit_code))
        return
    say(f"error: {error.message}")
    if error.hint:
        say(f"  {error.hint}")


def say_internal_error(error: BaseException) -> ExitCode:
    """Print an unforeseen error with its traceback on standard error, and return the exit code."""
    last = "a fault of market-photos; keep the lines above. The archive is as the last completed step left it."
    if _is_json:
        _print_json("critical", last, traceback=_traceback(error), exit_code=int(ExitCode.INTERNAL))
        return ExitCode.INTERNAL
    say(_traceback(error))
    say(f"error: {last}")
    return ExitCode.INTERNAL


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
