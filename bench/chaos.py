"""Kill and pause processes at work; measure the takeover, what was fetched twice, and the worst window of a store."""

import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import obstore

from bench.nginx import free_port
from bench.process import family
from bench.table import markdown
from market_photos.archive import lock
from market_photos.archive.layout import LOCK_NAME
from market_photos.sandbox import FixedWindow, Market, ServerLimits, running
from tests.integration.buckets import KEYS, ministack, store_of, with_leases
from tests.integration.harness import World, fill

STORES, PHOTOS = 8, 1500
QUOTA, PERIOD = 60, 10.0
EVENTS = 20
#: Seconds for which a lease of the workers counts, and after which it is taken over.
TTL, SLACK = 5.0, 2.0
#: Seconds between two events, and of a pause: longer than a lease and its slack.
GAP, PAUSE = 2.0, TTL + SLACK + 1
#: Photos that a store has in flight at most: the default of parallel_requests.
PARALLEL = 3
#: So slow that the quota is just used up, and photos are always in flight.
LATENCY = 0.4
#: Seconds after which a store that nobody took over is an error.
TAKEOVER_LIMIT = 60.0


@dataclass
class Chaos:
    """A run under chaos."""

    world: World
    run: "subprocess.Popen[str]"
    workers: Callable[[], list[int]]
    """The processes at work."""
    holders: Callable[[], dict[int, int]]
    """The process that has each store; stores that nobody has are left out."""
    takeovers: list[float] = field(default_factory=list)
    """Seconds from each kill until other processes had the last of the stores."""
    in_flight: int = 0
    """Photos that may have been in flight in the processes at these events."""

    def kill(self, rng: random.Random) -> None:
        pid = rng.choice(self.workers())
        stores = self._stores_of(pid)
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        while any(holder in {None, pid} for holder in map(self.holders().get, stores)):
            if time.monotonic() - killed > TAKEOVER_LIMIT:
                raise RuntimeError(f"nobody took over all of {stores}")
            time.sleep(0.05)
        if stores:
            self.takeovers.append(time.monotonic() - killed)
        time.sleep(GAP)

    def pause(self, rng: random.Random) -> None:
        pid = rng.choice(self.workers())
        self._stores_of(pid)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(PAUSE)
        os.kill(pid, signal.SIGCONT)
        time.sleep(GAP)

    def _stores_of(self, pid: int) -> list[int]:
        """Return the stores of a process, and count what they may have in flight."""
        stores = [store for store, holder in self.holders().items() if holder == pid]
        self.in_flight += len(stores) * PARALLEL
        return stores

    def row(self, name: str) -> list[str]:
        """End the run, and return what came of it."""
        self.run.send_signal(signal.SIGTERM)
        outcome = self.world.end_of(self.run)
        counts = Counter(entry.path for entry in self.world.log.of("photo", status=200))
        twice = sum(count - 1 for count in counts.values())
        if twice > self.in_flight:
            raise RuntimeError(f"{name}: {twice} photos were fetched twice, {self.in_flight} were in flight")
        window = self.world.log.worst_window("photo", PERIOD)
        return [
            name,
            f"{len(counts):,}",
            f"{twice} of {self.in_flight}",
            f"{twice / (2 * EVENTS):.1f}",
            f"{statistics.median(self.takeovers):.1f}, {max(self.takeovers):.1f}",
            f"{window} of {QUOTA}",
            str(self.world.log.worst_parallel()),
            str(outcome.code),
        ]


@contextmanager
def market() -> Iterator[World]:
    """A Market with a small quota in fixed windows, and a world in it."""
    stores = Market(seed=9)
    for _ in range(STORES):
        fill(stores.add_store(), returns=PHOTOS)
    limits = ServerLimits(photos=FixedWindow(QUOTA * 10, PERIOD))  # what is sent is counted here, nothing is refused
    with (
        tempfile.TemporaryDirectory(prefix="market-photos-bench-") as folder,
        running(stores, limits=limits, latency=LATENCY) as sandbox,
    ):
        settings = {"limits": {"photo_requests": QUOTA, "period_seconds": PERIOD}}
        yield World(stores, sandbox, Path(folder), settings)


def of_processes() -> list[str]:
    """Run `sync --processes 2` on a folder."""
    with market() as world:
        run = world.start("sync", "-q", "--processes", "2")

        def workers() -> list[int]:
            return [pid for pid in family(run.pid) if b"spawn_main" in command_of(pid)]

        def holders() -> dict[int, int]:
            found = {store: lock.held_by(world.archive / str(store) / LOCK_NAME) for store in world.market.stores}
            return {store: holder.pid for store, holder in found.items() if holder}

        try:
            return measured(Chaos(world, run, workers, holders), "2 processes, folder")
        finally:
            run.kill()


def of_workers() -> list[str]:
    """Run three workers on a bucket, with short leases."""
    with market() as world, ExitStack() as stack:
        os.environ |= KEYS | {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "2s"}
        os.environ["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "100"
        storage = stack.enter_context(ministack(world.folder))
        bucket, port, at_work = storage.make_bucket(), free_port(), list[subprocess.Popen[str]]()

        def machine(*arguments: str) -> "subprocess.Popen[str]":
            folder = Path(tempfile.mkdtemp(dir=world.folder))
            archive = storage.settings(bucket, folder / "scratch")
            there = World(world.market, world.sandbox, folder, world.settings | {"archive": archive})
            process = there.start(*arguments, script=with_leases(ttl=TTL, slack=SLACK), stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        dask = [str(Path(sys.executable).with_name("dask")), "scheduler", "--host", "127.0.0.1", "--no-dashboard"]
        scheduler = subprocess.Popen([*dask, "--port", str(port)], stderr=subprocess.DEVNULL)
        stack.callback(scheduler.wait)
        stack.callback(scheduler.kill)

        def worker() -> None:
            at_work.append(machine("worker", f"tcp://127.0.0.1:{port}"))

        def alive() -> list[int]:
            while sum(process.poll() is None for process in at_work) < 3:
                worker()
                time.sleep(GAP)
            return [process.pid for process in at_work if process.poll() is None]

        alive()
        run = machine("sync", "-q", "--cluster", f"tcp://127.0.0.1:{port}")
        objects = store_of(storage, bucket)

        def holders() -> dict[int, int]:
            found = {}
            for store in world.market.stores:
                with suppress(FileNotFoundError):
                    lease = json.loads(bytes(obstore.get(objects, f"{store}/lease.json").bytes()))
                    found[store] = lease["who"]["pid"]
            return found

        return measured(Chaos(world, run, alive, holders), f"3 workers, bucket, leases of {TTL + SLACK:.0f} s")


def measured(chaos: Chaos, name: str) -> list[str]:
    rng = random.Random(4)
    while len({entry.campaign for entry in chaos.world.log.of("photo")}) < STORES:
        time.sleep(0.1)
    for event in [chaos.kill, chaos.pause] * EVENTS:
        if chaos.run.poll() is not None:
            raise RuntimeError(f"{name}: ended early with {chaos.run.returncode}")
        event(rng)
    return chaos.row(name)


def command_of(pid: int) -> bytes:
    path = Path(f"/proc/{pid}/cmdline")
    return path.read_bytes() if path.exists() else b""


def report() -> str:
    heads = (
        "who", "photos", "fetched twice, of those in flight", "for each event",
        "from a kill to the takeover, s: median, most", "worst window", "most in parallel", "exit code",
    )  # fmt: skip
    table = markdown(heads, [of_processes(), of_workers()])
    return f"{table}\n{STORES} stores, {EVENTS} kills and {EVENTS} pauses of {PAUSE:.0f} s.\n"
