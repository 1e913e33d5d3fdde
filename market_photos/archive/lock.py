"""Allow one run at a time per store, with a lock that the system frees when its process dies."""

import fcntl
import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from market_photos.archive.layout import ELSEWHERE_NAME, LOCK_NAME
from market_photos.archive.tree import identity
from market_photos.archive.volume import disk_errors
from market_photos.clock import Clock, iso
from market_photos.errors import AlreadyRunning

#: `held_by` holds the lock for microseconds: the number of attempts meanwhile, and the seconds between them.
_READER_TRIES = 50
_READER_PAUSE = 0.002
#: The usual size of the file, bytes; a long command makes it longer.
_CONTENT_BYTES = 1024


class Lock(AbstractContextManager["Lock"]):
    """An exclusive flock on a file that tells its holder."""

    def __init__(self, path: Path, command: str, clock: Clock) -> None:
        """Take the lock. Raises AlreadyRunning at once if another process holds it, or ArchiveUnwritable."""
        self.path = path
        self.command = command
        self._descriptor = _open(path)
        with disk_errors(path):
            try:
                self._take()
                self.stamp = str(_read(self._descriptor).get("stamp", ""))
                """What the last run left with `leave_stamp`; empty if there was none."""
                self._holder = this_process(command, clock)
                self._write()
            except BaseException:
                os.close(self._descriptor)
                raise

    def _take(self) -> None:
        if _took_exclusively(self._descriptor):
            return
        raise already_running(self.path, str(_read_holder(self._descriptor)))

    def leave_stamp(self, stamp: str) -> None:
        """Write a text for the next run that takes the lock. Raises ArchiveUnwritable."""
        self.stamp = stamp
        with disk_errors(self.path):
            self._write()

    def _write(self) -> None:
        """Write in one call and with constant length, so that a kill leaves the old content or the new."""
        content = json.dumps(self._holder._asdict() | {"stamp": self.stamp}).encode().ljust(_CONTENT_BYTES)
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    @property
    def identity(self) -> tuple[int, int]:
        """The identity of the locked file, wherever its path leads by now."""
        return identity(os.fstat(self._descriptor))

    def release(self) -> None:
        """Free the lock."""
        os.close(self._descriptor)

    def __exit__(self, *_: object) -> None:
        self.release()


def _open(path: Path) -> int:
    with disk_errors(path):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _took_exclusively(descriptor: int) -> bool:
    """Return whether this process took the lock. A run prevents that; `held_by`, which shares the lock, does not."""
    for _ in range(_READER_TRIES):
        if _flock(descriptor, fcntl.LOCK_EX):
            return True
        if not _flock(descriptor, fcntl.LOCK_SH):
            return False
        _flock(descriptor, fcntl.LOCK_UN)
        time.sleep(_READER_PAUSE)
    return False


def _flock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Holder(NamedTuple):
    """The process that holds a lock; empty where the file does not say which."""

    command: str = ""
    pid: int = 0
    host: str = ""
    since: str = ""
    """By its wall clock, `2026-11-23T18:05:09Z`."""

    def __str__(self) -> str:
        """Return the holder in words."""
        if not self.command:
            return "it does not say which"
        return f"`{self.command}`, process {self.pid} on {self.host}, since {self.since}"


def held_by(path: Path) -> Holder | None:
    """Return who holds the lock; None if it is free. Does not disturb a run."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _flock(descriptor, fcntl.LOCK_SH) else _read_holder(descriptor)
    finally:
        os.close(descriptor)


def holder_of(folder: Path) -> Holder | None:
    """Return the process that works on the store in a folder, here or on another machine; None if none does."""
    if holder := held_by(folder / LOCK_NAME):
        return holder
    with suppress(OSError, ValueError):
        content = json.loads((folder / ELSEWHERE_NAME).read_bytes())
        return _parse_holder(content if isinstance(content, dict) else {})
    return None


def note_elsewhere(folder: Path, holder: Holder | None) -> None:
    """Note which process of another machine works on the store, for `holder_of`. Raises OSError."""
    if holder is None:
        (folder / ELSEWHERE_NAME).unlink(missing_ok=True)
    else:
        (folder / ELSEWHERE_NAME).write_text(json.dumps(holder._asdict()))


@contextmanager
def kept_free(path: Path) -> Iterator[bool]:
    """Keep runs waiting for a moment, at most 0.1 s; yield False if one is at work. Raises ArchiveUnwritable."""
    descriptor = _open(path)
    try:
        yield _flock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def already_running(path: Path, holder: str) -> AlreadyRunning:
    """Return the error for a lock that `holder`, in words, has."""
    return AlreadyRunning(
        f"{path.parent}: another run is at work here: {holder}.",
        "Wait for it, or stop it; `market-photos status` shows how far it is.",
    )


class Claims(AbstractContextManager["Claims"]):
    """The stores that a run is going to open: a lock on one byte of a file for each.

    The system frees them with the descriptor. Only Linux has such locks; elsewhere a run meets another one only where
    that has opened a store.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises ArchiveUnwritable."""
        self._path = path
        self._descriptor = _open(path)

    def take(self, store: int) -> bool:
        """Claim a store; return False where another run has it."""
        if not hasattr(fcntl, "F_OFD_SETLK"):
            return True
        # struct flock: type, whence, start, length, pid
        byte = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, store, 1, 0)
        with disk_errors(self._path):
            try:
                fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, byte)
            except (BlockingIOError, PermissionError):
                return False
        return True

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Run the block while no other process is in such a block; wait for it. For taking several claims."""
        with disk_errors(self._path):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def this_process(command: str, clock: Clock) -> Holder:
    """Return this process as the holder of a lock."""
    return Holder(command, os.getpid(), socket.gethostname(), iso(clock.now().wall))


def _read(descriptor: int) -> dict[str, Any]:
    with suppress(ValueError, OSError, RecursionError):
        content = json.loads(os.pread(descriptor, 16 * _CONTENT_BYTES, 0))
        return content if isinstance(content, dict) else {}
    return {}


def _read_holder(descriptor: int) -> Holder:
    return _parse_holder(_read(descriptor))


def _parse_holder(content: dict[str, Any]) -> Holder:
    with suppress(KeyError, TypeError, ValueError):
        return Holder(str(content["command"]), int(content["pid"]), str(content["host"]), str(content["since"]))
    return Holder()
