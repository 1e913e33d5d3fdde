"""One run over the stores: find and lock them, run each of them, and report.

async with Client(...): discover → lock → for each store side by side: open → run → take stock
"""

import asyncio
import json
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
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
from market_photos.errors import ArchiveUnwritable, ExitCode, KeyRefused, MarketPhotosError
from market_photos.market.client import Client
from market_photos.market.requests import quotas
from market_photos.reporting.harmless import harmless
from market_photos.reporting.progress import StoreProgress
from market_photos.reporting.report import SHOWN_FAILURES, Counters, Failure, Report, StoreReport, verdict
from market_photos.reporting.status import seconds_at_quota
from market_photos.settings import Limits as LimitSettings
from market_photos.sync.discovery import Candidate, Discovered, discover, nothing_to_visit
from market_photos.sync.ledger import RequestLedger, restored_limits
from market_photos.sync.plan import Plan
from market_photos.sync.progress import measure
from market_photos.sync.shard import WHOLE, Shard
from market_photos.sync.stop import Budget, Stop
from market_photos.sync.store import Store
from market_photos.sync.store_locks import StoreLocks
from market_photos.sync.store_run import run_store
from market_photos.sync.unvisited import refused_report, unvisited

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """The options of the command line beside the plan."""

    command: str
    campaigns: tuple[int, ...] = ()
    max_seconds: float | None = None
    max_photos: int | None = None
    dry_run: bool = False
    shard: Shard = WHOLE


class Run:
    """One run. `stores` holds the stores at work, for the progress display; `stop` ends the run early."""

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
        self._began = 0.0
        self._archive = settings.archive.directory

    async def __call__(self) -> Report:
        """Return the report. Raises MarketPhotosError for the run as a whole; a store's error is in its report."""
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        key = self.settings.api_key()
        if self.options.max_seconds is not None:
            loop.call_later(self.options.max_seconds, self.stop.request, ExitCode.LIMIT, "--max-duration is over")
        self._prepare_archive()
        with ExitStack() as held:
            marker = self.settings.archive.marker
            locks = StoreLocks(self._archive, self.options.command, self.clock, held, marker)
            reports, found = await self._visit_stores(key, locks)
        skipped = [(candidate.title, candidate.refused) for candidate in found.skipped]
        return Report(reports, loop.time() - self._began, skipped, self._hours_at_quota(reports), found.requests)

    async def progress(self) -> list[StoreProgress]:
        """Return the progress of the stores at work. Raises CatalogUnusable."""
        seconds = asyncio.get_running_loop().time() - self._began
        found = []
        for store in list(self.stores):
            with suppress(RuntimeError):  # its catalogue was closed meanwhile
                found.append(await measure(store, seconds))
        return found

    def _prepare_archive(self) -> None:
        """Raise ArchiveUnwritable unless the archive can be written to."""
        volume.require_marker(self._archive, self.settings.archive.marker)
        atomic.make_folder(self._archive)
        volume.require_room(self._archive, self.settings.archive.min_free_bytes)
        if share := network_share(self._archive):
            log.warning("%s is on a network share (%s), where the catalogue is not safe", self._archive, share)

    async def _visit_stores(self, key: str, locks: StoreLocks) -> tuple[list[StoreReport], Discovered]:
        """Run the named stores, or every store of the key; return a report for each."""
        shard = self.options.shard
        named = sorted(set(self.options.campaigns or self.settings.campaigns.ids))
        if named and not (named := [campaign for campaign in named if campaign in shard]):
            return [], Discovered([], [])
        locked = locks.take_stores(named) if named else set()
        if not named and shard == WHOLE:
            locks.take_archive()
        api = self.settings.api
        async with Client(api.base_url, key, self.clock, read_timeout=api.read_timeout_seconds) as client:
            discovered = await discover(client, named, self.clock, self.rng)
            found = discovered.within(shard)
            visited = [candidate.campaign for candidate in found.candidates]
            if not named:
                locked = locks.take_stores(visited)
            visits = [
                self._visit_store(candidate, client, locks)
                for candidate in found.candidates
                if candidate.campaign in locked
            ]
            reports = await asyncio.gather(*visits)
        for campaign, error in locks.refused.items():
            reports.append(StoreReport(campaign, exit_code=error.exit_code, error=error))
        if not named:
            others, skipped = await asyncio.to_thread(
                unvisited,
                self._archive,
                set(visited),
                found.skipped,
                self.clock,
                only=self.plan.only,
                shard=shard,
            )
            reports += others
            found = found._replace(skipped=skipped)
        if not reports and not discovered.candidates:
            raise nothing_to_visit(found.skipped)
        return sorted(reports, key=lambda report: report.campaign), found

    async def _visit_store(self, candidate: Candidate, client: Client, locks: StoreLocks) -> StoreReport:
        """Run one store; return its report, also after an error. A refused key or a full disk stops the whole run."""
        current_store.set(candidate.campaign)  # for the log lines of this task and those that it starts
        report = StoreReport(candidate.campaign, candidate.name)
        try:
            if candidate.refused:
                folder = locks.folders[candidate.campaign].folder
                report = await asyncio.to_thread(refused_report, folder, candidate, self.clock, self.plan.only)
            else:
                async with self._opened(candidate, client, locks) as store:
                    await self._run(store, report)
        except MarketPhotosError as error:
            report.error, report.exit_code = error, error.exit_code
        except Exception:
            log.exception("store %s: internal error", candidate.campaign)
            report.error = MarketPhotosError("Internal error; see its traceback above.", "Please report it.")
            report.exit_code = ExitCode.INTERNAL
        if isinstance(report.error, KeyRefused | ArchiveUnwritable):
            self.stop.request(report.error.exit_code, report.error.message)
        return report

    @asynccontextmanager
    async def _opened(self, candidate: Candidate, client: Client, locks: StoreLocks) -> AsyncIterator[Store]:
        """Open the store's catalogue, restore its limits, and keep it in `stores` during the block."""
        settings, held_folder, lock = (
            self.settings,
            locks.folders[candidate.campaign],
            locks.locks[candidate.campaign],
        )
        async with AsyncExitStack() as opened:
            catalog = await asyncio.to_thread(
                Catalog, held_folder.folder, candidate.campaign, self.clock, held_folder=held_folder
            )
            opened.push_async_callback(asyncio.to_thread, catalog.close)
            await catalog.do(self._prepare_catalog, catalog, candidate, lock)
            opened.push_async_callback(catalog.do, adoption.stamp, catalog, lock)
            counters = Counters()
            ledger = RequestLedger(catalog, self.clock, counters)
            store = Store(
                campaign=candidate.campaign,
                name=candidate.name,
                held_folder=held_folder,
                catalog=await opened.enter_async_context(scratch(catalog, self.clock)) if self._is_dry else catalog,
                own_catalog=catalog,
                client=client,
                limits=await restored_limits(catalog, settings.limits, self.clock, ledger, self.rng),
                settings=settings,
                clock=self.clock,
                rng=self.rng,
                stop=self.stop,
                budget=self._budget,
                counters=counters,
                started_at=self.clock.now().best,
            )
            self.stores.append(store)
            self.has_stores = True
            opened.callback(self.stores.remove, store)
            yield store

    @property
    def _is_dry(self) -> bool:
        return self.options.dry_run

    def _prepare_catalog(self, catalog: Catalog, candidate: Candidate, lock: Lock) -> None:
        """Bring the catalogue's name, ages and stamp up to date. Blocks."""
        if catalog.returns.meta("name") != candidate.name:
            catalog.returns.set_meta("name", candidate.name)
        catalog.requests.settle_ages()
        if adoption.is_older(catalog, lock):
            spend_quota(catalog, self.settings.limits)
            if not self._is_dry:
                adopted = adoption.adopt_all(catalog)
                log.info("store %s: %d photos were on disk already", catalog.campaign, adopted)
        adoption.stamp(catalog, lock)

    async def _run(self, store: Store, report: StoreReport) -> None:
        """Run the store and fill the report, after an error too."""
        runs = store.own_catalog.runs
        run = await store.own_catalog.do(runs.begin, self.options.command)
        failpoints.point("run-begun")
        is_listed = False
        report.counters = store.counters
        try:
            is_listed = await run_store(store, self.plan)
        except MarketPhotosError as error:
            report.error = error
        await self._take_stock(store, report)
        report.exit_code = verdict(
            {} if self._is_dry else report.tally,
            error=report.error,
            stopped=self.stop.code,
            is_listed=is_listed,
            unreadable=store.counters.unreadable,
            internal_errors=store.counters.internal_errors,
        )
        summary = json.loads(redact(json.dumps(report.as_json())))  # a server's messages may hold anything
        with harmless(f"store {store.campaign}: the end of this run is not on record"):
            await store.own_catalog.do(runs.end, run, report.exit_code, summary)
        failpoints.point("run-ended")

    async def _take_stock(self, store: Store, report: StoreReport) -> None:
        """Fill the report with what the catalogue counts."""
        catalog, plan = store.own_catalog, self.plan
        report.tally = await catalog.do(catalog.photos.tally, plan.only)
        watermark = await catalog.do(catalog.returns.watermark)
        report.watermark = iso(watermark) if watermark is not None else None
        if self._is_dry:
            report.would_fetch = await catalog.do(
                catalog.photos.lacking, store.catalog.path, everything=plan.full, only=plan.only
            )
            return
        now = self.clock.now().best
        for failed in await catalog.do(catalog.photos.failures, SHOWN_FAILURES, plan.only):
            again = next_try(failed.failures, failed.not_before, now)
            report.failures.append(Failure(str(failed.key), failed.reason, again))

    def _hours_at_quota(self, reports: list[StoreReport]) -> float | None:
        """Return the duration of what a dry run found. Stores run side by side: the one with most photos decides."""
        if not self._is_dry:
            return None
        limits = self.settings.limits
        most = max((report.would_fetch or 0 for report in reports), default=0)
        return seconds_at_quota(most, limits.photo_requests, limits) / 3600


def spend_quota(catalog: Catalog, settings: LimitSettings) -> None:
    """Record the whole quota as spent now: what was sent since the catalogue was copied is not known. Blocks."""
    log.warning(
        "store %s: the catalogue is older than the last run: it was put back from a backup, or lost. "
        "Photos that are on disk are not requested, and the quota of a period counts as spent",
        catalog.campaign,
    )
    for method, amount in quotas(settings.photo_requests, settings.return_requests).items():
        catalog.requests.assume(method, [0.0] * amount)


@asynccontextmanager
async def scratch(real: Catalog, clock: Clock) -> AsyncIterator[Catalog]:
    """Open a temporary catalogue for a dry run, with the real one's watermark and finished windows."""
    try:
        folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="market-photos-")
    except OSError as error:
        raise ArchiveUnwritable(
            f"--dry-run: cannot make a temporary folder: {error.strerror}.",
            "Set TMPDIR to a folder that can be written to.",
        ) from error
    async with AsyncExitStack() as opened:
        opened.push_async_callback(asyncio.to_thread, folder.cleanup)
        catalog = await asyncio.to_thread(Catalog, Path(folder.name), real.campaign, clock)
        opened.push_async_callback(asyncio.to_thread, catalog.close)
        watermark, windows = await real.do(lambda: (real.returns.watermark(), real.returns.finished_windows()))
        await catalog.do(_begin_where, catalog, watermark, windows)
        yield catalog


def _begin_where(catalog: Catalog, watermark: int | None, windows: set[tuple[str, str]]) -> None:
    if watermark is not None:
        catalog.returns.move_watermark(watermark)
    for window in windows:
        catalog.returns.finish_window(*window)


def next_try(failures: int, not_before: int, wall: float) -> str:
    """Return when a failed photo is requested again, in words."""
    if failures >= MAX_FAILURES:
        return f"given up after {failures} runs; `sync --full` tries once more"
    return f"next try from {iso(not_before)}" if not_before > wall else "the next run tries again"
