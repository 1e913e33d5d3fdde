"""Measure stores side by side, in one process and in two: throughput, CPU, memory, and each store's share."""

import os
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from bench import corpus, nginx
from bench.contenders import SLOTS, sync_environment
from bench.growth import command
from bench.process import measured
from bench.table import markdown

#: Photo requests per second that the quota of one store allows.
QUOTA_RATE = 5000 / 3600
DELAY = 0.15
#: Open files that each process may have, as on most systems.
OPEN_FILES = 1024


@dataclass(frozen=True)
class Cell:
    """So many stores with so many photos each, in so many processes."""

    stores: int
    photos: int = 60
    processes: int = 1


CELLS = (
    Cell(1),
    Cell(10),
    Cell(50),
    Cell(50, processes=2),
    Cell(1000, photos=2),
    Cell(1000, photos=2, processes=2),
    Cell(200, photos=60),
    Cell(200, photos=60, processes=2),
)
QUICK = (Cell(1), Cell(5), Cell(5, processes=2))


def row(cell: Cell, folder: str) -> list[str]:
    """Return the measurement of a cell: a first sync of everything, from a server that takes 150 ms a photo."""
    root = Path(tempfile.mkdtemp(dir=folder))
    corpus.make(root / "files", 40_000, cell.photos, stores=cell.stores)
    with nginx.serving(root / "files", root / "nginx", delay=DELAY) as server:
        limited = ["sh", "-c", f'ulimit -n {OPEN_FILES}; exec "$@"', "sh"]
        arguments = command("sync", "-q", "--processes", str(cell.processes))
        usage = measured([*limited, *arguments], sync_environment(server.url, root), root / "log")
        log = server.take_log()
    photos = cell.stores * cell.photos
    if usage.code or len(log) != photos:
        raise RuntimeError(f"{cell}: {len(log)} photos, exit {usage.code}")
    began = min(answer.began for answer in log)
    ends: defaultdict[str, float] = defaultdict(float)
    for answer in log:
        store = answer.path.split("/")[3]
        ends[store] = max(ends[store], answer.ended - began)
    core = photos / usage.cpu
    return [
        f"{cell.stores:,} × {cell.photos}",
        str(cell.processes),
        f"{usage.wall:.1f}",
        f"{photos / max(ends.values()):,.0f}",
        f"{cell.photos / SLOTS * DELAY / max(ends.values()):.2f}",
        f"{min(ends.values()) / max(ends.values()):.2f}",
        f"{usage.cpu / photos * 1000:.1f}",
        f"{usage.peak / 1e6:.0f}",
        f"{core:,.0f}",
        f"{core / QUOTA_RATE:,.0f}",
    ]


def report(*, quick: bool = False) -> str:
    if reason := nginx.missing():
        return f"Not measured: {reason}.\n"
    heads = (
        "stores × photos", "processes", "wall s", "photos/s", "of the bound", "first store done / last",
        "CPU ms/photo", "peak MB", "photos/s of a full core", "stores at full quota on it",
    )  # fmt: skip
    # Removed at the end: ext4 takes long to make a file while it remembers thousands that were removed just now.
    with tempfile.TemporaryDirectory(prefix="market-photos-bench-") as folder:
        table = markdown(heads, [row(cell, folder) for cell in (QUICK if quick else CELLS)])
    return f"{table}\nWith `ulimit -n {OPEN_FILES}`; the server on the same {os.cpu_count()} cores.\n"
