"""Write results as Markdown, and describe the machine."""

import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Return the processor, the system, and the versions of the programs measured."""
    model = re.search(r"model name\s*:\s*(.*)", _text(Path("/proc/cpuinfo")))
    cores = len(re.findall(r"^processor", _text(Path("/proc/cpuinfo")), re.MULTILINE))
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "aiofiles", "aiolimiter", "pydantic"))
    tools = ", ".join(filter(None, (_tool("nginx", "-v"), _tool("aria2c", "--version"), _tool("curl", "--version"))))
    load = _text(Path("/proc/loadavg")).split(" ")[0]
    return (
        f"{cores} × {model[1] if model else platform.machine()}, {platform.system()} {platform.release()}, "
        f"load {load} at the start, Python {platform.python_version()}, {packages}; {tools}."
    )


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _tool(name: str, option: str) -> str:
    """Return name and version, `curl 7.88.1`; empty if it is not installed."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if not found:
        return ""
    printed = subprocess.run([found, option], capture_output=True, text=True, check=False)
    number = re.search(r"\d+\.\d+[.\d]*", printed.stdout + printed.stderr)
    return f"{name} {number[0]}" if number else name
