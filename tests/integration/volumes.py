"""Small volumes to fill, unmount and make read-only. Mounting needs root; tests that may not mount are skipped."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def execute(*command: str) -> None:
    """Run a program of the system. Raises OSError with what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


@contextmanager
def small_volume(folder: Path, options: str) -> Iterator[Path]:
    """Mount a tmpfs and unmount it at the end."""
    folder.mkdir()
    try:
        execute("mount", "-t", "tmpfs", "-o", f"mode=700,{options}", "tmpfs", str(folder))
    except OSError as error:
        pytest.skip(f"mounting a tmpfs needs root: {error}")
    try:
        yield folder
    finally:
        execute("umount", "--lazy", str(folder))


def remount(folder: Path, options: str) -> None:
    execute("mount", "-o", f"remount,{options}", str(folder))
