"""Measure one process: wall time, CPU time, peak resident memory."""

import os
import re
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: Seconds between two readings of its memory.
INTERVAL = 0.01


@dataclass(frozen=True)
class Usage:
    """The cost of a process and of the children that it waited for."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user and system."""
    peak: int
    """The largest resident memory in bytes, with its children, last read shortly before its end."""
    code: int


def measured(arguments: list[str], environment: dict[str, str], log: Path, *, limit: float = 300) -> Usage:
    """Run a command with its output in `log`. Kill it after `limit` seconds and raise RuntimeError."""
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            arguments, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            status, spent, peak = _wait(process, began + limit)
        except BaseException:
            process.kill()
            process.wait()
            raise
    wall = time.perf_counter() - began
    process.returncode = code = os.waitstatus_to_exitcode(status)
    return Usage(wall, spent.ru_utime + spent.ru_stime, peak, code)


def _wait(process: "subprocess.Popen[bytes]", until: float) -> tuple[int, resource.struct_rusage, int]:
    """Wait for the process; return its status, CPU time and peak memory.

    The `maxrss` of wait4 includes the memory of the parent at the fork, so /proc is read instead.
    """
    peak = 0
    while time.perf_counter() < until:
        pid, status, spent = os.wait4(process.pid, os.WNOHANG)
        if pid:
            return status, spent, peak
        peak = max(peak, sum(map(_peak, family(process.pid))))
        time.sleep(INTERVAL)
    raise RuntimeError(f"{process.args!r} did not end in time")


def family(pid: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield from family(int(child))


def _peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0
