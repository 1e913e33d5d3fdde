"""One run over the stores: find and lock them, visit them side by side, and report.

async with Client(...): discover → lock → for each store: visit (open → run → take stock)
"""

import asyncio
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from random import Random

from market_photos.archive.places import open_archive
from market_photos.clock import Clock, ServerClock
from market_photos.config import Settings
from market_photos.errors import ExitCode
from market_photos.market.client import Client
from market_photos.reporting.progress import RunProgress, StoreProgress
from market_photos.reporting.report import Report, StoreReport
from market_photos.sync.descriptors import stores_that_fit
from market_photos.sync.discovery import Candidate, Discovered, discover, nothing_to_visit
from market_photos.sync.plan import Plan
from market_photos.sync.progress import measure, run_progress
from market_photos.sync.shard import WHOLE, Shard
from market_photos.sync.stop import Budget, Stop
from market_photos.sync.store import Store
from market_photos.sync.store_locks import StoreLocks
from market_photos.sync.unvisited import unvisited
from market_photos.sync.urgency import most_urgent_first
from market_photos.sync.visit import Visitor
from market_photos.threads import abandonable


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
    """One run. `visitor` knows the stores at work, for the progress display; `stop` ends the run early."""

    def __init__(
        self,
        settings: Settings,
        plan: Plan,
        options: Options,
        clock: Clock,
        rng: Random,
        *,
        stop: Stop | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.settings = settings
        self.plan = plan
        self.options = options
        self.clock = ServerClock.of(clock)
        self.rng = rng
        self.planned = 0
        """How many stores it visits."""
        self.ended: list[StoreReport] = []
        """Those that it has visited."""
        self.stop = stop or Stop()
        self._began = 0.0
        self._archive = open_archive(settings.archive)
        self.visitor = Visitor(
            archive=self._archive,
            settings=settings,
            plan=plan,
            command=options.command,
            is_dry=options.dry_run,
            clock=self.clock,
            rng=rng,
            stop=self.stop,
            budget=budget or Budget(options.max_photos),
        )

    async def __call__(self) -> Report:
        """Return the report. Raises MarketPhotosError for the run as a whole; a store's error is in its report."""
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        key = self.settings.api_key()
        if self.options.max_seconds is not None:
            loop.call_later(self.options.max_seconds, self.stop.request, ExitCode.LIMIT, "--max-duration is over")
        await abandonable(self._archive.prepare)
        with ExitStack() as held:
            marker = self.settings.archive.marker
            locks = StoreLocks(self._archive.catalogs, self.options.command, self.clock, held, marker)
            reports, found = await self._visit_stores(key, locks)
        skipped = [(candidate.title, candidate.refused) for candidate in found.skipped]
        return Report(reports, loop.time() - self._began, skipped, self._hours_at_quota(reports), found.requests)

    async def progress(self) -> list[StoreProgress]:
        """Return the progress of the stores at work. Raises CatalogUnusable."""
        # Side by side: each waits for what its catalogue is doing.
        found = await asyncio.gather(*(self._measured(store) for store in self.visitor.at_work))
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
        reports += [
            StoreReport(store, exit_code=error.exit_code, error=error) for store, error in locks.refused.items()
        ]
        if not named:
            others, skipped = await self._unvisited(set(visited), found)
            reports += others
            found = found._replace(skipped=skipped)
        if not reports and not discovered.candidates:
            raise nothing_to_visit(found.skipped)
        return sorted(reports, key=lambda report: report.campaign), found

    async def _unvisited(self, visited: set[int], found: Discovered) -> tuple[list[StoreReport], list[Candidate]]:
        """Return reports of the archive's other stores, and the skipped stores that are not among them."""
        return await asyncio.to_thread(
            unvisited,
            self._archive,
            visited,
            found.skipped,
            self.clock,
            only=self.plan.only,
            shard=self.options.shard,
            is_fetched=not self.stop.requested,
        )

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
            candidates = await abandonable(partial(most_urgent_first, self._archive, candidates, self.clock))
        return await self.visit_side_by_side(candidates, client, locks, asyncio.Semaphore(at_once))

    async def visit_side_by_side(
        self, candidates: list[Candidate], client: Client, locks: StoreLocks, room: asyncio.Semaphore
    ) -> list[StoreReport]:
        """Visit stores as `room` lets them in, in their order."""
        self.planned = len(candidates)

        async def visit(candidate: Candidate) -> StoreReport:
            async with room:
                self.ended.append(report := await self.visitor.visit(candidate, client, locks))
                return report

        return await asyncio.gather(*map(visit, candidates))

    def _hours_at_quota(self, reports: list[StoreReport]) -> float | None:
        """Return the duration of what a dry run found. Stores run side by side: the slowest decides."""
        if not self.options.dry_run:
            return None
        return max((report.would_take for report in reports), default=0.0) / 3600
