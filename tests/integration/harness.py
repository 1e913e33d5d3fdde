"""A Market in a thread, an archive in a folder, and the program: in this process, or as a user starts it.

world.market.stores[101].add_return(photos=3)
report = world.sync()                      # a Run, without the command line
outcome = world.command("sync", "--json")  # the command line, in this process: a start costs half a second
outcome = world.program("sync", "--json")  # a new process, for signals, kills, streams and other users
world.assert_archive_is_right()
"""

import asyncio
import atexit
import contextlib
import datetime as dt
import hashlib
import io
import json
import logging
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from pydantic import SecretStr

from market_photos.archive import layout
from market_photos.archive.places import open_archive
from market_photos.cli.main import main
from market_photos.clock import Clock, Moment, SystemClock
from market_photos.config import Settings
from market_photos.maintenance.integrity import Problem
from market_photos.maintenance.verify import verify_store
from market_photos.model import PhotoKey
from market_photos.reporting.report import Report
from market_photos.sandbox import Market, MarketStore, Photo, Sandbox, running
from market_photos.settings import Api, Archive, Campaigns, Limits, Sync
from market_photos.sync.plan import Nightly, Plan
from market_photos.sync.run import Options, Run

CAMPAIGN = 101
#: Seconds after which a test gives up on the program.
PATIENCE_S = 60.0
#: Equal for all tests, so that the archives of equal markets are equal.
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
#: Hashes that cannot be file names as they are.
ODD_HASHES = ("a/b+c=", "..", "%2e%2e", "ЁЖ", "Case", "case", "x" * 300)
#: Limits under which requests soon no longer count: after a rebuild the whole quota counts as spent.
SHORT_PERIOD = {"period_seconds": 1.0}
#: Files that a store's folder holds beside photos.
_BESIDES = {
    layout.CATALOG_NAME,
    f"{layout.CATALOG_NAME}-wal",
    f"{layout.CATALOG_NAME}-shm",
    layout.LOCK_NAME,
}


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The last line of standard output."""
        return json.loads(self.stdout.splitlines()[-1])

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


class JumpingClock:
    """The machine's clocks, with the wall clock set ahead by `seconds`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._real = SystemClock()

    def now(self) -> Moment:
        moment = self._real.now()
        return moment._replace(wall=moment.wall + self.seconds)


@dataclass
class ServerWall:
    """The server's clock, set ahead by `ahead` seconds."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def nightly(*, full: bool = False) -> Plan:
    return Nightly(full)


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
        """The folder of the catalogues, and of the photos if they are not in a bucket."""
        section = self._section("archive")
        return Path(section["scratch"] if "url" in section else section.get("directory", self.folder / "archive"))

    @property
    def store(self) -> Path:
        """The folder of the first store."""
        return self.archive / str(CAMPAIGN)

    @property
    def log(self) -> Any:
        return self.sandbox.log

    # -- in this process

    def run(self, plan: Plan, *, meanwhile: Callable[[Run], None] | None = None, **options: Any) -> Report:
        """Run once; `meanwhile` is called at the start, inside the event loop. Raises MarketPhotosError."""

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
        """Write the configuration file."""
        path = self.folder / "config.toml"
        sections = {
            "api": {"base_url": self.sandbox.url, "read_timeout_seconds": 2} | self._section("api"),
            "archive": {"min_free_bytes": 0} | self._section("archive") | {"directory": str(self.archive)},
            **{name: self._section(name) for name in ("campaigns", "limits", "report", "sync")},
        }
        lines = []
        for name, values in sections.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        text = "\n".join(lines) + "\n"
        if not path.exists() or path.read_text() != text:  # a program that runs meanwhile may be reading it
            path.write_text(text)
        return path

    def command(self, *arguments: str) -> Outcome:
        """Run `market-photos` with these arguments in this process, without a terminal."""
        out, err = io.StringIO(), io.StringIO()
        argv = ["market-photos", *arguments, "--config", str(self.config())]
        with (
            patch.dict(os.environ, self._environment(), clear=True),
            patch.object(sys, "argv", argv),
            patch.object(sys, "stdin", io.StringIO()),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            _logging_restored(),
        ):
            try:
                main()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
        return self._record(Outcome(code, out.getvalue(), err.getvalue()))

    def sync_command(self, *arguments: str) -> Outcome:
        return self.command("sync", "--json", "-v", *arguments)

    def start(
        self, *arguments: str, prefix: tuple[str, ...] = (), script: str = "", **popen: Any
    ) -> "subprocess.Popen[str]":
        """Start `market-photos`, or a script that does; `env` is added to the environment."""
        environment = self._environment() | popen.pop("env", {})
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        program = ["-c", script] if script else ["-m", "market_photos"]
        words = [*prefix, sys.executable, *program, *arguments, "--config", str(self.config())]
        return subprocess.Popen(words, env=environment, text=True, cwd=self.folder, **(streams | popen))

    def program(self, *arguments: str, prefix: tuple[str, ...] = (), **popen: Any) -> Outcome:
        """Run `market-photos` with these arguments in a new process, to its end."""
        return self.end_of(self.start(*arguments, prefix=prefix, **popen))

    def end_of(self, process: "subprocess.Popen[str]") -> Outcome:
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
        return self._record(Outcome(process.returncode, stdout or "", stderr or ""))

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("MARKET_PHOTOS_")}
        return own | {"MARKET_PHOTOS_API_KEY": self.market.key}

    def _record(self, outcome: Outcome) -> Outcome:
        self.written.append(outcome.text)
        return outcome

    def interrupted(
        self, command: str, *arguments: str, at: Callable[[], bool], by: int = signal.SIGTERM
    ) -> tuple[Outcome, float]:
        """Start the program and signal it once `at` holds; return its outcome and the seconds until its end."""
        process = self.start(command, *arguments)
        wait_until(at, process)
        process.send_signal(by)
        sent = time.monotonic()
        return self.end_of(process), time.monotonic() - sent

    # -- results

    def requests_per_photo(self) -> dict[str, int]:
        """Return the number of requests for each photo, by path."""
        return dict(Counter(entry.path for entry in self.log.entries if entry.kind == "photo"))

    def rows(self, query: str, campaign: int = CAMPAIGN) -> list[Any]:
        path = self.archive / str(campaign) / layout.CATALOG_NAME
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()

    def photo_rows(self, campaign: int) -> list[dict[str, Any]]:
        path = self.archive / str(campaign) / layout.CATALOG_NAME
        query = (
            "SELECT p.*, order_id, return_id, month FROM photos p JOIN returns r ON r.id = return_row ORDER BY p.id"
        )
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]

    def states(self, *campaigns: int) -> dict[str, int]:
        stores = campaigns or tuple(self.known())
        return dict(Counter(row["state"] for store in stores for row in self.photo_rows(store)))

    def known(self) -> list[int]:
        return sorted(int(path.parent.name) for path in self.archive.glob(f"*/{layout.CATALOG_NAME}"))

    def path_of(self, campaign: int, row: Any) -> Path:
        key = PhotoKey(campaign, row["order_id"], row["return_id"], row["item"], row["image_hash"])
        return self.archive / str(campaign) / layout.photo_path(row["month"], key, row["suffix"])

    def files(self) -> list[Path]:
        """Return all files below photos/ of the first store, except return.json."""
        found = (self.store / layout.PHOTOS).rglob("*")
        return sorted(path for path in found if path.is_file() and path.name != layout.RECORD_NAME)

    def file_of(self, photo: Photo) -> Path:
        """Return the file with the content of this photo."""
        [path] = [path for path in self.files() if path.read_bytes() == photo.body]
        return path

    def lose_catalog(self) -> None:
        for path in self.store.glob(f"{layout.CATALOG_NAME}*"):
            path.unlink()

    def verify(self, *, full: bool = True, repair: bool = False) -> list[Problem]:
        """Return what `market-photos verify` finds in the first store."""
        problems: list[Problem] = []
        found = verify_store(
            open_archive(self.as_settings().archive),
            CAMPAIGN,
            self.clock,
            full=full,
            repair=repair,
            command="test",
            report=lambda _, problem: problems.append(problem),
        )
        assert found.exit_code == (10 if problems else 0)
        assert found.counts == Counter(problem.kind for problem in problems)
        return problems

    def assert_complete(self) -> None:
        """Assert that the first store has the photos as served, no other files, and a right catalogue."""
        photos = self.market.photos()
        assert self.states(CAMPAIGN) == {"archived": len(photos)}
        assert sorted(path.read_bytes() for path in self.files()) == sorted(photo.body for photo in photos)
        assert self.verify() == []
        self.assert_no_key()

    def assert_no_key(self) -> None:
        """Assert that nothing printed or written holds the key, and that no traceback was printed."""
        key = self.market.key
        found = [text for text in self.written if key in text or "Traceback" in text]
        assert not found, found
        photos = set(self.files())
        for path in self.archive.rglob("*"):
            if path.is_file() and path not in photos:
                assert key.encode() not in path.read_bytes(), path

    def assert_archive_is_right(self, *, in_flight: int = 0, at_work: bool = False) -> None:
        """Assert that every archived photo is as served, hashed right and sent once, and that no other file is there.

        `in_flight`: how many photos may have been sent once more, because a run was cut short.
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
        """Return how often the whole photo was sent."""
        entries = [e for e in self.log.of("photo", photo.campaign, 200) if e.image_hash == photo.image_hash]
        path = f"/orders/{photo.order}/returns/{photo.return_id}/decision/{photo.item}/image/"
        return sum(path in entry.path and entry.bytes_sent == len(photo.body) for entry in entries)


def script(*lines: str) -> str:
    """A script that starts the program after these lines."""
    return "\n".join(["from market_photos.cli.main import main", *lines, "main()"])


def wait_until(holds: Callable[[], bool], process: "subprocess.Popen[str] | None" = None) -> None:
    """Wait until `holds` returns true. Fails if the process ends before, or after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert process is None or process.poll() is None, f"ended early:\n{(process.communicate()[1])}"
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s"
        time.sleep(0.005)


def counts_of(report: Report) -> dict[str, Any]:
    """Return the totals, after asserting that they add up."""
    found: dict[str, Any] = report.as_json()
    assert_adds_up(found)
    return found


def assert_adds_up(found: dict[str, Any]) -> None:
    for part in (found, *found["stores"]):
        states = ("downloaded", "already", "gone", "failed", "pending", "pruned")
        assert part["discovered"] == sum(part[name] for name in states), part


@contextlib.contextmanager
def _logging_restored() -> Iterator[None]:
    logger = logging.getLogger("market_photos")
    handlers, propagate, level = logger.handlers, logger.propagate, logger.level
    yield
    logger.handlers, logger.propagate = handlers, propagate
    logger.setLevel(level)


def _place(photo: Photo) -> tuple[int, int, int, int, str]:
    return photo.campaign, photo.order, photo.return_id, photo.item, photo.image_hash


def _row_place(campaign: int, row: Any) -> tuple[int, int, int, int, str]:
    return campaign, row["order_id"], row["return_id"], row["item"], row["image_hash"]


def fill(store: MarketStore, returns: int, photos: int = 1) -> list[Photo]:
    """Add `returns` returns with `photos` photos each; return all photos of the store."""
    for _ in range(returns):
        store.add_return(photos=photos)
    return [photo for back in store.returns.values() for photo in store.photos(back)]


def a_market(returns: int = 3, photos: int = 2, *, odd: bool = False) -> Market:
    """Return the same Market each time: one store; `odd` adds a return with hashes of all kinds."""
    market = Market(seed=3, now=NOW)
    store = market.add_store(CAMPAIGN)
    fill(store, returns, photos)
    if odd:
        store.add_return(images=list(ODD_HASHES))
    return market


@contextlib.contextmanager
def a_world(
    folder: Path,
    make_market: Callable[..., Market] = a_market,
    *,
    synced: bool = False,
    archive: dict[str, Any] | None = None,
    **market: Any,
) -> Iterator[World]:
    """Serve a Market that `make_market` makes; `synced` begins with its archive complete, `archive` are settings."""
    make = partial(make_market, **market)
    with running(make()) as sandbox:
        settings = {"api": {"read_timeout_seconds": 10}, "archive": archive or {}, "limits": SHORT_PERIOD}
        world = World(sandbox.market, sandbox, folder, settings)
        if synced:
            shutil.copytree(_archive_of(make), world.archive)
        yield world


_archives: dict[str, Path] = {}


def _archive_of(make: Callable[[], Market]) -> Path:
    """Return the complete archive of such a Market, made once for all tests."""
    name = repr(make)
    if name not in _archives:
        folder = Path(tempfile.mkdtemp(prefix="archive-of-a-market-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        with running(make()) as sandbox:
            world = World(sandbox.market, sandbox, folder)
            assert world.command("sync", "-q").code == 0
        _archives[name] = world.archive
    return _archives[name]
