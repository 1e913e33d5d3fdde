"""A worker archives a photo, or records it as failed or gone; a stop knows whether the worker is busy."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.archive.folder import FolderPlace
from market_photos.errors import KeyRefused
from market_photos.market.limits import Admission, Limits
from market_photos.market.quota import Quota
from market_photos.market.refusals import Reaction, Refusal
from market_photos.market.requests import ApiRequest
from market_photos.market.retry import ATTEMPTS, OutageDetector
from market_photos.market.slots import Slots
from market_photos.reporting.report import Counters
from market_photos.sync.download import Worker
from market_photos.sync.ledger import RequestLedger
from market_photos.sync.outcomes import Outcomes
from market_photos.sync.photo_queue import PhotoQueue
from market_photos.sync.refused_photos import RefusedPhotos
from market_photos.sync.stop import Budget, Stop
from tests import virtual
from tests.archives import JPEG
from tests.unit.worlds import CAMPAIGN, ToldClock, a_place, a_return

WHOLE = cast(Any, SimpleNamespace(content=SimpleNamespace(is_eof=lambda: True)))


class World:
    """A worker, a client with prepared answers, and a store's catalogue."""

    def __init__(self, catalog: Catalog, place: FolderPlace) -> None:
        self.answers: list[bytes | Exception] = []
        self.on_request: Callable[[], None] = lambda: None
        self.on_body: Callable[[], None] = lambda: None
        self.asked = 0
        self.catalog = catalog
        self.counters = Counters()
        self.slots = Slots(2, cool_down=0)
        ledger = RequestLedger(catalog, ToldClock(), self.counters)
        limits = Limits(self.slots, {"photo": Quota(100, 3600)}, ledger)
        outage, refused, stop = OutageDetector(), RefusedPhotos(), Stop()
        self.queue = PhotoQueue(
            catalog=catalog,
            place=place,
            ledger=ledger,
            outage=outage,
            refused=refused,
            stop=stop,
            budget=Budget(None),
        )
        self.outcomes = Outcomes(
            catalog=catalog,
            place=place,
            title="7",
            counters=self.counters,
            outage=outage,
            refused=refused,
            stop=stop,
            rng=Random(1),
        )
        self.worker = Worker(
            queue=self.queue,
            outcomes=self.outcomes,
            client=cast(Any, self),
            limits=limits,
            place=place,
        )
        self.queue.listing_ended()

    @asynccontextmanager
    async def photo(self, request: ApiRequest, admission: Admission) -> AsyncIterator[Any]:
        """Serve the next answer, as a client does."""
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else JPEG

        async def serve(_: Any) -> Any:
            self.on_request()
            return WHOLE

        async def chunks() -> AsyncIterator[bytes]:
            self.on_body()
            yield cast(bytes, answer)

        async with admission:
            await admission(cast(Any, None), serve)
            if isinstance(answer, Exception):
                raise answer
            yield SimpleNamespace(content_type="image/jpeg", is_framed=True, chunks=chunks)

    def states(self) -> dict[str, int]:
        return {state: tally.photos for state, tally in self.catalog.photos.tally().items() if tally.photos}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Catalog(tmp_path, CAMPAIGN, ToldClock()) as catalog, a_place(tmp_path) as place:
        catalog.returns.record_page([a_return(1, "a", "b"), a_return(2, "c")])
        yield World(catalog, place)


def test_a_worker_archives_every_photo(world: World, tmp_path: Path) -> None:
    """Whole files, one request each, and no part left."""
    virtual.run(world.worker.run())
    assert world.states() == {"archived": 3}
    assert (world.asked, world.counters.requests, world.counters.downloaded) == (3, 3, 3)
    assert sorted(path.suffix for path in tmp_path.glob("photos/*/*/10-*")) == [".jpg"] * 3
    assert world.slots.taken == 0


@pytest.mark.parametrize(
    ("answers", "states", "asked"),
    [
        ([Refusal(Reaction.RETRY, "HTTP 502")] * 2, {"archived": 3}, 5),
        ([Refusal(Reaction.GIVE_UP, "HTTP 400")], {"archived": 2, "failed": 1}, 3),
        ([Refusal(Reaction.FORGET, "HTTP 404")], {"archived": 2, "gone": 1}, 3),
        ([b"<html>an error page</html>"], {"archived": 2, "failed": 1}, 3),
        ([JPEG, ZeroDivisionError("on purpose")], {"archived": 2, "failed": 1}, 3),
        ([Refusal(Reaction.RETRY, "HTTP 502")] * (3 * ATTEMPTS), {"failed": 3}, 3 * ATTEMPTS),
    ],
)
def test_each_answer_has_its_outcome(
    world: World, answers: list[bytes | Exception], states: dict[str, int], asked: int
) -> None:
    world.answers = list(answers)
    virtual.run(world.worker.run())
    assert (world.states(), world.asked) == (states, asked)


@pytest.mark.parametrize(("answers", "state"), [([JPEG], State.GONE), ([], State.FAILED)])
def test_a_404_of_a_stranger_is_believed_once_another_photo_came(
    world: World, answers: list[bytes | Exception], state: State
) -> None:
    """Without one the URLs may be wrong, and the photos fail."""
    stranger = Refusal(Reaction.FORGET, "HTTP 404", documented=False)
    world.answers = [stranger] * 3 if not answers else [stranger, *answers, *answers]

    async def scenario() -> None:
        await world.worker.run()
        await world.outcomes.resolve_attempts(world.queue.close())

    virtual.run(scenario())
    assert world.states()[state] == (3 if state is State.FAILED else 1)


def test_a_revoked_key_ends_the_worker_and_leaves_its_photo_pending(world: World) -> None:
    world.answers = [Refusal(Reaction.STOP_RUN, "HTTP 401", 401)]
    with pytest.raises(KeyRefused):
        virtual.run(world.worker.run())
    assert world.states() == {"pending": 3}
    claims = [world.catalog.photos.claim() for _ in range(4)]
    assert sum(claim is not None for claim in claims) == 3


def test_a_worker_is_busy_from_the_slot_to_the_record(world: World) -> None:
    """A stop ends workers that wait for a slot at once, and waits for photos on the way to the disk."""
    seen: dict[str, bool] = {}
    world.on_request = lambda: seen.update(requested=world.worker.is_busy)
    world.on_body = lambda: seen.update(receiving=world.worker.is_busy)

    async def scenario() -> None:
        world.slots.hold(2, 50)
        running = asyncio.create_task(world.worker.run())
        await asyncio.sleep(25)
        seen["waits for a slot"] = world.worker.is_busy
        await running
        seen["ended"] = world.worker.is_busy

    virtual.run(scenario())
    assert seen == {"waits for a slot": False, "requested": True, "receiving": True, "ended": False}


def test_a_worker_that_is_cancelled_leaves_no_request_on_record(world: World) -> None:
    """It waits for a slot with a photo that was claimed in advance: the request was never sent."""

    def take_both_slots() -> None:
        world.slots.hold(2, 1000)

    world.on_body = take_both_slots

    async def scenario() -> None:
        running = asyncio.create_task(world.worker.run())
        await asyncio.sleep(100)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        world.queue.close()

    virtual.run(scenario())
    world.catalog.requests.flush()
    assert (world.states(), len(world.catalog.requests.past_requests())) == ({"archived": 1, "pending": 2}, 1)
