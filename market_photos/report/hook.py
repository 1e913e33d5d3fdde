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
from typing import Any

from market_photos.config import ENV_KEY
from market_photos.console import redact

log = logging.getLogger(__name__)

#: Characters of the command's output that a warning shows.
SHOWN = 500


def run_hook(command: str, report: Mapping[str, Any], seconds: float) -> bool:
    """Runs the command with the report as JSON on its standard input; whether it ended with 0 in time.

    No shell; what it prints is shown only where it fails; the API key is not in its environment. A command that is
    not done after `seconds` is ended together with what it started. Never raises for the command's fault: it warns.
    """
    content = redact(json.dumps(report, ensure_ascii=True)).encode() + b"\n"
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(content)
        given.seek(0)
        problem = _run(shlex.split(command), given, said, seconds)
        if not problem:
            return True
        said.seek(0)
        shown = redact(said.read(100_000).decode(errors="replace").strip())[-SHOWN:]
    log.warning("on_finish: %s%s", problem, f"; it said: {shown}" if shown else "")
    return False


def _run(words: list[str], given: Any, said: Any, seconds: float) -> str:
    """What went wrong; empty where nothing did."""
    environment = {name: value for name, value in os.environ.items() if name != ENV_KEY}
    try:
        # The words are the owner's, from the configuration; files, not pipes: nobody has to keep reading or writing.
        process = subprocess.Popen(
            words, stdin=given, stdout=said, stderr=said, env=environment, start_new_session=True
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
