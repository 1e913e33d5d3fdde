"""One run over the stores: find and lock them, run each of them, and report.

async with Client(...): discover → lock → for each store side by side: open → run → take stock
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random

from market_photos import failpoints
from market_photos.archive import layout
from market_photos.archive.catalog import adoption
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.place import Place
from market_photos.archive.places import open_archive
from market_photos.clock import Clock, ServerClock
from market_photos.config import Settings
from market_photos.console import current_store, redact
from market_photos.errors import ArchiveUnwritable, ExitCode, KeyRefused, MarketPhotosError
from market_photos.market.client import Client
from market_photos.reporting.harmless import harmless
from market_photos.reporting.progress import RunProgress, StoreProgress
from market_photos.reporting.report import Counters, Report, StoreReport, verdict
from market_photos.sync.descriptors import stores_that_fit
from market_photos.sync.discovery import Candidate, Discovered, discover, nothing_to_visit
from market_photos.sync.dry_run import scratch
from market_photos.sync.ledger import RequestLedger, restored_limits, spend_quota
from market_photos.sync.plan import Plan
from market_photos.sync.progress import measure, run_progress
from market_photos.sync.shard import WHOLE, Shard
from market_photos.sync.stock import refused_report, require_known, stock_of, take_stock
from market_photos.sync.stop import Budget, Stop
from market_photos.sync.store import Store
from market_photos.sync.store_locks import StoreLocks
from market_photos.sync.store_run import run_store
from market_photos.sync.unvisited import unvisited
from market_photos.sync.urgency import most_urgent_first
from market_photos.threads import in_a_thread

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
        self.planned = 0
        """How many stores it visits."""
        self.ended: list[StoreReport] = []
        """Those that it has visited."""
        self.has_stores = False
        """Whether it has begun to open stores: those end in order."""
        self.stop = Stop()
        self.budget = Budget(options.max_photos)
        self._began = 0.0
        self._archive = open_archive(settings.archive)

    async def __call__(self) -> Report:
        """Return the report. Raises MarketPhotosError for the run as a whole; a store's error is in its report."""
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        key = self.settings.api_key()
        if self.options.max_seconds is not None:
            loop.call_later(self.options.max_seconds, self.stop.request, ExitCode.LIMIT, "--max-duration is over")
        await asyncio.to_thread(self._archive.prepare)
        with ExitStack() as held:
            marker = self.settings.archive.marker
            locks = StoreLocks(self._archive.catalogs, self.options.command, self.clock, held, marker)
            reports, found = await self._visit_stores(key, locks)
        skipped = [(candidate.title, candidate.refused) for candidate in found.skipped]
        return Report(reports, loop.time() - self._began, skipped, self._hours_at_quota(reports), found.requests)

    async def progress(self) -> list[StoreProgress]:
        """Return the progress of the stores at work. Raises CatalogUnusable."""
        # Side by side: each waits for what its catalogue is doing.
        found = await asyncio.gather(*(self._measured(store) for store in self.stores))
        return [progress for progress in found if progress]

    async def _measured(self, store: Store) -> StoreProgress | None:
        """Return the progress of a store; None if its catalogue was closed meanwhile."""
        with suppress(RuntimeError):
            return await measure(store, self.seconds)
        return None

    async def overview(self) -> RunProgress:
        """Return how far the run is, over all its stores. Raises CatalogUnusable."""
        ended = list(self.ended)  # before the others are asked: one that ends meanwhile counts once
        return run_progress(self.seconds, self.planned, ended, await self.progress())

    @property
    def seconds(self) -> float:
        """The seconds since its start."""
        return asyncio.get_running_loop().time() - self._began

    async def _visit_stores(self, key: str, locks: StoreLocks) -> tuple[list[StoreReport], Discovered]:
        """Run the named stores, or every store of the key; return a report for each."""
        shard = self.options.shard
        named = sorted(set(self.options.campaigns or self.settings.campaigns.ids))
        if named and not (named := [campaign for campaign in named if campaign in shard]):
            return [], Discovered([], [])
        claimed = self.claim_stores(locks, named) if named else set()
        if not named and shard == WHOLE:
            locks.take_archive()
        api = self.settings.api
        async with Client(api.base_url, key, self.clock, read_timeout=api.read_timeout_seconds) as client:
            discovered = await self.find_stores(client, named)
            found = discovered.within(shard)
            visited = [candidate.campaign for candidate in found.candidates]
            if not named:
                claimed = self.claim_stores(locks, visited)
            candidates = [candidate for candidate in found.candidates if candidate.campaign in claimed]
            reports = await self.visit_stores(candidates, client, locks)
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
                is_fetched=not self.stop.requested,
            )
            reports += others
            found = found._replace(skipped=skipped)
        if not reports and not discovered.candidates:
            raise nothing_to_visit(found.skipped)
        return sorted(reports, key=lambda report: report.campaign), found

    async def find_stores(self, client: Client, named: list[int]) -> Discovered:
        """Return the named stores, or every store of the key."""
        return await discover(client, named, self.clock, self.rng)

    def claim_stores(self, locks: StoreLocks, campaigns: list[int]) -> set[int]:
        """Claim stores; return those that no other run has. Raises AlreadyRunning if that is none."""
        claimed = locks.claim(campaigns)
        if locks.refused and not claimed:
            raise next(iter(locks.refused.values()))
        return claimed

    async def visit_stores(self, candidates: list[Candidate], client: Client, locks: StoreLocks) -> list[StoreReport]:
        """Visit stores side by side, as many at once as the settings and the system allow."""
        at_once = stores_that_fit(self.settings.limits, len(candidates))
        if at_once < len(candidates):
            candidates = await asyncio.to_thread(most_urgent_first, self._archive, candidates, self.clock)
        return await self.visit_side_by_side(candidates, client, locks, asyncio.Semaphore(at_once))

    async def visit_side_by_side(
        self, candidates: list[Candidate], client: Client, locks: StoreLocks, room: asyncio.Semaphore
    ) -> list[StoreReport]:
        """Visit stores as `room` lets them in, in their order."""
        self.planned = len(candidates)

        async def visit(candidate: Candidate) -> StoreReport:
            async with room:
                self.ended.append(report := await self._visit_store(candidate, client, locks))
                return report

        return await asyncio.gather(*map(visit, candidates))

    async def _visit_store(self, candidate: Candidate, client: Client, locks: StoreLocks) -> StoreReport:
        """Run one store; return its report, also after an error. A refused key or a full disk stops the whole run."""
        current_store.set(candidate.campaign)  # for the log lines of this task and those that it starts
        report = StoreReport(candidate.campaign, candidate.name)
        try:
            folder = layout.store_folder(self._archive.catalogs, candidate.campaign)
            if candidate.refused or not candidate.is_listed:
                await asyncio.to_thread(self._archive.fetch, [candidate.campaign])
            if not candidate.is_listed:
                await asyncio.to_thread(require_known, folder, candidate)
            if candidate.refused:
                report = await asyncio.to_thread(refused_report, folder, candidate, self.clock, self.plan.only)
            elif self.stop.requested:
                report = await asyncio.to_thread(stock_of, folder, candidate, self.clock, self.plan.only)
                report.exit_code = self.stop.code
            else:
                async with self._opened(candidate, client, locks) as store:
                    await self._run(store, report)
        except MarketPhotosError as error:
            report.error, report.exit_code = error, error.exit_code
        except Exception:
            log.exception("store %s: internal error", candidate.campaign)
            report.error = MarketPhotosError(
                "This is a fault of market-photos; its traceback is in the log.",
                "Run the same command again, and keep the log.",
            )
            report.exit_code = ExitCode.INTERNAL
        if isinstance(report.error, KeyRefused | ArchiveUnwritable):
            self.stop.request(report.error.exit_code, report.error.message)
        return report

    @asynccontextmanager
    async def _opened(self, candidate: Candidate, client: Client, locks: StoreLocks) -> AsyncIterator[Store]:
        """Open the store's catalogue, restore its limits, and keep it in `stores` during the block."""
        settings, self.has_stores = self.settings, True
        async with AsyncExitStack() as opened:
            held_folder, lock = await opened.enter_async_context(in_a_thread(locks.opened(candidate.campaign)))
            place = await opened.enter_async_context(
                in_a_thread(self._archive.opened(candidate.campaign, held_folder, lock, self.clock))
            )
            catalog = await asyncio.to_thread(
                Catalog, held_folder.folder, candidate.campaign, self.clock, held_folder=held_folder
            )
            opened.push_async_callback(asyncio.to_thread, catalog.close)
            is_older = await catalog.do(self._prepare_catalog, catalog, candidate, place)
            # The process whose run is not in the catalogue may stand still with requests that it sends when it wakes.
            strays = settings.limits.parallel_requests if is_older else 0
            opened.push_async_callback(catalog.do, self._leave, catalog, place)
            counters = Counters()
            ledger = RequestLedger(catalog, self.clock, counters)
            store = Store(
                campaign=candidate.campaign,
                name=candidate.name,
                place=place,
                catalog=await opened.enter_async_context(scratch(catalog, self.clock)) if self._is_dry else catalog,
                own_catalog=catalog,
                client=client,
                limits=await restored_limits(catalog, settings.limits, self.clock, ledger, self.rng, strays=strays),
                settings=settings,
                clock=self.clock,
                rng=self.rng,
                stop=self.stop,
                budget=self.budget,
                counters=counters,
                started_at=self.clock.now().best,
            )
            self.stores.append(store)
            opened.callback(self.stores.remove, store)
            yield store

    @property
    def _is_dry(self) -> bool:
        return self.options.dry_run

    def _prepare_catalog(self, catalog: Catalog, candidate: Candidate, place: Place) -> bool:
        """Bring the catalogue's name, ages and stamp up to date; return whether it lacked the last run. Blocks."""
        if catalog.returns.meta("name") != candidate.name:
            catalog.returns.set_meta("name", candidate.name)
        catalog.requests.settle_ages()
        if is_older := adoption.is_older(catalog, place):
            spend_quota(catalog, self.settings.limits)
            if not self._is_dry:
                adopted = adoption.adopt_all(catalog, place)
                log.info("store %s: %d photos were there already", catalog.campaign, adopted)
        if not self._is_dry:
            adoption.stamp(catalog, place)
        return is_older

    def _leave(self, catalog: Catalog, place: Place) -> None:
        """Leave the store for the next run. Blocks."""
        if self._is_dry:
            place.leave_stamp(place.stamp)  # the photos that the catalogue lacks are for a real run to find
        else:
            adoption.stamp(catalog, place)
        place.finish(catalog.backup, catalog.urgency())

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
        await take_stock(store, self.plan, report)
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

    def _hours_at_quota(self, reports: list[StoreReport]) -> float | None:
        """Return the duration of what a dry run found. Stores run side by side: the slowest decides."""
        if not self._is_dry:
            return None
        return max((report.would_take for report in reports), default=0.0) / 3600
