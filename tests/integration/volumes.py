"""Disks and rights that hold for root too: small volumes to fill, unmount and make read-only; rights of files.

Mounting needs root; tests that may not mount are skipped.
"""

import ctypes
import os
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


#: Of capset(2): the version of its structures, and the capabilities with which root ignores the rights of files.
CAPABILITIES_V3, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 0x20080522, 1, 2
#: Of prctl(2): programs that root starts get no capabilities; access(2) asks for those in force.
PR_SET_SECUREBITS, NOROOT, NO_SETUID_FIXUP = 28, 1, 4


@contextmanager
def bound_by_rights() -> Iterator[None]:
    """Make the rights of files hold for root too: in this thread, and in the threads and programs that it starts.

    Skips where that is impossible.
    """
    if os.geteuid():
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_V3, 0)
    before = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then the upper 32 bits of each
    if libc.capget(header, before) or libc.prctl(PR_SET_SECUREBITS, NOROOT | NO_SETUID_FIXUP):
        pytest.skip(f"root cannot give up its capabilities: {os.strerror(ctypes.get_errno())}")
    fewer = (ctypes.c_uint32 * 6)(*before)
    fewer[0] &= ~(1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH)
    libc.capset(header, fewer)
    try:
        yield
    finally:
        libc.capset(header, before)
        libc.prctl(PR_SET_SECUREBITS, 0)
