"""The volume that an archive is on."""

import re
from pathlib import Path

#: SQLite's locks cannot be trusted on these.
_NETWORK = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "fuse.rclone",
    "davfs",
}
_MOUNTS = Path("/proc/self/mounts")


def network_share(path: Path) -> str:
    """The kind of network share that the path is on (`nfs4`); empty where it is on none, or nobody knows."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    kind = filesystem_of(path.resolve(), mounts)
    return kind if kind in _NETWORK else ""


def filesystem_of(path: Path, mounts: str) -> str:
    """The type of the innermost mount that holds the path. `mounts`: as in /proc/self/mounts."""
    found = ("", "")
    for line in mounts.splitlines():
        _, folder, kind = (*line.split(" "), "", "", "")[:3]
        folder = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), folder)
        if folder and path.is_relative_to(folder) and len(folder) >= len(found[0]):
            found = (folder, kind)
    return found[1]
