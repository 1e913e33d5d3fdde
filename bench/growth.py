"""Measure a night with nothing new, a first listing, status, start-up and memory, from 10³ photos to 10⁶."""

import sys
import tempfile
from pathlib import Path

from bench import catalogs, corpus, nginx
from bench.catalogs import CAMPAIGN, PER_RETURN
from bench.contenders import sync_environment
from bench.process import Usage, measured
from bench.table import markdown

SIZES = (1_000, 10_000, 100_000, 1_000_000)
QUICK = (1_000, 10_000)
#: Photos fetched while the others stay pending.
FETCHED = 200
ROUNDS = 5


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "market_photos", *arguments]


def measured_often(arguments: list[str], environment: dict[str, str], log: Path, rounds: int = ROUNDS) -> Usage:
    """Return the median run by wall time."""
    usages = [measured(command(*arguments), environment, log) for _ in range(rounds)]
    if any(usage.code not in (0, 7) for usage in usages):
        raise RuntimeError(log.read_text()[-500:])
    return sorted(usages, key=lambda usage: usage.wall)[rounds // 2]


def night(photos: int) -> list[str]:
    """Return the row of a catalogue whose photos are all archived; the listing brings two pages of known returns."""
    with tempfile.TemporaryDirectory(prefix="market-photos-bench-") as folder:
        root = Path(folder)
        path = catalogs.make(root / "archive" / str(CAMPAIGN), photos)
        size = path.stat().st_size / photos
        corpus.make(root / "files", 1000, 2 * corpus.PAGE, per_return=PER_RETURN)
        with nginx.serving(root / "files", root / "nginx") as server:
            environment = sync_environment(server.url, root)
            nothing = measured_often(["sync", "-q"], environment, root / "log")
            status = measured_often(["status"], environment, root / "log")
        found = f"{nothing.wall:.2f}", f"{nothing.peak / 1e6:.0f}", f"{status.wall:.2f}", f"{size:.0f}"
        return [f"{photos:,}", *found]


def backlog(photos: int) -> list[str]:
    """Return the row of a catalogue whose photos are all pending; the newest ones are fetched."""
    with tempfile.TemporaryDirectory(prefix="market-photos-bench-") as folder:
        root = Path(folder)
        catalogs.make(root / "archive" / str(CAMPAIGN), photos, archived=False)
        corpus.make(root / "files", 40_000, FETCHED, first=(photos - FETCHED) // PER_RETURN)
        with nginx.serving(root / "files", root / "nginx") as server:
            arguments = command("sync", "-q", "--max-photos", str(FETCHED))
            usage = measured(arguments, sync_environment(server.url, root), root / "log")
            if usage.code != 7 or len(server.take_log()) != FETCHED:
                raise RuntimeError((root / "log").read_text()[-500:])
        return [f"{photos:,}", f"{usage.wall:.2f}", f"{usage.peak / 1e6:.1f}"]


def listing(returns: int, rounds: int) -> tuple[Usage, Usage]:
    """Return the cost of a first listing of `returns` with a photo each, and of a single page; fetch nothing."""
    with tempfile.TemporaryDirectory(prefix="market-photos-bench-") as folder:
        root = Path(folder)
        found = []
        for count in (returns, corpus.PAGE):
            files = root / f"files{count}"
            corpus.make(files, 1000, 0)
            corpus.write_pages(files, CAMPAIGN, list(range(count)), 1)
            with nginx.serving(files, root / "nginx") as server:
                usages = []
                for number in range(rounds):
                    environment = sync_environment(server.url, root / f"{count}-{number}")
                    usages.append(measured(command("sync", "-q", "--max-photos", "0"), environment, root / "log"))
            found.append(sorted(usages, key=lambda usage: usage.wall)[rounds // 2])
        return found[0], found[1]


def report(*, quick: bool = False) -> str:
    if reason := nginx.missing():
        return f"Not measured: {reason}.\n"
    sizes = QUICK if quick else SIZES
    returns = 10_000 if quick else 100_000
    nights = markdown(
        ("archived photos", "night with nothing new, s", "its peak MB", "`status`, s", "catalogue, bytes a photo"),
        [night(photos) for photos in sizes],
    )
    backlogs = markdown(
        ("pending photos", f"{FETCHED} fetched, s", "peak MB"), [backlog(photos) for photos in (sizes[0], sizes[-1])]
    )
    many, few = listing(returns, 1 if quick else 3)
    rate = (returns - corpus.PAGE) / (many.wall - few.wall)
    with tempfile.TemporaryDirectory() as folder:
        start = measured_often(["--help"], {}, Path(folder) / "log")
    return (
        f"{nights}\n{backlogs}\nFirst listing of {returns:,} returns with a photo each: {many.wall:.1f} s, "
        f"{rate:,.0f} returns/s without the start-up; peak {many.peak / 1e6:.0f} MB "
        f"(one page: {few.peak / 1e6:.0f} MB).\n\n`--help`: {start.wall:.2f} s.\n"
    )
