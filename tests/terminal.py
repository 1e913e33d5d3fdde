"""A person at a terminal: run a program on a pseudo-terminal, and answer its questions."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 60.0
#: Makes the pseudo-terminal the controlling one, so that /dev/tty is it and shells have their jobs.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


def at_terminal(
    words: Sequence[str], folder: Path, environment: Mapping[str, str], answers: Sequence[tuple[str, str]]
) -> tuple[int, str]:
    """Run a program, type each answer once its prompt is on the screen; return the exit code and the screen."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", _TAKE_TERMINAL, *words], cwd=folder, env=environment, stdin=its, stdout=its, stderr=its
    ) as process:
        os.close(its)
        try:
            screen, seen = b"", 0
            for prompt, answer in answers:
                while prompt.encode() not in screen[seen:]:
                    more = _read(ours)
                    assert more, f"no {prompt!r} on the screen:\n{screen.decode()}"
                    screen += more
                seen = screen.index(prompt.encode(), seen) + len(prompt.encode())
                os.write(ours, f"{answer}\n".encode())
            while more := _read(ours):
                screen += more
            return process.wait(PATIENCE_S), screen.decode().replace("\r\n", "\n")
        finally:
            process.kill()
            os.close(ours)


def _read(descriptor: int) -> bytes:
    """Return the next output; nothing when the program has ended. Fails if it is silent for long."""
    began = time.monotonic()
    ready, _, _ = select.select([descriptor], [], [], PATIENCE_S)
    assert ready, f"silent for {time.monotonic() - began:.0f} s"
    with suppress(OSError):  # Linux: the other end is closed
        return os.read(descriptor, 65536)
    return b""
