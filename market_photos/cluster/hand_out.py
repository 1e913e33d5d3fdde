"""Hand batches of stores out to the processes of an engine, and keep what becomes of each store."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from market_photos import console
from market_photos.cluster.batch import run_batch
from market_photos.cluster.engine import Engine
from market_photos.cluster.job import Job, Result, StopRequest, reports_of
from market_photos.cluster.process import stop_job
from market_photos.errors import (
    ArchiveUnwritable,
    KeyRefused,
    MarketPhotosError,
    ServerUnavailable,
    StoreUnwritable,
    ends_every_store,
)
from market_photos.reporting.report import StoreReport
from market_photos.sync.discovery import Candidate
from market_photos.sync.stop import Stop

log = logging.getLogger(__name__)

#: Seconds between two looks at the processes.
WATCH_SECONDS = 10.0
#: Looks at which the processes of this machine are all missing, until the run ends.
MAX_MISSING = 3
#: Looks between two messages about missing workers: one a minute.
LOOKS_A_MESSAGE = 6
#: Seconds between two messages to the processes that the run ends. A batch that has just begun has missed the first.
STOP_SECONDS = 1.0
#: Seconds after a stop in which a batch may be in no process that answers; then nobody waits for it any longer.
UNHEARD_SECONDS = 10.0
#: Workers that try a store while it ends with such an error: it may be the way of one machine that is cut off.
TRIES: dict[type[object], int] = {ArchiveUnwritable: 5, StoreUnwritable: 2, ServerUnavailable: 2}


class HandOut:
    """Batches of stores at work in the processes of an engine."""

    def __init__(
        self,
        engine: Engine,
        job: Job,
        stop: Stop,
        ended: list[StoreReport],
        take_stock: Callable[[Candidate], StoreReport],
    ) -> None:
        """Add reports to `ended`. `take_stock` makes the report of a store that no process has begun; it blocks."""
        self._engine = engine
        self._job = job
        self._stop = stop
        self._ended = ended
        self._take_stock = take_stock
        self._begun: dict[int, StoreReport] = {}
        """What processes have done for stores that they have left to others."""
        self._tries: Counter[int] = Counter()
        self._failure: MarketPhotosError | None = None
        """Why the run ends early, if its processes are the reason."""
        self.requests = 0
        """Requests that concern no single store."""

    async def __call__(self, batches: list[list[Candidate]]) -> None:
        """Run the batches to their ends."""
        async with asyncio.TaskGroup() as group:
            tasks = {group.create_task(self._run(batch)): batch for batch in batches}
            helpers = [group.create_task(self._pass_on_stop(tasks)), group.create_task(self._watch())]
            await asyncio.wait(tasks)
            for helper in helpers:
                helper.cancel()

    async def _run(self, batch: list[Candidate]) -> None:
        """Run the stores until each has ended, in as many processes as that takes."""
        tried: set[str] = set()
        while batch:
            try:
                result = await self._result_of(batch, tried)
            except asyncio.CancelledError:
                if not self._stop.requested:
                    raise
                result = Result([], 0, frozenset(store.campaign for store in batch))
            batch = await self._keep(result, batch)
            tried.add(result.by)

    async def _result_of(self, batch: list[Candidate], tried: set[str]) -> Result:
        try:
            result: Result = await self._engine.do(run_batch, self._job, batch, avoid=tried)
        except MarketPhotosError as error:
            return Result(reports_of(batch, error), 0)
        except Exception as error:
            log.exception("the batch that begins with %s failed", batch[0].title)
            failure = MarketPhotosError(
                f"Its process failed: {error}.", "Run the same command again. If it stays, keep the log."
            )
            return Result(reports_of(batch, failure), 0)
        return result

    async def _keep(self, result: Result, batch: list[Candidate]) -> list[Candidate]:
        """Keep what became of a batch; return the stores that another process shall go on with.

        A refused key or a full disk stops the whole run.
        """
        self.requests += result.requests
        for failed in (report.error for report in result.reports):
            # On another machine the archive may be in reach.
            if failed and ends_every_store(failed) and (self._engine.is_local or isinstance(failed, KeyRefused)):
                self._stop.request(failed.exit_code, failed.message)
        reports = {report.campaign: report for report in result.reports}
        left = [store for store in batch if self._goes_on(store.campaign, reports, result)]
        if self._stop.requested:
            missing = [store for store in left if store.campaign not in reports]
            reports |= {store.campaign: await asyncio.to_thread(self._stock_of, store) for store in missing}
            left = []
        for campaign, report in reports.items():
            if earlier := self._begun.pop(campaign, None):
                report.go_on_from(earlier)
        self._begun |= {store.campaign: reports.pop(store.campaign) for store in left if store.campaign in reports}
        self._ended += reports.values()
        return left

    def _goes_on(self, campaign: int, reports: dict[int, StoreReport], result: Result) -> bool:
        """Return whether another process shall go on with a store."""
        tries = TRIES.get(type(reports[campaign].error)) if result.by and campaign in reports else None
        if tries is None:
            return campaign in result.left
        self._tries[campaign] += 1
        return self._tries[campaign] < tries

    def _stock_of(self, store: Candidate) -> StoreReport:
        try:
            report = self._take_stock(store)
        except MarketPhotosError as error:
            return reports_of([store], error)[0]
        earlier = self._begun.get(store.campaign, report)
        report.error, report.exit_code = self._failure or earlier.error, self._stop.code
        return report

    async def _pass_on_stop(self, tasks: "dict[asyncio.Task[None], list[Candidate]]") -> None:
        """Stop the batches in their processes. Give those up that are in none which answers, for long or for good."""
        await self._stop.wait()
        now = asyncio.get_running_loop().time
        heard = dict.fromkeys(tasks, now())
        request = StopRequest(self._stop.code, self._stop.reason)
        while True:
            processes = await self._engine.processes()
            answers = await self._engine.ask(processes or [], stop_job, self._job.id, request)
            at_work = {campaign for campaigns in answers.values() for campaign in campaigns}
            for task, batch in tasks.items():
                if any(store.campaign in at_work for store in batch):
                    heard[task] = now()
                elif processes == [] or now() - heard[task] >= UNHEARD_SECONDS:
                    task.cancel()
            await asyncio.sleep(STOP_SECONDS)

    async def _watch(self) -> None:
        """Say what the run waits for, at once and then now and then. Stop it when its own processes have all died.

        The engine starts most of those again, not all.
        """
        missing = 0
        while not self._stop.requested:
            processes = await self._engine.processes()
            missing = 0 if processes else missing + 1
            if self._engine.is_local and missing == MAX_MISSING:
                self._failure = MarketPhotosError(
                    "All processes of this run have died, one after the other.",
                    "The machine may lack memory: try fewer --processes, or fewer stores_at_once in [limits]. The "
                    "next run goes on where this one stopped.",
                )
                self._stop.request(self._failure.exit_code, self._failure.message)
            elif not self._engine.is_local and missing % LOOKS_A_MESSAGE == 1:
                what = "the scheduler does not answer" if processes is None else "no worker is connected"
                console.say(f"{what}; waiting (Ctrl-C ends this)", "warning")
            await asyncio.sleep(WATCH_SECONDS)
