"""Standard input, output and error of the process, made safe to use whatever the caller did to them."""

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

#: U+0080-U+009F: terminals take some of them for the beginning of an escape sequence.
_C1 = dict.fromkeys(range(0x80, 0xA0), "?")
#: The same, and all others but tab and line feed.
_CONTROLS = _C1 | dict.fromkeys({*range(0x20), 0x7F} - {0x09, 0x0A}, "?")


class SafeText(io.TextIOWrapper):
    """A text stream whose writes never fail and never bring a C1 control character to a terminal.

    Where the file is closed or its disk is full, the text is lost; the command goes on, and so does its exit code.
    Bytes that are written to `buffer` fail as usual.
    """

    change: Callable[[str], str] = staticmethod(lambda text: text)

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            super().write(self.change(text).translate(_C1))
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except (OSError, ValueError):
            # what is left in the buffer would fail once more when Python ends
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                os.dup2(null, self.fileno())
                os.close(null)
                super().flush()


def without_controls(text: str) -> str:
    """Return the text with "?" for each control character other than tab and line feed."""
    return text.translate(_CONTROLS)


def make_safe(change: Callable[[str], str]) -> None:
    """Replace the standard streams. `change` is applied to each text that is written to them.

    A descriptor that is closed is opened on /dev/null, for reading: else the next file that is opened would take its
    place and receive what is printed. Writing to it fails, as it should for a file that the caller asked for.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # takes the lowest free number, which is this one
            os.set_inheritable(descriptor, True)
    if sys.stdin is None:
        sys.stdin = open(0)  # noqa: SIM115 - for the life of the process
    sys.stdout, sys.stderr = _safe(sys.stdout, 1, change), _safe(sys.stderr, 2, change)


def _safe(stream: TextIO | None, descriptor: int, change: Callable[[str], str]) -> TextIO:
    if stream is None:
        stream = io.TextIOWrapper(io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False)), "utf-8")
    if type(stream) is not io.TextIOWrapper:  # a test's, or another program's that calls us
        return stream
    encoding, is_line_buffered = stream.encoding, stream.line_buffering
    safe = SafeText(stream.detach(), encoding, "backslashreplace", line_buffering=is_line_buffered)
    safe.change = change
    return safe
