"""A Market in a thread, an archive in a folder, and the program: in this process, or as a user starts it.

world.market.add_store(101).add_return(photos=3)
report = world.sync()
world.assert_archive_is_right()
done = world.program("sync", "--json")
"""

import asyncio
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from pydantic import SecretStr

from market_photos.archive import layout
from market_photos.clock import Clock, Moment, SystemClock
from market_photos.config import Settings
from market_photos.model import PhotoKey
from market_photos.reporting.report import Report
from market_photos.sandbox import Market, Photo, Sandbox, Store
from market_photos.settings import Api, Archive, Campaigns, Limits, Sync
from market_photos.sync.run import Options, Run
from market_photos.sync.store_run import Plan

#: Seconds after which a test gives up on the program; nothing here takes half as long.
PATIENCE_S = 60.0
#: What may lie in a store's folder beside photos.
_BESIDES = {
    layout.CATALOG_NAME,
    f"{layout.CATALOG_NAME}-wal",
    f"{layout.CATALOG_NAME}-shm",
    layout.LOCK_NAME,
}


@dataclass(frozen=True)
class Done:
    """The program has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The last line of standard output."""
        return json.loads(self.stdout.splitlines()[-1])


class JumpingClock:
    """The machine's clocks, its wall clock set ahead by `seconds`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._real = SystemClock()

    def now(self) -> Moment:
        moment = self._real.now()
        return moment._replace(wall=moment.wall + self.seconds)


@dataclass
class ServerWall:
    """The server's clock: right, unless it is set ahead by so many seconds."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def nightly(*, full: bool = False) -> Plan:
    return Plan(lambda producer: producer.nightly(full=full), everything=full)


@dataclass
class World:
    """`settings`: sections of the configuration, `{"limits": {"photo_requests": 20}}`."""

    market: Market
    sandbox: Sandbox
    folder: Path
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    clock: Clock = field(default_factory=SystemClock)
    server_wall: ServerWall = field(default_factory=ServerWall)
    written: list[str] = field(default_factory=list)
    """All that the program has printed."""

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    @property
    def log(self) -> Any:
        return self.sandbox.log

    # -- in this process

    def run(self, plan: Plan, *, meanwhile: Callable[[Run], None] | None = None, **options: Any) -> Report:
        """One run; `meanwhile` is called as it starts, inside its loop. Raises MarketPhotosError."""

        async def running() -> Report:
            run = Run(self.as_settings(), plan, Options("test", **options), self.clock, Random(1))
            if meanwhile:
                meanwhile(run)
            return await run()

        return asyncio.run(running())

    def sync(self, *, full: bool = False, **options: Any) -> Report:
        return self.run(nightly(full=full), **options)

    def as_settings(self) -> Settings:
        key = SecretStr(self.market.key)
        return Settings(
            api=Api(**{"base_url": self.sandbox.url, "key": key, "read_timeout_seconds": 2} | self._section("api")),
            archive=Archive(**{"directory": self.archive, "min_free_bytes": 0} | self._section("archive")),
            campaigns=Campaigns(**self._section("campaigns")),
            limits=Limits(**self._section("limits")),
            sync=Sync(**self._section("sync")),
        )

    def _section(self, name: str) -> dict[str, Any]:
        return self.settings.get(name, {})

    # -- as a user starts it

    def config(self) -> Path:
        path = self.folder / "config.toml"
        sections = {
            "api": {"base_url": self.sandbox.url, "read_timeout_seconds": 2} | self._section("api"),
            "archive": {"directory": str(self.archive), "min_free_bytes": 0} | self._section("archive"),
            **{name: self._section(name) for name in ("campaigns", "limits", "sync")},
        }
        lines = []
        for name, values in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        path.write_text("\n".join(lines) + "\n")
        return path

    def start(self, command: str, *arguments: str, **popen: Any) -> "subprocess.Popen[str]":
        environment = os.environ | {"MARKET_PHOTOS_API_KEY": self.market.key} | popen.pop("env", {})
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        words = [sys.executable, "-m", "market_photos", command, "--config", str(self.config()), *arguments]
        return subprocess.Popen(words, env=environment, text=True, cwd=self.folder, **(streams | popen))

    def program(self, command: str, *arguments: str, **popen: Any) -> Done:
        return self.end_of(self.start(command, *arguments, **popen))

    def end_of(self, process: "subprocess.Popen[str]") -> Done:
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
        self.written += [stdout or "", stderr or ""]
        return Done(process.returncode, stdout or "", stderr or "")

    def interrupted(
        self, command: str, *arguments: str, at: Callable[[], bool], by: int = signal.SIGTERM
    ) -> tuple[Done, float]:
        """The program, sent a signal as soon as `at` holds; and how many seconds it took to end."""
        process = self.start(command, *arguments)
        wait_until(at, process)
        process.send_signal(by)
        sent = time.monotonic()
        return self.end_of(process), time.monotonic() - sent

    # -- what came of it

    def rows(self, campaign: int, query: str) -> list[Any]:
        path = self.archive / str(campaign) / layout.CATALOG_NAME
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def photo_rows(self, campaign: int) -> list[Any]:
        return self.rows(
            campaign,
            "SELECT p.*, r.order_id, r.return_id, r.month FROM photos p JOIN returns r ON r.id = p.return_row "
            "ORDER BY p.id",
        )

    def states(self, *campaigns: int) -> dict[str, int]:
        stores = campaigns or tuple(self.known())
        return dict(Counter(row["state"] for store in stores for row in self.photo_rows(store)))

    def known(self) -> list[int]:
        return sorted(int(path.parent.name) for path in self.archive.glob(f"*/{layout.CATALOG_NAME}"))

    def path_of(self, campaign: int, row: Any) -> Path:
        key = PhotoKey(campaign, row["order_id"], row["return_id"], row["item"], row["image_hash"])
        return self.archive / str(campaign) / layout.photo_path(row["month"], key, row["suffix"])

    def assert_archive_is_right(self, *, in_flight: int = 0, at_work: bool = False) -> None:
        """Every archived photo is whole, as served, hashed right and was sent once; nothing else lies about.

        `in_flight`: how many photos may have been sent once more than needed, as the run was cut short.
        """
        served = {_place(photo): photo for photo in self.market.photos()}
        repeated = 0
        for campaign in self.known():
            rows = [row for row in self.photo_rows(campaign) if row["state"] == "archived"]
            for row in rows:
                path = self.path_of(campaign, row)
                self._assert_photo_is_right(path, row, served[_row_place(campaign, row)])
                # the record follows the row, in the next run if need be
                assert at_work or path.with_name(layout.RECORD_NAME).exists()
                repeated += max(0, self._sendings(served[_row_place(campaign, row)]) - 1)
            if not at_work:
                self._assert_nothing_else(campaign, {self.path_of(campaign, row) for row in rows})
        assert repeated <= in_flight, f"{repeated} photos were sent once more than needed"

    def _assert_photo_is_right(self, path: Path, row: Any, photo: Photo) -> None:
        content = path.read_bytes()
        assert content == photo.body, f"{path}: not what was served"
        assert row["sha256"] == hashlib.sha256(content).digest()
        assert row["size"] == len(content)
        assert path.stat().st_mode & 0o777 == 0o600

    def _assert_nothing_else(self, campaign: int, photos: set[Path]) -> None:
        folder = self.archive / str(campaign)
        found = {path for path in folder.rglob("*") if path.is_file()}
        extra = {p for p in found - photos if p.name != layout.RECORD_NAME and p.name not in _BESIDES}
        assert not extra, f"left over: {sorted(map(str, extra))}"

    def _sendings(self, photo: Photo) -> int:
        """How often this photo went over the wire whole."""
        entries = [e for e in self.log.of("photo", photo.campaign, 200) if e.image_hash == photo.image_hash]
        path = f"/orders/{photo.order}/returns/{photo.return_id}/decision/{photo.item}/image/"
        return sum(path in entry.path and entry.bytes_sent == len(photo.body) for entry in entries)


def wait_until(holds: Callable[[], bool], process: "subprocess.Popen[str] | None" = None) -> None:
    """Looks every few milliseconds; fails where the process ends first, or patience does."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert process is None or process.poll() is None, f"ended early:\n{(process.communicate()[1])}"
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def counts_of(report: Report) -> dict[str, Any]:
    """The totals, asserted to add up."""
    found: dict[str, Any] = report.as_json()
    assert_adds_up(found)
    return found


def assert_adds_up(found: dict[str, Any]) -> None:
    for part in (found, *found["stores"]):
        states = ("downloaded", "already", "gone", "failed", "pending", "pruned")
        assert part["discovered"] == sum(part[name] for name in states), part


def _place(photo: Photo) -> tuple[int, int, int, int, str]:
    return photo.campaign, photo.order, photo.return_id, photo.item, photo.image_hash


def _row_place(campaign: int, row: Any) -> tuple[int, int, int, int, str]:
    return campaign, row["order_id"], row["return_id"], row["item"], row["image_hash"]


def fill(store: Store, returns: int, photos: int = 1) -> list[Photo]:
    """So many returns with so many photos each; all photos of the store."""
    for _ in range(returns):
        store.add_return(photos=photos)
    return [photo for back in store.returns.values() for photo in store.photos(back)]
