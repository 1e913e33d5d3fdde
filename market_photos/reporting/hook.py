"""Run the user's command at the end of a run (`on_finish`)."""

import json
import logging
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from market_photos.config import ENV_PREFIX
from market_photos.console import redact

log = logging.getLogger(__name__)

#: Characters of the command's output that a warning shows: the last ones.
SHOWN = 500
#: Bytes of the output that are read for it, so that a key is found whole even if only its end would be shown.
READ = 1_000_000
#: Variables from which pydantic-settings may read the key: by itself, or in the JSON of its section.
_KEY_NAMES = {f"{ENV_PREFIX}API", f"{ENV_PREFIX}API_KEY"}


def run_hook(command: str, report: Mapping[str, Any], seconds: float) -> bool:
    """Run the command with the report as JSON on its standard input, and return whether it succeeded in time. Blocks.

    There is no shell. The environment does not contain the API key. After `seconds` the command and its children are
    killed. A command that fails is a warning with the end of its output.
    """
    content = redact(json.dumps(report, ensure_ascii=True)).encode() + b"\n"
    with _unnamed_file() as stdin, _unnamed_file() as output:
        stdin.write(content)
        stdin.seek(0)
        problem = _run(shlex.split(command), stdin, output, seconds)
        if not problem:
            return True
        output.seek(max(0, output.seek(0, os.SEEK_END) - READ))
        shown = redact(output.read(READ).decode(errors="replace").strip())[-SHOWN:]
    log.warning("on_finish: %s%s", problem, f"; it said: {shown}" if shown else "")
    return False


def _run(words: list[str], stdin: IO[bytes], output: IO[bytes], seconds: float) -> str:
    """Return what went wrong, or an empty string."""
    try:
        # Files instead of pipes: a command that neither reads nor writes blocks nobody.
        process = subprocess.Popen(
            words, stdin=stdin, stdout=output, stderr=output, env=_environment(), start_new_session=True
        )
    except OSError as error:
        return f"{words[0]} cannot be started: {error.strerror}"
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"{words[0]} was not done after {seconds:g} s and was ended"
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return f"{words[0]} ended with exit code {code}" if code else ""


def _environment() -> dict[str, str]:
    """Return our environment without variables that contain a secret."""
    return {
        name: value for name, value in os.environ.items() if name.upper() not in _KEY_NAMES and redact(value) == value
    }


def _unnamed_file() -> IO[bytes]:
    """Return a temporary file; in memory if there is no room on disk (Linux)."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        if not hasattr(os, "memfd_create"):
            raise
        return os.fdopen(os.memfd_create("market-photos"), "w+b")
