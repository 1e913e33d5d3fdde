"""One run over the stores: wiring and outcomes."""

import asyncio
import json
import logging
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from market_photos import failpoints
from market_photos.archive import atomic, volume
from market_photos.archive.catalog import adoption
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import MAX_FAILURES
from market_photos.archive.lock import Lock
from market_photos.archive.volume import network_share
from market_photos.clock import Clock, ServerClock, iso
from market_photos.config import Settings
from market_photos.console import current_store, redact
from market_photos.errors import (
    ArchiveUnwritable,
    ExitCode,
    KeyRefused,
    MarketPhotosError,
)
from market_photos.market.client import Client
from market_photos.market.requests import quotas
from market_photos.reporting.harmless import harmless
from market_photos.reporting.report import SHOWN_FAILURES, Failure, Report, StoreReport, verdict
from market_photos.reporting.status import seconds_at_quota
from market_photos.sync.discovery import Candidate, Discovered, discover, nothing_to_visit
from market_photos.sync.stop import Budget, Stop
from market_photos.sync.store import Store
from market_photos.sync.store_locks import Locks
from market_photos.sync.store_run import Plan, run_store
from market_photos.sync.unvisited import refused_report, unvisited

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What the command line says beside the plan."""

    command: str
    campaigns: tuple[int, ...] = ()
    max_seconds: float | None = None
    max_photos: int | None = None
    dry_run: bool = False


class Run:
    """One run. `stores` fills as they start, for whoever shows progress; `stop` ends it early."""

    def __init__(self, settings: Settings, plan: Plan, options: Options, clock: Clock, rng: Random) -> None:
        self.settings = settings
        self.plan = plan
        self.options = options
        self.clock = ServerClock.of(clock)
        self.rng = rng
        self.stores: list[Store] = []
        self.has_stores = False
        self.stop = Stop()
        self._budget = Budget(options.max_photos)
        self._archive = settings.archive.directory

    async def __call__(self) -> Report:
        """Raises MarketPhotosError for what concerns the run as a whole; what befalls one store is in its report."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        key = self.settings.api_key()
        if self.options.max_seconds is not None:
            loop.call_later(self.options.max_seconds, self.stop.request, ExitCode.LIMIT, "--max-duration is over")
        volume.require_marker(self._archive, self.settings.archive.marker)
        atomic.make_folder(self._archive)
        volume.require_room(self._archive, self.settings.archive.min_free_bytes)
        if share := network_share(self._archive):
            log.warning("%s is on a network share (%s), where the catalogue is not safe", self._archive, share)
        with ExitStack() as held:
            marker = self.settings.archive.marker
            locks = Locks(self._archive, self.options.command, self.clock, held, marker)
            reports, found = await self._visit(key, locks)
        skipped = [(candidate.title, candidate.refused) for candidate in found.skipped]
        return Report(reports, loop.time() - began, skipped, self._hours_at_quota(reports), found.requests)

    async def _visit(self, key: str, locks: Locks) -> tuple[list[StoreReport], Discovered]:
        named = sorted(set(self.options.campaigns or self.settings.campaigns.ids))
        ours = locks.take_stores(named) if named else set()
        if not named:
            locks.take_archive()
        api = self.settings.api
        async with Client(api.base_url, key, self.clock, read_timeout=api.read_timeout_seconds) as client:
            found = await discover(client, named, self.clock, self.rng)
            visited = [candidate.campaign for candidate in found.candidates]
            if not named:
                ours = locks.take_stores(visited)
            visits = [
                self._visit_one(candidate, client, locks)
                for candidate in found.candidates
                if candidate.campaign in ours
            ]
            reports = await asyncio.gather(*visits)
        for campaign, error in locks.refused.items():
            reports.append(StoreReport(campaign, exit_code=error.exit_code, error=error))
        if not named:
            more, skipped = await asyncio.to_thread(
                unvisited, self._archive, set(visited), found.skipped, self.clock, self.plan.only
            )
            reports += more
            found = found._replace(skipped=skipped)
        if not reports:
            raise nothing_to_visit(found.skipped)
        return sorted(reports, key=lambda report: report.campaign), found

    async def _visit_one(self, candidate: Candidate, client: Client, locks: Locks) -> StoreReport:
        """The store's part of the run. What befalls it is in the report; the key and the disk concern every store."""
        current_store.set(candidate.campaign)  # of this task and those it starts
        report = StoreReport(candidate.campaign, candidate.name)
        try:
            if candidate.refused:
                only, folder = self.plan.only, locks.grounds[candidate.campaign].folder
                report = await asyncio.to_thread(refused_report, folder, candidate, self.clock, only)
            else:
                async with self._store(candidate, client, locks) as store:
                    await self._run(store, report)
        except MarketPhotosError as error:
            report.error, report.exit_code = error, error.exit_code
        except Exception:
            log.exception("store %s: internal error", candidate.campaign)
            report.error = MarketPhotosError("Internal error; its traceback stands above.", "Please report it.")
            report.exit_code = ExitCode.INTERNAL
        if isinstance(report.error, KeyRefused | ArchiveUnwritable):
            self.stop.request(report.error.exit_code, report.error.message)
        return report

    @asynccontextmanager
    async def _store(self, candidate: Candidate, client: Client, locks: Locks) -> AsyncIterator[Store]:
        ground, lock = locks.grounds[candidate.campaign], locks.locks[candidate.campaign]
        async with AsyncExitStack() as opened:
            catalog = await asyncio.to_thread(Catalog, ground.folder, candidate.campaign, self.clock, ground=ground)
            opened.push_async_callback(asyncio.to_thread, catalog.close)
            await catalog.do(_name, catalog, candidate)
            await catalog.do(catalog.requests.settle_ages)
            await catalog.do(self._spend_if_older, catalog, lock)
            opened.push_async_callback(catalog.do, adoption.stamp, catalog, lock)
            listed = opened.enter_context(scratch(catalog, self.clock)) if self.options.dry_run else catalog
            store = Store(
                campaign=candidate.campaign,
                name=candidate.name,
                ground=ground,
                catalog=listed,
                ledger=catalog,
                client=client,
                settings=self.settings,
                clock=self.clock,
                rng=self.rng,
                stop=self.stop,
                budget=self._budget,
            )
            self.stores.append(store)
            self.has_stores = True
            opened.callback(self.stores.remove, store)
            yield store

    def _spend_if_older(self, catalog: Catalog, lock: Lock) -> None:
        """What was sent since the catalogue was copied is not known: the whole quota counts as spent now. Blocks."""
        if adoption.is_older(catalog, lock):
            log.warning(
                "store %s: the catalogue is older than what happened since: it was put back from a backup, or lost. "
                "Photos that are on disk are not asked for, and the quota of a period counts as spent",
                catalog.campaign,
            )
            for method, amount in quotas(
                self.settings.limits.photo_requests, self.settings.limits.return_requests
            ).items():
                catalog.requests.assume(method, [0.0] * amount)
            if not self.options.dry_run:
                log.info("store %s: %d photos were on disk already", catalog.campaign, adoption.adopt_all(catalog))
        adoption.stamp(catalog, lock)

    async def _run(self, store: Store, report: StoreReport) -> None:
        """Runs the store and fills the report, after an error too. Raises only what leaves no report to give."""
        runs = store.ledger.runs
        run = await store.ledger.do(runs.begin, self.options.command)
        failpoints.point("run-begun")
        is_listed = False
        report.counters = store.counters
        try:
            is_listed = await run_store(store, self.plan)
        except MarketPhotosError as error:
            report.error = error
        await self._take_stock(store, report)
        report.exit_code = verdict(
            {} if self.options.dry_run else report.tally,
            error=report.error,
            stopped=self.stop.code,
            is_listed=is_listed,
            unreadable=store.counters.unreadable,
            internal_errors=store.counters.internal_errors,
        )
        summary = json.loads(redact(json.dumps(report.as_json())))  # a server's words may hold anything
        with harmless(f"store {store.campaign}: the end of this run is not on record"):
            await store.ledger.do(runs.end, run, report.exit_code, summary)
        failpoints.point("run-ended")

    async def _take_stock(self, store: Store, report: StoreReport) -> None:
        catalog = store.ledger
        report.tally = await catalog.do(catalog.photos.tally, self.plan.only)
        watermark = await catalog.do(catalog.returns.watermark)
        report.watermark = iso(watermark) if watermark is not None else None
        if self.options.dry_run:
            plan = self.plan
            report.would_fetch = await catalog.do(
                catalog.photos.lacking, store.catalog.path, everything=plan.everything, only=plan.only
            )
            return
        for key, reason, failures, not_before in await catalog.do(
            catalog.photos.failures, SHOWN_FAILURES, self.plan.only
        ):
            report.failures.append(Failure(str(key), reason, next_try(failures, not_before, self.clock.now().best)))

    def _hours_at_quota(self, reports: list[StoreReport]) -> float | None:
        """Of a dry run: stores are fetched side by side, so the one with the most photos decides."""
        if not self.options.dry_run:
            return None
        limits = self.settings.limits
        most = max((report.would_fetch or 0 for report in reports), default=0)
        return seconds_at_quota(most, limits.photo_requests, limits) / 3600


def _name(catalog: Catalog, candidate: Candidate) -> None:
    """Keeps the store's name for those who read the catalogue."""
    if catalog.returns.meta("name") != candidate.name:
        catalog.returns.set_meta("name", candidate.name)


@contextmanager
def scratch(real: Catalog, clock: Clock) -> Iterator[Catalog]:
    """A dry run lists into a catalogue of its own, which begins where the real one is and is gone afterwards."""
    try:
        made = tempfile.TemporaryDirectory(prefix="market-photos-")
    except OSError as error:
        raise ArchiveUnwritable(
            f"--dry-run: no temporary folder can be made: {error.strerror}.",
            "Let TMPDIR name a folder that can be written to.",
        ) from error
    with (
        made as folder,
        Catalog(Path(folder), real.campaign, clock) as catalog,
    ):
        if (watermark := real.returns.watermark()) is not None:
            catalog.returns.move_watermark(watermark)
        for window in real.returns.finished_windows():
            catalog.returns.finish_window(*window)
        yield catalog


def next_try(failures: int, not_before: int, wall: float) -> str:
    """When a failed photo is asked for again, in words."""
    if failures >= MAX_FAILURES:
        return f"given up after {failures} runs; `sync --full` tries once more"
    return f"next try from {iso(not_before)}" if not_before > wall else "the next run tries again"
