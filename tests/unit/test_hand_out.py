"""How a run hands batches out, on a virtual clock, with an engine whose processes answer as the test says."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

import pytest

from market_photos.cluster.engine import Engine
from market_photos.cluster.hand_out import TRIES, HandOut
from market_photos.cluster.job import Job, LogOptions, Result
from market_photos.errors import ArchiveUnwritable, ExitCode, MarketPhotosError, ServerUnavailable, StoreUnwritable
from market_photos.reporting.report import Counters, StoreReport
from market_photos.sync.discovery import Candidate
from market_photos.sync.plan import Nightly
from market_photos.sync.run import Options
from market_photos.sync.stop import Stop
from tests import virtual

STORES = [Candidate(101), Candidate(102)]


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual clock does not wait for threads, not even at the end of its loop."""

    async def at_once(function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    monkeypatch.setattr(asyncio, "to_thread", at_once)


class FakeEngine(Engine):
    """`work` does the batches, `at_work` holds the stores that each process says it has after a stop."""

    def __init__(self, work: Callable[..., Coroutine[Any, Any, Result]], *, is_local: bool = False) -> None:
        super().__init__(None, is_local=is_local)
        self._work = work
        self.at_work: dict[str, list[int]] | None = {"worker": []}
        self.avoided: list[set[str]] = []

    async def processes(self) -> list[str] | None:
        return None if self.at_work is None else list(self.at_work)

    async def ask(self, processes: list[str], question: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        return {process: (self.at_work or {})[process] for process in processes}

    async def do(self, task: Callable[..., Any], *arguments: Any, avoid: Collection[str] = ()) -> Result:
        self.avoided.append(set(avoid))
        _, batch = arguments
        return await self._work(batch)


async def forever(batch: list[Candidate]) -> Result:
    await asyncio.Event().wait()
    raise AssertionError


def ends_with(*results: Result) -> Callable[[list[Candidate]], Coroutine[Any, Any, Result]]:
    """Work whose results come one after the other."""
    left = list(results)

    async def work(batch: list[Candidate]) -> Result:
        await asyncio.sleep(1)
        return left.pop(0) if len(left) > 1 else left[0]

    return work


def take_stock(store: Candidate) -> StoreReport:
    return StoreReport(store.campaign, "not begun")


class Scene:
    """A hand-out of one batch of two stores."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.stop = Stop()
        self.ended: list[StoreReport] = []
        job = Job.new(Path("config.toml"), Nightly(), Options("sync"), LogOptions())
        self.hand_out = HandOut(
            self.engine, job, self.stop, self.ended, lambda store: StoreReport(store.campaign, "not begun")
        )

    async def run(self) -> float:
        """Return the seconds that it took."""
        await self.hand_out([STORES])
        return asyncio.get_running_loop().time()

    async def stopped_after(self, seconds: float) -> float:
        """Return the seconds from a stop to the end."""
        asyncio.get_running_loop().call_later(seconds, self.stop.request, ExitCode.INTERRUPTED, "Ctrl-C")
        return await self.run() - seconds


@pytest.mark.parametrize(
    ("at_work", "seconds"),
    [({}, 0), ({"worker": []}, 10), (None, 10)],
    ids=["no process is there", "none has it", "the scheduler is silent"],
)
def test_after_a_stop_nobody_waits_for_a_batch_that_no_process_has(
    at_work: dict[str, list[int]] | None, seconds: float
) -> None:
    scene = Scene(FakeEngine(forever))
    scene.engine.at_work = at_work
    assert virtual.run(scene.stopped_after(5)) == pytest.approx(seconds, abs=1)
    found = [(report.campaign, report.name, report.exit_code) for report in scene.ended]
    assert found == [(101, "not begun", ExitCode.INTERRUPTED), (102, "not begun", ExitCode.INTERRUPTED)]


def test_after_a_stop_a_batch_is_waited_for_as_long_as_a_process_has_it() -> None:
    scene = Scene(FakeEngine(forever))
    at_work = [102]
    scene.engine.at_work = {"worker": at_work}

    async def scenario() -> float:
        asyncio.get_running_loop().call_later(300, at_work.clear)
        return await scene.stopped_after(5)

    assert virtual.run(scenario()) == pytest.approx(305, abs=2)


def test_what_a_process_leaves_goes_to_another_and_its_parts_are_added_up() -> None:
    ended = StoreReport(101, counters=Counters(requests=5))
    begun = StoreReport(102, counters=Counters(requests=3, returns=9))
    rest = StoreReport(102, counters=Counters(requests=4, returns=2))
    engine = FakeEngine(
        ends_with(Result([ended, begun], 2, frozenset([102]), "worker-1"), Result([rest], 1, frozenset(), "worker-2"))
    )
    scene = Scene(engine)
    virtual.run(scene.run())
    assert [(report.campaign, report.counters.requests) for report in scene.ended] == [(101, 5), (102, 7)]
    assert (scene.ended[1].counters.returns, scene.hand_out.requests) == (9, 3)
    assert engine.avoided == [set(), {"worker-1"}]


@pytest.mark.parametrize("error", [ArchiveUnwritable("no"), StoreUnwritable("no"), ServerUnavailable("no")])
def test_a_store_that_fails_on_one_machine_after_the_other_ends_with_its_error(error: MarketPhotosError) -> None:
    reports = [StoreReport(store.campaign, exit_code=error.exit_code, error=error) for store in STORES]
    engine = FakeEngine(ends_with(Result(reports, 0, frozenset([101, 102]), "worker-1")))
    scene = Scene(engine)
    virtual.run(scene.run())
    assert len(engine.avoided) == TRIES[type(error)]
    assert [report.error for report in scene.ended] == [error, error]


def test_the_error_of_a_store_that_no_other_machine_goes_on_with_is_told() -> None:
    """The only worker has left because of it, and the run is stopped while it waits for another one."""
    error = ArchiveUnwritable("no")
    first = Result([StoreReport(101, exit_code=error.exit_code, error=error)], 0, frozenset([101, 102]), "worker-1")
    results = [first]

    async def work(batch: list[Candidate]) -> Result:
        return results.pop() if results else await forever(batch)

    scene = Scene(FakeEngine(work))
    scene.engine.at_work = {}
    virtual.run(scene.stopped_after(30))
    assert [(report.error, report.exit_code) for report in scene.ended] == [
        (error, ExitCode.INTERRUPTED),
        (None, ExitCode.INTERRUPTED),
    ]


@pytest.mark.parametrize(
    ("at_work", "told"), [({}, "no worker is connected"), (None, "the scheduler does not answer")]
)
def test_a_run_that_waits_says_so_once_a_minute(
    at_work: dict[str, list[int]] | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(FakeEngine(forever))
    scene.engine.at_work = at_work
    virtual.run(scene.stopped_after(299))
    assert capsys.readouterr().err == f"{told}; waiting (Ctrl-C ends this)\n" * 5


def test_a_run_whose_own_processes_have_died_ends_with_the_reason() -> None:
    scene = Scene(FakeEngine(forever, is_local=True))
    scene.engine.at_work = {}
    assert virtual.run(scene.run()) == pytest.approx(20, abs=1)
    assert {report.exit_code for report in scene.ended} == {ExitCode.INTERNAL}
    assert all("have died" in str(report.error) for report in scene.ended)
