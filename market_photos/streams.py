"""Make standard input, output and error usable whatever the parent process did to them."""

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

#: U+0080-U+009F: some start an escape sequence in terminals.
_C1 = dict.fromkeys(range(0x80, 0xA0), "?")
#: All control characters except tab and line feed.
_CONTROLS = _C1 | dict.fromkeys({*range(0x20), 0x7F} - {0x09, 0x0A}, "?")


class SafeText(io.TextIOWrapper):
    """A text stream whose writes never fail and contain no C1 control characters.

    If the file is closed or its disk is full, the text is lost and the command goes on. Writes to `buffer` fail as
    usual.
    """

    change: Callable[[str], str] = staticmethod(lambda text: text)

    def write(self, text: str) -> int:
        """Write the changed text, or lose it."""
        with suppress(OSError, ValueError):
            super().write(self.change(text).translate(_C1))
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what cannot be written."""
        try:
            super().flush()
        except (OSError, ValueError):
            # Python would try to write the rest of the buffer again at exit.
            with suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                os.dup2(null, self.fileno())
                os.close(null)
                super().flush()


def without_controls(text: str) -> str:
    """Return the text with "?" for each control character other than tab and line feed."""
    return text.translate(_CONTROLS)


def make_safe(change: Callable[[str], str]) -> None:
    """Replace the standard streams, and apply `change` to each text that is written to them.

    A closed descriptor is opened on /dev/null for reading: otherwise the next file that is opened would take its
    number and receive what is printed.
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
