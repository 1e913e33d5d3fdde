"""When a slot is free again after a real request: at once where the server is through, later where we hung up."""

import asyncio
from random import Random

import pytest

from market_photos.clock import SystemClock
from market_photos.market.client import Client
from market_photos.market.limits import Limits
from market_photos.market.quota import Quota
from market_photos.market.refusals import Refusal
from market_photos.market.requests import photo_request
from market_photos.market.slots import Slots
from market_photos.model import PhotoKey
from market_photos.sandbox import Market, Sandbox, actions
from market_photos.sandbox.faults import Action
from market_photos.sync.discovery import Unrecorded

HELD, FREE = 1, 0


async def taken_after(action: Action | None, *, read: bool = True) -> int:
    """Slots that are taken after one request for a photo, answered so."""
    market = Market(seed=1)
    back = market.add_store(101).add_return(photos=1, size=300_000)
    (photo,) = market.stores[101].photos(back)
    slots = Slots(3, cool_down=60)
    limits = Limits(slots, {"photo": Quota(100, 3600)}, Unrecorded())
    key = PhotoKey(photo.campaign, photo.order, photo.return_id, photo.item, photo.image_hash)
    async with Sandbox(market) as sandbox, Client(sandbox.url, market.key, SystemClock(), read_timeout=0.3) as client:
        if action:
            sandbox.faults.add(action)
        try:
            async with client.photo(photo_request(key), limits.admission("photo")) as found:
                async for _ in found.chunks():
                    if not read:
                        break
        except Refusal:
            pass
        return slots.taken


@pytest.mark.parametrize(
    ("action", "taken"),
    [
        pytest.param(None, FREE, id="well"),
        pytest.param(actions.no_length(), FREE, id="no length"),
        pytest.param(actions.chunked(), FREE, id="chunked"),
        pytest.param(actions.status(503), FREE, id="503"),
        pytest.param(actions.status(503, body=b"<html>" * 60_000), FREE, id="503 with 360 KB"),
        pytest.param(actions.redirect("ftp://elsewhere"), FREE, id="redirect that is not followed"),
        pytest.param(actions.cut(), FREE, id="closed at the header"),
        pytest.param(actions.reset(), FREE, id="reset at the header"),
        pytest.param(actions.cut(1000), FREE, id="cut"),
        pytest.param(actions.reset(1000), FREE, id="reset"),
        pytest.param(actions.cut_chunked(1000), FREE, id="cut, chunked"),
        pytest.param(actions.hang(), HELD, id="hang"),
        pytest.param(actions.hang(1000), HELD, id="hang in the body"),
        pytest.param(actions.padded_to(60 * 1024 * 1024), HELD, id="too large"),
    ],
)
async def test_a_slot_is_free_after_an_answer(action: Action | None, taken: int) -> None:
    assert await taken_after(action) == taken


async def test_a_slot_cools_down_after_we_stopped_reading() -> None:
    assert await taken_after(None, read=False) == HELD


async def test_a_slot_cools_down_after_a_cancel() -> None:
    """The request stays with the server, which counts it until it notices."""
    slots = Slots(3, cool_down=60, rng=Random(1))
    limits = Limits(slots, {"photo": Quota(100, 3600)}, Unrecorded())
    market = Market(seed=1)
    async with (
        Sandbox(market, latency=30) as sandbox,
        Client(sandbox.url, market.key, SystemClock(), read_timeout=60) as client,
    ):
        asking = asyncio.create_task(
            client.read(photo_request(PhotoKey(101, 1, 2, 3, "a")), limits.admission("photo"))
        )
        while not sandbox.log.count("photo"):  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.005)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert slots.taken == HELD


async def test_a_refused_connection_holds_no_slot() -> None:
    slots = Slots(3, cool_down=60)
    limits = Limits(slots, {"photo": Quota(100, 3600)}, Unrecorded())
    async with Client("http://127.0.0.1:9", "key", SystemClock(), read_timeout=1) as client:
        with pytest.raises(Refusal, match="cannot connect"):
            await client.read(photo_request(PhotoKey(101, 1, 2, 3, "a")), limits.admission("photo"))
    assert slots.taken == FREE
