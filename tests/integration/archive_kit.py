"""A store, a Market that serves it, and `market-photos` as a process of its own: what the tests of faults share."""

import atexit
import contextlib
import datetime as dt
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from market_photos.clock import SystemClock
from market_photos.maintenance.integrity import Problem
from market_photos.maintenance.verify import verify_store
from market_photos.sandbox import Market, Photo, Sandbox, running

CAMPAIGN = 101
PERIOD_S = 1.0
#: One for all tests, so that the archives of equal markets are equal.
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
#: Hashes that cannot be file names as they are.
ODD = ("a/b+c=", "..", "%2e%2e", "ЁЖ", "Case", "case", "x" * 300)


@dataclass(frozen=True)
class Outcome:
    """How a process ended, and all that it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found

    @property
    def said(self) -> str:
        return self.out + self.err


class Case:
    """One archive in `folder`, with a configuration for the sandbox."""

    def __init__(self, sandbox: Sandbox, folder: Path, archive: Path | None = None, **archive_settings: Any) -> None:
        self.sandbox = sandbox
        self.market = sandbox.market
        self.folder = folder
        self.archive = archive or folder / "archive"
        self.store = self.archive / str(CAMPAIGN)
        self.config = folder / "config.toml"
        self.configure(**archive_settings)
        self.outcomes: list[Outcome] = []

    def configure(self, **archive_settings: Any) -> None:
        lines = [f'[api]\nbase_url = "{self.sandbox.url}"\n[archive]\ndirectory = "{self.archive}"']
        settings = {"min_free_bytes": 0} | archive_settings
        lines += [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        # A short period: after a rebuild the whole quota counts as spent.
        lines += ["[limits]", f"period_seconds = {PERIOD_S}"]
        self.config.write_text("\n".join(lines) + "\n")

    def run(self, *arguments: str, prefix: tuple[str, ...] = (), stdin: str = "", **environment: str) -> Outcome:
        """`market-photos` with these arguments, to its end."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("MARKET_PHOTOS_")}
        command = [*prefix, sys.executable, "-m", "market_photos", *arguments, "--config", str(self.config)]
        done = subprocess.run(
            command,
            env=own | {"MARKET_PHOTOS_API_KEY": self.market.key} | environment,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        self.outcomes.append(Outcome(done.returncode, done.stdout, done.stderr))
        return self.outcomes[-1]

    def sync(self, *arguments: str, prefix: tuple[str, ...] = (), **environment: str) -> Outcome:
        return self.run("sync", "--json", "-v", *arguments, prefix=prefix, **environment)

    def asked(self) -> dict[str, int]:
        """How often each photo has been asked for, by its path."""
        paths = [entry.path for entry in self.sandbox.log.entries if entry.kind == "photo"]
        return {path: paths.count(path) for path in paths}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.store / "catalog.sqlite3")) as connection:
            return connection.execute(query).fetchall()

    def files(self) -> list[Path]:
        """Everything under photos/, return.json aside."""
        found = (self.store / "photos").rglob("*")
        return sorted(path for path in found if path.is_file() and path.name != "return.json")

    def assert_whole(self) -> None:
        """What is on disk is what the Market serves, byte for byte, nothing more; the catalogue says the same."""
        states = dict(self.rows("SELECT state, count(*) FROM photos GROUP BY state"))
        photos = self.market.photos()
        assert states == {"archived": len(photos)}
        assert sorted(path.read_bytes() for path in self.files()) == sorted(photo.body for photo in photos)
        assert self.verify() == []
        self.assert_no_key()

    def verify(self, *, full: bool = True, repair: bool = False) -> list[Problem]:
        """What `market-photos verify` finds, in this process."""
        told: list[Problem] = []
        found = verify_store(
            self.archive,
            CAMPAIGN,
            SystemClock(),
            full=full,
            repair=repair,
            command="test",
            tell=lambda _, problem: told.append(problem),
        )
        assert found.exit_code == (10 if told else 0)
        assert found.counts == Counter(problem.kind for problem in told)
        return told

    def assert_no_key(self) -> None:
        """The key stands in nothing that was written: output, catalogue, photos' folders."""
        key = self.market.key
        for outcome in self.outcomes:
            assert key not in outcome.said
            assert "Traceback" not in outcome.said
        for path in self.archive.rglob("*"):
            if path.is_file() and path not in self.files():
                assert key.encode() not in path.read_bytes(), path


def photo_at(case: Case, photo: Photo) -> Path:
    """Where a photo of the Market is in the archive."""
    [path] = [path for path in case.files() if path.read_bytes() == photo.body]
    return path


def a_market(returns: int, photos: int, *, odd: bool) -> Market:
    """The same one each time: a store of some returns with photos each, and perhaps one with hashes of all kinds."""
    market = Market(seed=3, now=NOW)
    store = market.add_store(CAMPAIGN)
    for _ in range(returns):
        store.add_return(photos)
    if odd:
        store.add_return(images=list(ODD))
    return market


@contextlib.contextmanager
def a_case(
    folder: Path, *, returns: int = 3, photos: int = 2, odd: bool = False, synced: bool = False, **options: Any
) -> Iterator[Case]:
    """A store that is served; `odd`: with hashes of all kinds, `synced`: with its archive complete."""
    market = partial(a_market, returns, photos, odd=odd)
    with running(market()) as sandbox:
        case = Case(sandbox, folder, **options)
        if synced:
            shutil.copytree(archive_of(market), case.archive)
        yield case


_archives: dict[str, Path] = {}


def archive_of(market: Callable[[], Market]) -> Path:
    """The complete archive of such a market; synced once, to be copied."""
    name = repr(market)
    if name not in _archives:
        folder = Path(tempfile.mkdtemp(prefix="archive-kit-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        with running(market()) as sandbox:
            case = Case(sandbox, folder)
            assert case.sync().code == 0
        _archives[name] = case.archive
    return _archives[name]
