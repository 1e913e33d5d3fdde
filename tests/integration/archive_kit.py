"""A store, a Market that serves it, and `market-photos` as a process of its own: what the tests of faults share."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from market_photos.sandbox import Market, Photo, Sandbox, running

CAMPAIGN = 101
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
        verified = self.run("verify", "--full", "--json")
        assert (verified.code, verified.json["stores"][0]["problems"]) == (0, [])
        self.assert_no_key()

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


@contextlib.contextmanager
def a_case(folder: Path, *, returns: int = 3, photos: int = 2, odd: bool = False, **options: Any) -> Iterator[Case]:
    """A store of some returns with photos each, served; `odd`: one more return with hashes of all kinds."""
    market = Market(seed=3)
    store = market.add_store(CAMPAIGN)
    for _ in range(returns):
        store.add_return(photos)
    if odd:
        store.add_return(images=list(ODD))
    with running(market) as sandbox:
        yield Case(sandbox, folder, **options)
