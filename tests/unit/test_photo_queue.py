"""The queue hands out new photos and due attempts, waits for the listing, and keeps no claim after its end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import Claim, State
from market_photos.archive.folder import FolderPlace
from market_photos.archive.layout import photo_path
from market_photos.errors import ExitCode
from market_photos.market.refusals import Reaction, Refusal
from market_photos.market.retry import OutageDetector
from market_photos.model import PhotoKey
from market_photos.reporting.report import Counters
from market_photos.sync.ledger import RequestLedger
from market_photos.sync.photo_queue import MAX_DEFERRED, Attempt, PhotoQueue
from market_photos.sync.refused_photos import RefusedPhotos
from market_photos.sync.stop import Budget, Stop
from tests import virtual
from tests.archives import JPEG
from tests.unit.worlds import CAMPAIGN, STORED, ToldClock, a_place, a_return


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path, CAMPAIGN, ToldClock()) as catalog:
        yield catalog


class World:
    """A queue and its parts."""

    def __init__(self, catalog: Catalog, place: FolderPlace, photos: int | None = None) -> None:
        self.catalog = catalog
        self.outage = OutageDetector()
        self.stop = Stop()
        self.queue = PhotoQueue(
            catalog=catalog,
            place=place,
            ledger=RequestLedger(catalog, ToldClock(), Counters()),
            outage=self.outage,
            refused=RefusedPhotos(),
            stop=self.stop,
            budget=Budget(photos),
        )

    async def next_hash(self) -> str | None:
        attempt = await self.queue.next()
        return attempt.claim.key.image_hash if attempt else None


def in_world(catalog: Catalog, scenario: Callable[[World], Awaitable[None]], photos: int | None = None) -> None:
    async def run() -> None:
        with a_place(catalog.path.parent) as place:
            await scenario(World(catalog, place, photos))

    virtual.run(run())


def an_attempt(row: int) -> Attempt:
    return Attempt(Claim(row, row, PhotoKey(CAMPAIGN, 1, 1, row, "a"), "2026-01"))


def test_the_attempt_that_is_due_first_is_taken_first(catalog: Catalog) -> None:
    async def scenario(world: World) -> None:
        attempts = [an_attempt(row) for row in (3, 1, 2)]
        for attempt in attempts:
            assert world.queue.defer(attempt, float(attempt.claim.row))
        world.queue.listing_ended()
        began = asyncio.get_running_loop().time()
        for expected in (attempts[1], attempts[2]):
            assert await world.queue.next() is expected
            assert asyncio.get_running_loop().time() - began == pytest.approx(expected.claim.row, abs=0.01)
        assert world.queue.close() == [attempts[0]]
        assert world.queue.close() == []

    in_world(catalog, scenario)


def test_no_more_than_a_hundred_photos_wait_for_their_next_attempt(catalog: Catalog) -> None:
    """Beyond that, and without a pause, a worker keeps its photo."""

    async def scenario(world: World) -> None:
        assert not world.queue.defer(an_attempt(0), 0)
        for row in range(MAX_DEFERRED):
            assert world.queue.defer(an_attempt(row), 1)
        assert not world.queue.defer(an_attempt(MAX_DEFERRED), 1)

    in_world(catalog, scenario)


def test_a_worker_waits_for_the_listing_until_it_ends(catalog: Catalog) -> None:
    async def scenario(world: World) -> None:
        waiting = asyncio.create_task(world.next_hash())
        await asyncio.sleep(100)
        assert not waiting.done()
        await catalog.do(catalog.returns.record_page, [a_return(1, "a")])
        world.queue.notify()
        assert await waiting == "a"
        waiting = asyncio.create_task(world.next_hash())
        await asyncio.sleep(100)
        world.queue.listing_ended()
        assert await waiting is None

    in_world(catalog, scenario)


def test_a_photo_that_failed_in_an_earlier_run_waits_for_the_end_of_the_listing(catalog: Catalog) -> None:
    catalog.returns.record_page([a_return(1, "failed")])
    claim = catalog.photos.claim()
    assert claim
    catalog.photos.record_failed(claim, "HTTP 502")
    catalog.photos.requeue()

    async def scenario(world: World) -> None:
        waiting = asyncio.create_task(world.next_hash())
        await asyncio.sleep(100)
        assert not waiting.done()
        world.queue.listing_ended()
        assert await waiting == "failed"

    in_world(catalog, scenario)


def test_while_photos_fail_a_new_one_goes_before_a_due_attempt(catalog: Catalog) -> None:
    catalog.returns.record_page([a_return(1, "new")])

    async def scenario(world: World) -> None:
        world.queue.listing_ended()
        deferred = an_attempt(99)
        world.queue.defer(deferred, 1)
        world.outage.failed(Refusal(Reaction.RETRY, "HTTP 502"), 0.0)
        await asyncio.sleep(2)
        assert await world.next_hash() == "new"
        assert await world.queue.next() is deferred

    in_world(catalog, scenario)


def test_a_photo_that_is_on_disk_is_archived_and_not_handed_out(catalog: Catalog) -> None:
    catalog.returns.record_page([a_return(1, "on-disk", created_at=2), a_return(2, "missing", created_at=1)])
    path = catalog.path.parent / photo_path("2026-01", PhotoKey(CAMPAIGN, 1, 1, 10, "on-disk"), ".jpg")
    path.parent.mkdir(parents=True)
    path.write_bytes(JPEG)

    async def scenario(world: World) -> None:
        assert await world.next_hash() == "missing"

    in_world(catalog, scenario)
    assert catalog.photos.tally()[State.ARCHIVED].photos == 1


def test_a_photo_claimed_in_advance_comes_next_and_is_released_at_the_end(catalog: Catalog) -> None:
    """Its request leaves the record, so that it does not count against the quota."""
    catalog.returns.record_page([a_return(1, "a", "b")])
    first = catalog.photos.claim()
    assert first
    following = catalog.store_and_claim_next(first, STORED)
    assert following

    async def scenario(world: World) -> None:
        world.queue.add_claimed(following)
        attempt = await world.queue.next()
        assert attempt
        assert attempt.recorded
        assert (attempt.claim, attempt.recorded.request_id) == (following, following.request)
        world.queue.add_claimed(following)
        world.queue.close()

    in_world(catalog, scenario)
    catalog.requests.flush()
    assert catalog.requests.past_requests() == []
    again = catalog.photos.claim()
    assert again
    assert again.row == following.row


def test_a_spent_budget_and_a_stop_end_the_queue(catalog: Catalog) -> None:
    """The photo stays pending and unclaimed."""
    catalog.returns.record_page([a_return(1, "a", "b")])

    async def scenario(world: World) -> None:
        assert [await world.next_hash() for _ in range(2)] == ["a", None]
        world.stop.request(ExitCode.INTERRUPTED, "a signal")
        assert await world.queue.next() is None

    in_world(catalog, scenario, photos=1)
    left = catalog.photos.claim()
    assert left
    assert left.key.image_hash == "b"
