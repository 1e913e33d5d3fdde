"""Measure a first sync into a folder beside one into a bucket, and count the bucket's requests by their purpose."""

import re
import statistics
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench import corpus, nginx
from bench.contenders import sync_environment
from bench.growth import command
from bench.process import measured
from bench.table import markdown
from tests.integration.buckets import KEYS, ministack, objects, store_of

STORES, PHOTOS, SIZE = 30, 60, 40_000
ROUNDS = 3
#: Seconds that the Market takes for each photo.
DELAY = 0.15
#: A line of ministack's log: method, path and status of a request.
_REQUEST = re.compile(rb'"?(GET|PUT|HEAD|POST|DELETE) (/\S*)[^\n]*')


class Sync(NamedTuple):
    """What a sync took."""

    rate: float
    """Photos per second, from the first request to the last byte."""
    cpu: float
    """Milliseconds a photo."""
    requests: Counter[str]
    """Requests to the bucket by their purpose."""


def sync(folder: str, *, is_bucket: bool) -> Sync:
    """Sync everything once, and require that each photo is where it belongs."""
    root = Path(tempfile.mkdtemp(dir=folder))
    with ExitStack() as stack:
        corpus.make(root / "files", SIZE, PHOTOS, stores=STORES)
        server = stack.enter_context(nginx.serving(root / "files", root / "nginx", delay=DELAY))
        environment = sync_environment(server.url, root) | KEYS
        if is_bucket:
            storage = stack.enter_context(ministack(root, "--access-logfile", "-"))
            bucket = storage.make_bucket()
            del environment["MARKET_PHOTOS_ARCHIVE_DIRECTORY"]
            for setting, value in storage.settings(bucket, root / "scratch").items():
                environment[f"MARKET_PHOTOS_ARCHIVE_{setting.upper()}"] = value
        usage = measured(command("sync", "-q"), environment, root / "log")
        log = server.take_log()
        requests: Counter[str] = Counter()
        if is_bucket:
            requests = _purposes((root / "storage.log").read_bytes())
            stored = sum(key.endswith(".jpg") for key in objects(store_of(storage, bucket)))
        else:
            stored = sum(1 for _ in (root / "archive").rglob("*.jpg"))
    if usage.code or not len(log) == stored == STORES * PHOTOS:
        raise RuntimeError(f"{len(log)} photos, {stored} stored, exit {usage.code}")
    seconds = max(answer.ended for answer in log) - min(answer.began for answer in log)
    return Sync(len(log) / seconds, usage.cpu / len(log) * 1000, requests)


def _purposes(log: bytes) -> Counter[str]:
    found: Counter[str] = Counter()
    for method, path in _REQUEST.findall(log):
        key = path.decode()
        purposes = {"/photos/": "photos and records", "/lease.json": "leases", "/catalog/": "checkpoints"}
        purpose = next((name for part, name in purposes.items() if part in key), "the rest")
        found[f"{method.decode()}, {purpose}"] += 1
    return found


def report() -> str:
    if reason := nginx.missing():
        return f"Not measured: {reason}.\n"
    with tempfile.TemporaryDirectory(prefix="market-photos-bench-") as folder:  # as in stores.py
        rounds = [(sync(folder, is_bucket=False), sync(folder, is_bucket=True)) for _ in range(ROUNDS)]
    rows = [
        [
            name,
            f"{statistics.median(one.rate for one in syncs):,.0f}",
            f"{statistics.median(one.cpu for one in syncs):.1f}",
        ]
        for name, syncs in zip(("folder", "bucket"), zip(*rounds, strict=True), strict=True)
    ]
    ratio = statistics.median(bucket.rate / folder.rate for folder, bucket in rounds)
    requests = [[purpose, f"{count / STORES:.1f}"] for purpose, count in sorted(rounds[-1][1].requests.items())]
    return (
        f"{markdown(('archive', 'photos/s', 'CPU ms/photo'), rows)}\n"
        f"{STORES} stores with {PHOTOS} photos each, {ROUNDS} rounds in turn; the bucket is at {ratio:.2f} of "
        f"the folder. Market, storage and program share the cores.\n\n"
        f"{markdown(('requests to the bucket', 'for each store'), requests)}"
    )
