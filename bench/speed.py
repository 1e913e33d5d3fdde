"""Compare programs side by side: the same photos from the same server, in turn; every file is checked."""

import hashlib
import shutil
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import corpus, nginx
from bench.contenders import ABLATIONS, SIDE_BY_SIDE, SLOTS, SYNC, Contender, sync_of
from bench.corpus import Corpus
from bench.process import Usage, measured
from bench.table import markdown


@dataclass(frozen=True)
class Cell:
    """`photos` of `size` bytes from a server that waits `delay` seconds before each."""

    size: int
    delay: float
    photos: int
    tls: bool = False

    def __str__(self) -> str:
        size = f"{self.size // 1_000_000} MB" if self.size >= 1_000_000 else f"{self.size // 1000} KB"
        return f"{size}, {self.delay * 1000:.0f} ms{', TLS' * self.tls}"


#: Enough photos for about two seconds each, few enough for the whole table.
CELLS = (
    Cell(40_000, 0, 800),
    Cell(40_000, 0.05, 240),
    Cell(40_000, 0.15, 80),
    Cell(1_000_000, 0, 300),
    Cell(1_000_000, 0.05, 200),
    Cell(1_000_000, 0.15, 80),
    Cell(10_000_000, 0, 40),
    Cell(10_000_000, 0.05, 40),
    Cell(10_000_000, 0.15, 40),
    Cell(40_000, 0, 400, tls=True),
    Cell(1_000_000, 0, 200, tls=True),
)
QUICK = (Cell(40_000, 0.05, 80), Cell(1_000_000, 0, 80))


@dataclass(frozen=True)
class Lap:
    """One run over a cell. `fetching` is in seconds, from the first request to the last byte, by the server's log."""

    usage: Usage
    fetching: float
    wrong: int


def lap(contender: Contender, served: Corpus, server: nginx.Nginx, folder: Path) -> Lap:
    folder.mkdir()
    try:
        arguments, environment = contender.command(served, server.url, folder)
        usage = measured(arguments, environment | server.trust(), folder / "log")
        log = server.take_log()
        if usage.code or not log:
            raise RuntimeError(f"{contender.name} ended with {usage.code}: {(folder / 'log').read_text()[-500:]}")
        fetching = max(answer.ended for answer in log) - min(answer.began for answer in log)
        return Lap(usage, fetching, wrong_files(served, folder))
    finally:
        shutil.rmtree(folder)


def wrong_files(served: Corpus, folder: Path) -> int:
    """Return the number of photos that are missing or differ from what was served."""
    found = {name_of(path): path for path in folder.rglob("*") if path.is_file()}
    return sum(name not in found or digest(found[name]) != right for name, right in served.digests.items())


def name_of(path: Path) -> str:
    """Return the image hash in a file name; in our archive it follows the item."""
    return path.name.partition(".")[0].rpartition("-")[2]


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def race(cell: Cell, contenders: Iterable[Contender], rounds: int) -> dict[Contender, list[Lap]]:
    """Run the contenders in turn, so that a busy minute of the machine affects all of them."""
    able = [contender for contender in contenders if not contender.missing()]
    laps: dict[Contender, list[Lap]] = {contender: [] for contender in able}
    with tempfile.TemporaryDirectory(prefix="market-photos-bench-") as folder:
        root = Path(folder)
        served = corpus.make(root / "files", cell.size, cell.photos)
        with nginx.serving(root / "files", root / "nginx", delay=cell.delay, tls=cell.tls) as server:
            for _ in range(rounds):
                for contender in able:
                    laps[contender].append(lap(contender, served, server, root / "work"))
    return laps


def rows(cell: Cell, laps: dict[Contender, list[Lap]]) -> Iterator[list[str]]:
    """Yield the medians; `speed to the first` is the median of the ratios within a round."""
    first = next(iter(laps.values()))
    for contender, ours in laps.items():
        fetching = statistics.median(one.fetching for one in ours)
        ratio = statistics.median(a.fetching / b.fetching for a, b in zip(first, ours, strict=True))
        bound = cell.photos / SLOTS * cell.delay
        yield [
            str(cell),
            contender.name,
            f"{statistics.median(one.usage.wall for one in ours):.2f}",
            f"{fetching:.2f}",
            f"{cell.photos / fetching:,.0f}",
            f"{bound / fetching:.3f}" if bound else "",
            f"{ratio:.2f}",
            f"{statistics.median(one.usage.cpu for one in ours) / cell.photos * 1000:.1f}",
            f"{max(one.usage.peak for one in ours) / 1e6:.0f}",
            str(sum(one.wrong for one in ours)),
        ]


HEADS = (
    "photos, delay", "who", "wall s", "fetching s", "photos/s", "of the bound", "speed to the first",
    "CPU ms/photo", "peak MB", "wrong files",
)  # fmt: skip


def report(*, quick: bool = False, rounds: int = 5, against: str = "", only: str = "") -> str:
    """Return the table. `against` is another checkout to compare with; `only` selects cells by name."""
    if reason := nginx.missing():
        return f"Not measured: {reason}.\n"
    contenders = (SYNC, sync_of(against)) if against else SIDE_BY_SIDE
    found: list[list[str]] = []
    missing = [reason for contender in contenders if (reason := contender.missing())]
    cells = [cell for cell in (QUICK if quick else CELLS) if only in str(cell)]
    if not shutil.which("openssl"):
        cells = [cell for cell in cells if not cell.tls]
        missing.append("openssl is not installed, so nothing over TLS")
    for cell in cells:
        ablated = ABLATIONS if not (quick or against or cell.delay or cell.tls) else ()
        found += rows(cell, race(cell, (*contenders, *ablated), rounds=1 if quick else rounds))
    return markdown(HEADS, found) + "".join(f"\nNot measured: {reason}.\n" for reason in missing)
