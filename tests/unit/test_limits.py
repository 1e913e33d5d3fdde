"""A request passes quota, slots and ledger in order, and a cancel at any step loses nothing."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from market_photos.archive.catalog.requests import PastRequest
from market_photos.clock import Moment
from market_photos.market.limits import Limits, still_served
from market_photos.market.quota import TRANSIT, Quota, token_ages
from market_photos.market.slots import Slots
from tests import virtual

HOUR = 3600.0
REQUEST = cast(Any, None)


def now() -> float:
    return asyncio.get_running_loop().time()


def response(*, whole: bool = True, broken: BaseException | None = None) -> Any:
    return SimpleNamespace(content=SimpleNamespace(is_eof=lambda: whole, exception=lambda: broken))


class World:
    """A store's limits, a server that answers after `latency`, and the log of what happened."""

    def __init__(self, *, photos: int = 100, slots: int = 3, latency: float = 1, disk: float = 0) -> None:
        self.log: list[str] = []
        self.latency = latency
        self.disk = disk
        self.disk_full = False
        self.photos = Quota(photos, HOUR)
        self.listing = Quota(100, HOUR)
        self.slots = Slots(slots, cool_down=10)
        self.limits = Limits(self.slots, {"photo": self.photos, "returns": self.listing}, self)

    async def sent(self, method: str, photo: int | None) -> int:
        await asyncio.sleep(self.disk)
        if self.disk_full:
            raise OSError("no space left")
        self.log.append(f"recorded {method}")
        return 7

    def answered(self, request_id: int) -> None:
        self.log.append(f"answered {request_id}")

    def withdrawn(self, request_id: int) -> None:
        self.answered(request_id)

    async def serve(self, _: Any) -> Any:
        self.log.append("sent")
        await asyncio.sleep(self.latency)
        return response()

    async def get(self, method: str = "photo", body: float = 0) -> float:
        """When the answer began."""
        async with self.limits.admission(method) as admission:
            await admission(REQUEST, self.serve)
            begin = now()
            await asyncio.sleep(body)
        return begin


def test_a_request_is_on_disk_before_it_leaves() -> None:
    async def scenario() -> None:
        world = World()
        await world.get()
        assert world.log == ["recorded photo", "sent", "answered 7"]

    virtual.run(scenario())


def test_the_slot_is_held_until_the_body_is_read_and_the_period_starts_with_the_answer() -> None:
    async def scenario() -> None:
        world = World(photos=1, slots=1, latency=5)
        photo = asyncio.create_task(world.get(body=50))
        await asyncio.sleep(1)
        assert await world.get("returns") == pytest.approx(60, abs=0.01)
        await photo
        assert await world.get() == pytest.approx(5 + HOUR * 1.001 + 5, abs=0.01)

    virtual.run(scenario())


def test_a_photo_that_waits_for_quota_keeps_no_slot_from_the_listing() -> None:
    async def scenario() -> None:
        world = World(photos=1, slots=1)
        await world.get()
        waiting = [asyncio.create_task(world.get()) for _ in range(5)]
        await asyncio.sleep(10)
        assert await world.get("returns") == pytest.approx(12, abs=0.01)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)

    virtual.run(scenario())


@pytest.mark.parametrize(("disk", "moment"), [(0, 0.5), (2, 1), (2, 2.5)])
def test_a_gate_that_closes_during_a_wait_lets_no_request_through(disk: float, moment: float) -> None:
    """Requests that wait for a slot or the disk when the 420 comes are not sent, and keep no slot."""

    async def scenario() -> None:
        world = World(slots=2, latency=1, disk=disk)
        waiting = [asyncio.create_task(world.get()) for _ in range(8)]
        await asyncio.sleep(moment)
        async with world.limits.admission("photo") as refused:
            refused.quota_refused(600)
        sent = world.log.count("sent")
        await asyncio.sleep(300)
        assert world.log.count("sent") == sent
        assert world.slots.taken == 0
        recorded = world.log.count("recorded photo")
        assert recorded == world.log.count("answered 7")
        assert recorded == sent or disk
        assert await world.get("returns") < 320
        await asyncio.gather(*waiting)
        assert world.log.count("sent") == 9
        assert now() >= 600

    virtual.run(scenario())


def test_a_hop_or_hidden_retry_pays_its_own_token_and_needs_no_second_slot() -> None:
    async def scenario() -> None:
        world = World(slots=1)
        async with world.limits.admission("photo") as admission:
            await admission(REQUEST, world.serve)
            await admission(REQUEST, world.serve)
            assert world.slots.taken == 1
        assert world.slots.taken == 0
        assert world.photos.left == 98

    virtual.run(scenario())


def test_a_hop_that_waits_for_quota_keeps_no_slot() -> None:
    async def scenario() -> None:
        world = World(photos=1, slots=1)

        async def redirected() -> None:
            async with world.limits.admission("photo") as admission:
                await admission(REQUEST, world.serve)
                await admission(REQUEST, world.serve)

        hopping = asyncio.create_task(redirected())
        await asyncio.sleep(10)
        assert await world.get("returns") == pytest.approx(11, abs=0.01)
        await hopping

    virtual.run(scenario())


def test_headers_and_refusals_reach_the_limits_of_this_request() -> None:
    async def scenario() -> None:
        world = World()
        async with world.limits.admission("photo") as admission:
            await admission(REQUEST, world.serve)
            admission.observe_headers(5, 60)
            assert (world.photos.left, world.listing.left) == (5, 100)
            admission.parallel_limit_hit()
            assert world.slots.allowed == 2
            admission.quota_refused(60)
            assert (world.photos.left, world.listing.left) == (0, 100)

    virtual.run(scenario())


def test_a_disk_that_fails_costs_neither_slot_nor_token() -> None:
    async def scenario() -> None:
        world = World()
        world.disk_full = True
        with pytest.raises(OSError, match="no space"):
            await world.get()
        assert (world.log, world.slots.taken, world.photos.left) == ([], 0, 100)

    virtual.run(scenario())


@pytest.mark.parametrize("steps", range(40))
def test_a_cancel_at_any_step_loses_nothing(steps: int) -> None:
    """Three requests share one slot; the second is cancelled after `steps` steps of the loop."""

    async def scenario() -> None:
        world = World(slots=1, latency=0, disk=0)
        tasks = [asyncio.create_task(world.get()) for _ in range(3)]
        for _ in range(steps):
            await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        await asyncio.sleep(10)
        assert world.slots.taken == 0
        assert world.photos.left == 100 - world.log.count("sent")
        assert world.log.count("sent") >= 2
        assert world.log.count("answered 7") >= world.log.count("sent")
        assert not tasks[0].cancelled()
        assert not tasks[2].cancelled()

    virtual.run(scenario())


CLOSED = aiohttp.ClientConnectionError("Connection closed")


@pytest.mark.parametrize(
    ("answer", "failure", "late"),
    [
        (None, None, False),  # it never left
        (None, aiohttp.ClientOSError("reset"), False),
        (None, aiohttp.ServerDisconnectedError(), False),
        (None, aiohttp.ConnectionTimeoutError(), False),  # no connection, no request
        (None, aiohttp.SocketTimeoutError(), True),
        (None, TimeoutError(), True),
        (None, asyncio.CancelledError(), True),
        (response(), None, False),
        (response(broken=CLOSED), None, False),  # aiohttp marks every body on release
        (response(whole=False, broken=CLOSED), None, True),  # the client left before its end
        (response(whole=False), None, True),
        (response(whole=False, broken=aiohttp.SocketTimeoutError()), None, True),
        (response(whole=False, broken=aiohttp.ClientPayloadError()), None, False),  # the server cut it
        (response(whole=False, broken=aiohttp.ClientOSError("reset")), None, False),
    ],
)
def test_a_slot_cools_down_if_we_hung_up_first(answer: Any, failure: BaseException | None, late: bool) -> None:
    assert still_served(answer, failure) is late


def test_a_slot_cools_down_after_a_cancel() -> None:
    async def scenario() -> None:
        world = World(slots=1, latency=100)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await world.get()
        world.latency = 0
        assert await world.get() == pytest.approx(15, abs=0.01)

    virtual.run(scenario())


def at(uptime: float) -> Moment:
    return Moment(1e9 + uptime, "boot", uptime)


@pytest.mark.parametrize(
    ("request_", "restored"),
    [
        (PastRequest("photo", at(100), at(130)), [870]),  # from the answer, not from the sending
        (PastRequest("photo", at(100), None), [0]),  # the time of arrival is unknown
        (PastRequest("photo", at(1001 - HOUR - TRANSIT), None), [0]),
        (PastRequest("photo", at(999 - HOUR - TRANSIT), None), []),  # if it ever arrived, then over an hour ago
        (PastRequest("photo", at(100), Moment(5e9, "boot", 130)), [870]),  # the wall clock was set
        (PastRequest("photo", at(100), Moment(5e9, "other", 130)), [0]),
        (PastRequest("photo", at(100), at(2000)), [0]),
    ],
)
def test_a_past_request_is_restored_with_its_age(request_: PastRequest, restored: list[float]) -> None:
    assert token_ages([request_], at(1000), HOUR) == restored
