"""The volume that holds an archive: its errors, free space, marker file and type."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from market_photos.errors import ArchiveUnwritable

#: The free space that must be left if the settings name none: this many bytes or this share of the volume, whichever
#: is less.
DEFAULT_FLOOR_BYTES = 1_000_000_000
DEFAULT_FLOOR_SHARE = 0.05

_HINTS = {
    errno.ENOSPC: "The disk (or its inodes, or your quota on it) is full. Make room; the same command then goes on.",
    errno.EDQUOT: "Your disk quota is used up. Make room; the same command then goes on.",
    errno.EROFS: "The volume is mounted read-only. Look for disk errors in the system log; mount it writable.",
    errno.EACCES: "Give the user that runs this the right to read and to write there.",
    errno.EPERM: "Give the user that runs this the right to read and to write there.",
    errno.EMFILE: "This process has too many open files. Raise its limit (`ulimit -n`, LimitNOFILE= of systemd).",
    errno.ENFILE: "The system has too many open files. End what opens them, or raise fs.file-max.",
    errno.EIO: "The disk reports errors. Look at the system log and back the archive up before you go on.",
}
#: File systems on which SQLite cannot rely on locks.
_NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "davfs"}) | {
    "fuse.sshfs",
    "fuse.rclone",
}
_MOUNTS = Path("/proc/self/mounts")


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into ArchiveUnwritable, which names the path and says what to do."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "Check the volume; the same command then goes on.")
        raise ArchiveUnwritable(f"{path}: {error.strerror or error}", hint) from error


def is_there(path: Path) -> bool:
    """Return whether the file exists. Raises ArchiveUnwritable if the system cannot tell."""
    with disk_errors(path):
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


def require_marker(folder: Path, marker: str | None) -> None:
    """Raise ArchiveUnwritable if the folder lacks the file that shows that the right volume is mounted there."""
    if marker is None or is_there(folder / marker):
        return
    raise ArchiveUnwritable(
        f"{folder}: there is no {marker} in it, so this is not the archive's volume, or it is not mounted. "
        "Nothing was written.",
        f"Mount the volume. On a new one, once: mkdir -p {folder} && touch {folder / marker}",
    )


def require_room(folder: Path, floor: int | None) -> None:
    """Raise ArchiveUnwritable if less than `floor` bytes are free; None means the default floor."""
    with disk_errors(folder):
        usage = shutil.disk_usage(folder)
    needed = min(DEFAULT_FLOOR_BYTES, int(usage.total * DEFAULT_FLOOR_SHARE)) if floor is None else floor
    if usage.free < needed:
        raise ArchiveUnwritable(
            f"{folder}: {usage.free / 1e6:,.0f} MB are free, less than the floor of {needed / 1e6:,.0f} MB.",
            "Make room, or lower min_free_bytes in [archive]; the same command then goes on.",
        )


def require_descriptors(path: Path, count: int) -> None:
    """Raise ArchiveUnwritable, which names `path`, unless the process can open so many files more."""
    with disk_errors(path), ExitStack() as opened:
        for _ in range(count):
            opened.enter_context(Path(os.devnull).open("rb"))


def network_share(path: Path) -> str:
    """Return the type of the network share that holds the path (`nfs4`); empty if it is local or unknown."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    kind = filesystem_of(path.resolve(), mounts)
    return kind if kind in _NETWORK else ""


def filesystem_of(path: Path, mounts: str) -> str:
    """Return the type of the innermost mount that holds the path. `mounts` is as in /proc/self/mounts."""
    found = ("", "")
    for line in mounts.splitlines():
        _, folder, kind = (*line.split(" "), "", "", "")[:3]
        folder = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), folder)
        if folder and path.is_relative_to(folder) and len(folder) >= len(found[0]):
            found = (folder, kind)
    return found[1]
