"""One run at a time per store: a lock that a dead process frees by itself."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from market_photos.archive.files import disk_errors
from market_photos.clock import Clock, iso
from market_photos.errors import AlreadyRunning


class Lock:
    """An exclusive flock on a file that says who holds it since when."""

    def __init__(self, path: Path, command: str, clock: Clock) -> None:
        """Takes the lock. Raises AlreadyRunning at once where another process holds it, or ArchiveUnwritable."""
        self.path = path
        with disk_errors(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _read_holder(self._descriptor)
                os.close(self._descriptor)
                raise AlreadyRunning(
                    f"{path.parent}: another run is at work here: {holder}.",
                    "Wait for it, or stop it; `market-photos status` shows how far it is.",
                ) from None
            self._write_holder(command, clock)

    def _write_holder(self, command: str, clock: Clock) -> None:
        holder = {
            "command": command,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": iso(clock.now().wall),
        }
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(holder).encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def held_by(path: Path) -> str | None:
    """Who holds the lock, in words; None where nobody does. Takes nothing away from a run."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(descriptor)
    finally:
        os.close(descriptor)
    return None


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """A moment alone: while several locks are taken one after another. Waits for others that do the same."""
    with disk_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def _read_holder(descriptor: int) -> str:
    with suppress(ValueError, KeyError, TypeError, OSError):
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"`{holder['command']}`, process {holder['pid']} on {holder['host']}, since {holder['since']}"
    return "it does not say which"
