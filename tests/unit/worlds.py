"""Shared by several tests: a clock that a test sets, returns and stored photos, another process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from market_photos.archive.catalog.photos import Archived
from market_photos.archive.folder import FolderPlace
from market_photos.archive.held_folder import HeldFolder
from market_photos.archive.layout import LOCK_NAME
from market_photos.archive.lock import Lock
from market_photos.clock import Moment, ServerTime
from market_photos.model import PhotoKey, Return

CAMPAIGN = 7
STORED = Archived(".jpg", 1000, b"\x01" * 32, "image/jpeg", "")


@dataclass
class ToldClock:
    """A clock that only a test moves. `jump` sets the wall clock alone, as an administrator does."""

    wall: float = 1_790_000_000.0
    boot: str = "boot-1"
    uptime: float = 5000.0
    server: float | None = None
    """The server's time, or None while it is unknown."""

    def now(self) -> Moment:
        server = None if self.server is None else ServerTime(self.server, self.server)
        return Moment(self.wall, self.boot, self.uptime, server)

    def at(self, moment: Moment) -> ServerTime | None:
        """Return the server's time at that moment, as a ServerClock does."""
        server = self.now().server
        return server and server.later(moment.uptime - self.uptime)

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.server = None if self.server is None else self.server + seconds
        self.uptime += seconds

    def jump(self, seconds: float) -> None:
        self.wall += seconds

    def reboot(self) -> None:
        self.boot += "+"
        self.uptime = 10.0


@contextmanager
def a_place(folder: Path) -> Iterator[FolderPlace]:
    """The place of a store in a folder, locked."""
    with Lock(folder / LOCK_NAME, "test", ToldClock()) as lock, HeldFolder(folder) as held_folder:
        yield FolderPlace(held_folder, lock, 0)


def a_return(number: int, *hashes: str, created_at: int = 0, order: int = 1, note: str = "") -> Return:
    photos = tuple(PhotoKey(CAMPAIGN, order, number, 10, image_hash) for image_hash in hashes)
    record = {"id": number, "orderId": order, "note": note}
    return Return(CAMPAIGN, order, number, "2026-01-05T10:00:00+03:00", created_at, "", record, photos)


def python(script: str, *arguments: object) -> "subprocess.Popen[str]":
    """Start another process that prints line by line; end it with `with`, `kill` or by closing its stdin."""
    command = [sys.executable, "-u", "-c", script, *map(str, arguments)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
