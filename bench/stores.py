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


def report(*, quick: bool = False) -> str:
    if reason := nginx.missing():
        return f"Not measured: {reason}.\n"
    heads = (
        "stores", "photos/s", "of the bound", "first store done / last", "CPU ms/photo", "peak MB",
        "photos/s of a full core", "stores at full quota on it",
    )  # fmt: skip
    return markdown(heads, [row(stores) for stores in (QUICK if quick else STORES)])
