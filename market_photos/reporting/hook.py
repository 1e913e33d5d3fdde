"""The owner's own command at the end of a run."""

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

#: Characters of the command's output that a warning shows, from its end.
SHOWN = 500
#: Bytes of the output that are read for it: enough to see the whole of a key of which the end is shown.
READ = 1_000_000
#: Variables that may hold the key, as pydantic-settings reads them: in any case, by itself or as JSON of its section.
_KEY_NAMES = {f"{ENV_PREFIX}API", f"{ENV_PREFIX}API_KEY"}


def run_hook(command: str, report: Mapping[str, Any], seconds: float) -> bool:
    """Runs the command with the report as JSON on its standard input; whether it ended with 0 in time.

    No shell; what it prints is shown only where it fails; the API key is not in its environment. A command that is
    not done after `seconds` is ended together with what it started. Never raises for the command's fault: it warns.
    """
    content = redact(json.dumps(report, ensure_ascii=True)).encode() + b"\n"
    with _unnamed_file() as given, _unnamed_file() as said:
        given.write(content)
        given.seek(0)
        problem = _run(shlex.split(command), given, said, seconds)
        if not problem:
            return True
        said.seek(max(0, said.seek(0, os.SEEK_END) - READ))
        shown = redact(said.read(READ).decode(errors="replace").strip())[-SHOWN:]
    log.warning("on_finish: %s%s", problem, f"; it said: {shown}" if shown else "")
    return False


def _run(words: list[str], given: Any, said: Any, seconds: float) -> str:
    """What went wrong; empty where nothing did."""
    try:
        # The words are the owner's, from the configuration; files, not pipes: nobody has to keep reading or writing.
        process = subprocess.Popen(
            words, stdin=given, stdout=said, stderr=said, env=_environment(), start_new_session=True
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
    """Return our environment without what holds a secret, under whatever name."""
    return {
        name: value for name, value in os.environ.items() if name.upper() not in _KEY_NAMES and redact(value) == value
    }


def _unnamed_file() -> IO[bytes]:
    """Return a temporary file; in memory where there is no room for one on disk (Linux)."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        if not hasattr(os, "memfd_create"):
            raise
        return os.fdopen(os.memfd_create("market-photos"), "w+b")
