"""The programs that are compared: our sync and common alternatives, each as one command."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.corpus import Corpus
from bench.nginx import CERT

SLOTS = 4
Command = tuple[list[str], dict[str, str]]


@dataclass(frozen=True)
class Contender:
    """`command(corpus, url, folder)` returns arguments and environment of a process that fetches all photos."""

    name: str
    command: Callable[[Corpus, str, Path], Command]
    needs: str = ""
    """A program that must be installed."""

    def missing(self) -> str:
        return f"{self.needs} is not installed" if self.needs and not shutil.which(self.needs) else ""


def sync_environment(url: str, folder: Path) -> dict[str, str]:
    return {
        "MARKET_PHOTOS_API_BASE_URL": url,
        "MARKET_PHOTOS_API_KEY": "ACMA:bench",
        "MARKET_PHOTOS_ARCHIVE_DIRECTORY": str(folder / "archive"),
        "MARKET_PHOTOS_ARCHIVE_MIN_FREE_BYTES": "0",
        "MARKET_PHOTOS_LIMITS_PARALLEL_REQUESTS": str(SLOTS),
        "MARKET_PHOTOS_LIMITS_PHOTO_REQUESTS": "1000000",
        "MARKET_PHOTOS_LIMITS_RETURN_REQUESTS": "1000000",
    }


def _sync(corpus: Corpus, url: str, folder: Path) -> Command:
    return [sys.executable, "-P", "-m", "market_photos", "sync", "-q"], sync_environment(url, folder)


def sync_of(checkout: str) -> Contender:
    """Return the program of another checkout."""

    def command(corpus: Corpus, url: str, folder: Path) -> Command:
        arguments, environment = _sync(corpus, url, folder)
        return arguments, environment | {"PYTHONPATH": checkout}

    return Contender(f"sync of {Path(checkout).name}", command)


def _without(*what: str) -> Callable[[Corpus, str, Path], Command]:
    def command(corpus: Corpus, url: str, folder: Path) -> Command:
        return [sys.executable, "-m", "bench.without", *what, "--", "sync", "-q"], sync_environment(url, folder)

    return command


def _aria2c(corpus: Corpus, url: str, folder: Path) -> Command:
    targets = folder / "urls"
    targets.write_text("".join(f"{url}/{path}\n out={Path(path).name}\n" for path in corpus.paths))
    trusted = f"--ca-certificate={folder.parent / 'nginx' / CERT}"  # used with TLS only
    quiet = [trusted, "--quiet", "--no-conf", "--console-log-level=error"]
    return ["aria2c", "-j4", "-x1", "-s1", "-i", str(targets), "-d", str(folder / "aria2c"), *quiet], {}


def _curl(corpus: Corpus, url: str, folder: Path) -> Command:
    """Return the command; without --parallel-immediate curl waits for a shared connection and fetches one by one."""
    targets = folder / "urls"
    out = folder / "curl"
    targets.write_text(
        "".join(f'url = "{url}/{path}"\noutput = "{out}/{Path(path).name}"\n' for path in corpus.paths)
    )
    options = "-s -q --create-dirs --parallel --parallel-immediate --parallel-max 4"
    return ["curl", *options.split(), "-K", str(targets)], {}


def _script(corpus: Corpus, url: str, folder: Path) -> Command:
    targets = folder / "urls"
    targets.write_text("".join(f"{url}/{path}\n" for path in corpus.paths))
    return [sys.executable, "-m", "bench.script", str(targets), str(folder / "script")], {}


SYNC = Contender("market-photos sync", _sync)
ARIA2C = Contender("aria2c -j4", _aria2c, needs="aria2c")
CURL = Contender("curl --parallel", _curl, needs="curl")
SCRIPT = Contender("gather script", _script)
SIDE_BY_SIDE = (SYNC, ARIA2C, CURL, SCRIPT)
#: Our sync without one of the steps that the others do not do.
ABLATIONS = (
    Contender("… without fsync", _without("fsync")),
    Contender("… without SHA-256", _without("hash")),
    Contender("… without either", _without("fsync", "hash")),
)
