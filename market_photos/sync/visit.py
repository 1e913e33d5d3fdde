"""Visit one store: open it, run it, and report."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from market_photos import failpoints
from market_photos.archive import layout
from market_photos.archive.catalog import adoption
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.place import Archive, Place
from market_photos.clock import ServerClock
from market_photos.config import Settings
from market_photos.console import current_store, redact
from market_photos.errors import ExitCode, MarketPhotosError, ends_every_store
from market_photos.market.client import Client
from market_photos.reporting.harmless import harmless
from market_photos.reporting.report import Counters, StoreReport, verdict
from market_photos.sync.discovery import Candidate
from market_photos.sync.dry_run import scratch
from market_photos.sync.ledger import RequestLedger, restored_limits, spend_quota
from market_photos.sync.plan import Plan
from market_photos.sync.stock import refused_report, require_known, stock_of, take_stock
from market_photos.sync.stop import Budget, Stop
from market_photos.sync.store import Store
from market_photos.sync.store_locks import StoreLocks
from market_photos.sync.store_run import run_store
from market_photos.threads import in_a_thread

log = logging.getLogger(__name__)


@dataclass
class Visitor:
    """Visits the stores of a run, each for itself."""

    archive: Archive
    settings: Settings
    plan: Plan
    command: str
    """The command line, for the record of runs."""
    is_dry: bool
    clock: ServerClock
    rng: Random
    stop: Stop
    budget: Budget
    at_work: list[Store] = field(default_factory=list)
    """The stores that are open now."""
    has_begun: bool = False
    """Whether stores have been opened: those end in order."""

    async def visit(self, candidate: Candidate, client: Client, locks: StoreLocks) -> StoreReport:
        """Run one store; return its report, also after an error. A refused key or a full disk stops the whole run."""
        current_store.set(candidate.campaign)  # for the log lines of this task and those that it starts
        report = StoreReport(candidate.campaign, candidate.name)
        try:
            folder = layout.store_folder(self.archive.catalogs, candidate.campaign)
            if candidate.refused or not candidate.is_listed:
                await asyncio.to_thread(self.archive.fetch, [candidate.campaign])
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
        if report.error and ends_every_store(report.error):
            self.stop.request(report.error.exit_code, report.error.message)
        return report

    @asynccontextmanager
    async def _opened(self, candidate: Candidate, client: Client, locks: StoreLocks) -> AsyncIterator[Store]:
        """Open the store's catalogue, restore its limits, and keep it in `at_work` during the block."""
        settings, self.has_begun = self.settings, True
        async with AsyncExitStack() as opened:
            held_folder, lock = await opened.enter_async_context(in_a_thread(locks.opened(candidate.campaign)))
            place = await opened.enter_async_context(
                in_a_thread(self.archive.opened(candidate.campaign, held_folder, lock, self.clock))
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
                catalog=await opened.enter_async_context(scratch(catalog, self.clock)) if self.is_dry else catalog,
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
            self.at_work.append(store)
            opened.callback(self.at_work.remove, store)
            yield store

    def _prepare_catalog(self, catalog: Catalog, candidate: Candidate, place: Place) -> bool:
        """Bring the catalogue's name, ages and stamp up to date; return whether it lacked the last run. Blocks."""
        if catalog.returns.meta("name") != candidate.name:
            catalog.returns.set_meta("name", candidate.name)
        catalog.requests.settle_ages()
        if is_older := adoption.is_older(catalog, place):
            spend_quota(catalog, self.settings.limits, place.stamp)
            if not self.is_dry:
                adopted = adoption.adopt_all(catalog, place)
                log.info("store %s: %d photos were there already", catalog.campaign, adopted)
        if not self.is_dry:
            adoption.stamp(catalog, place)
        return is_older

    def _leave(self, catalog: Catalog, place: Place) -> None:
        """Leave the store for the next run. Blocks."""
        if self.is_dry:
            place.leave_stamp(place.stamp)  # the photos that the catalogue lacks are for a real run to find
        else:
            adoption.stamp(catalog, place)
        place.finish(catalog.backup, catalog.urgency())

    async def _run(self, store: Store, report: StoreReport) -> None:
        """Run the store and fill the report, after an error too."""
        runs = store.own_catalog.runs
        run = await store.own_catalog.do(runs.begin, self.command)
        failpoints.point("run-begun")
        is_listed = False
        report.counters = store.counters
        try:
            is_listed = await run_store(store, self.plan)
        except MarketPhotosError as error:
            report.error = error
        await take_stock(store, self.plan, report)
        report.exit_code = verdict(
            {} if self.is_dry else report.tally,
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
