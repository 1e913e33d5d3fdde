"""One process, measured: wall, CPU, peak RSS."""

import os
import re
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

#: Seconds between two looks at its memory.
LOOK = 0.01


@dataclass(frozen=True)
class Usage:
    """Of a process and the children that it waited for."""

    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user and system."""
    peak: int
    """Bytes resident at the most, as last seen shortly before its end."""
    code: int


def measured(arguments: list[str], environment: dict[str, str], log: Path, *, limit: float = 300) -> Usage:
    """Runs it to its end, output into `log`; killed after `limit` seconds, then RuntimeError."""
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
    """wait4 tells the CPU time of this process. Its `maxrss` would be ours where we are larger: we look instead."""
    peak = 0
    while time.perf_counter() < until:
        pid, status, spent = os.wait4(process.pid, os.WNOHANG)
        if pid:
            return status, spent, peak
        peak = max(peak, _peak(process.pid))
        time.sleep(LOOK)
    raise RuntimeError(f"{process.args!r} did not end in time")


def _peak(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0
