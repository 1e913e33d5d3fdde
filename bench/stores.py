"""Measure stores side by side in one process: throughput, CPU, memory, and whether each gets its share."""

import tempfile
from collections import defaultdict
from pathlib import Path

from bench import corpus, nginx
from bench.contenders import SLOTS, sync_environment
from bench.growth import command
from bench.process import measured
from bench.table import markdown

#: Photo requests per second that the quota of one store allows.
QUOTA_RATE = 5000 / 3600
STORES = (1, 10, 50)
QUICK = (1, 5)
DELAY = 0.15
PHOTOS = 60
#: Many stores that are nearly done, as on most nights, in a process that may open MANY_FILES files.
MANY = 1000
QUICK_MANY = 200
MANY_PHOTOS = 2
MANY_FILES = 1024


def row(stores: int) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="market-photos-bench-") as folder:
        root = Path(folder)
        corpus.make(root / "files", 40_000, PHOTOS, stores=stores)
        with nginx.serving(root / "files", root / "nginx", delay=DELAY) as server:
            usage = measured(command("sync", "-q"), sync_environment(server.url, root), root / "log")
            log = server.take_log()
    if usage.code or len(log) != stores * PHOTOS:
        raise RuntimeError(f"{len(log)} photos, exit {usage.code}")
    began = min(answer.began for answer in log)
    ends: defaultdict[str, float] = defaultdict(float)
    for answer in log:
        store = answer.path.split("/")[3]
        ends[store] = max(ends[store], answer.ended - began)
    rate = len(log) / max(ends.values())
    core = len(log) / usage.cpu
    return [
        str(stores),
        f"{rate:,.0f}",
        f"{PHOTOS / SLOTS * DELAY / max(ends.values()):.2f}",
        f"{min(ends.values()) / max(ends.values()):.2f}",
        f"{usage.cpu / len(log) * 1000:.1f}",
        f"{usage.peak / 1e6:.0f}",
        f"{core:,.0f}",
        f"{core / QUOTA_RATE:,.0f}",
    ]


def many(stores: int) -> list[list[str]]:
    """Measure a first night and one with nothing new. Raises RuntimeError unless both end with exit code 0."""
    limited = ["sh", "-c", f'ulimit -n {MANY_FILES}; exec "$@"', "sh", *command("sync", "-q")]
    rows = []
    with tempfile.TemporaryDirectory(prefix="market-photos-bench-") as folder:
        root = Path(folder)
        corpus.make(root / "files", 40_000, MANY_PHOTOS, stores=stores)
        with nginx.serving(root / "files", root / "nginx") as server:
            for night, photos in (("first", stores * MANY_PHOTOS), ("nothing new", 0)):
                usage = measured(limited, sync_environment(server.url, root), root / "log")
                if usage.code or len(server.take_log()) != photos:
                    raise RuntimeError(f"{night}: exit {usage.code}: {(root / 'log').read_text()[-500:]}")
                per_photo = f"{usage.cpu / photos * 1000:.1f}" if photos else "–"
                per_store = f"{usage.cpu / stores * 1000:.1f}"
                rows.append(
                    [f"{stores:,}", night, f"{usage.wall:.1f}", per_photo, per_store, f"{usage.peak / 1e6:.0f}"]
                )
    return rows


def report(*, quick: bool = False) -> str:
    if reason := nginx.missing():
        return f"Not measured: {reason}.\n"
    heads = (
        "stores", "photos/s", "of the bound", "first store done / last", "CPU ms/photo", "peak MB",
        "photos/s of a full core", "stores at full quota on it",
    )  # fmt: skip
    side_by_side = markdown(heads, [row(stores) for stores in (QUICK if quick else STORES)])
    heads_of_many = ("stores", "night", "seconds", "CPU ms/photo", "CPU ms/store", "peak MB")
    limit = f"With `ulimit -n {MANY_FILES}` and {MANY_PHOTOS} photos of 40 KB in each store:"
    return f"{side_by_side}\n{limit}\n\n{markdown(heads_of_many, many(QUICK_MANY if quick else MANY))}"
