"""Which refusal the client makes of each answer; over aioresponses, so without limits and sockets."""

import json
from random import Random
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses
from yarl import URL

from market_photos.clock import SystemClock
from market_photos.market.client import Client, shortened
from market_photos.market.limits import Passage
from market_photos.market.requests import MAX_PHOTO_BYTES, Act, Refusal, ask_photo, ask_returns
from market_photos.model import PhotoKey
from market_photos.sync.discovery import Unrecorded, cabinet_limits

BASE = "https://api.example"
KEY = PhotoKey(101, 1, 2, 3, "ab/c")
PHOTO_URL = f"{BASE}/v2/campaigns/101/orders/1/returns/2/decision/3/image/ab%2Fc"


def body(message: str = "", code: str = "") -> str:
    return json.dumps({"status": "ERROR", "errors": [{"code": code, "message": message}]})


async def photo(answers: aioresponses) -> bytes:
    """Ask for the photo once; its bytes."""
    limits = cabinet_limits(Random(1), Unrecorded())

    def passage(method: str) -> Passage:
        return limits.passage("campaigns")

    async with (
        Client(BASE, "key", SystemClock(), read_timeout=5) as client,
        client.photo(ask_photo(KEY), passage) as found,
    ):
        return b"".join([chunk async for chunk in found.chunks()])


@pytest.mark.parametrize(
    ("status", "text", "act"),
    [
        (400, body("limit must be at least 1"), Act.GIVE_UP),
        (400, body("Bad page token"), Act.RESTART_LISTING),
        (401, body("Api-Key is not known"), Act.STOP_RUN),
        (401, "<html>", Act.STOP_RUN),
        (403, body("API is disabled"), Act.SKIP_STORE),
        (403, body("The key lacks the scope for this method"), Act.STOP_RUN),
        (404, body("Image is not found"), Act.FORGET),
        (405, body(), Act.GIVE_UP),
        (410, "", Act.FORGET),
        (415, body(), Act.GIVE_UP),
        (420, body("Hit rate limit of 4 parallel requests for campaignId 1"), Act.YIELD_SLOT),
        (420, body("Hit rate limit of 5000 requests per 1 hour for resource"), Act.WAIT_QUOTA),
        (420, "", Act.WAIT_QUOTA),
        (423, body("in migration"), Act.LEAVE_STORE),
        (429, "", Act.WAIT_QUOTA),
        (499, "", Act.RETRY),
        (500, body("Internal"), Act.RETRY),
        (502, "<html>Bad Gateway</html>" * 50_000, Act.RETRY),
        (503, "", Act.RETRY),
        (504, "\0\xff", Act.RETRY),
        (599, "", Act.RETRY),
        (204, "", Act.GIVE_UP),
        (301, "", Act.GIVE_UP),
    ],
)
async def test_status(answers: aioresponses, status: int, text: str, act: Act) -> None:
    """Who must act, by status and the API's words; a proxy's page never changes what a status means."""
    answers.get(PHOTO_URL, status=status, body=text)
    with pytest.raises(Refusal) as refused:
        await photo(answers)
    assert (refused.value.act, refused.value.status) == (act, status)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (aiohttp.ServerDisconnectedError(), "closed before the answer"),
        (aiohttp.ClientPayloadError("x"), "cut off"),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), "Connection reset by peer"),
        (TimeoutError(), "no answer in time"),
        (aiohttp.ServerTimeoutError(), "no answer in time"),
        (aiohttp.ClientResponseError(None, (), message="bad\nheader /image/ab"), "bad"),  # type: ignore[arg-type]
    ],
)
async def test_the_wire(answers: aioresponses, error: Exception, words: str) -> None:
    """What breaks on the way is a RETRY in words, without the address of the photo."""
    answers.get(PHOTO_URL, exception=error)
    with pytest.raises(Refusal, match=words) as refused:
        await photo(answers)
    assert refused.value.act is Act.RETRY
    assert "/image/" not in refused.value.reason


async def test_a_photo_and_one_that_is_too_large(answers: aioresponses) -> None:
    answers.get(PHOTO_URL, body=b"x" * 200_000)
    assert await photo(answers) == b"x" * 200_000
    answers.get(PHOTO_URL, body=b"x", headers={"Content-Length": str(MAX_PHOTO_BYTES + 1)})
    with pytest.raises(Refusal, match="larger than 50 MB"):
        await photo(answers)


async def test_what_the_caller_raises_passes(answers: aioresponses) -> None:
    """The client's own words are for the wire only."""
    answers.get(PHOTO_URL, body=b"x")
    limits = cabinet_limits(Random(1))
    async with Client(BASE, "key", SystemClock(), read_timeout=5) as client:
        with pytest.raises(KeyError):
            async with client.photo(ask_photo(KEY), lambda _: limits.passage("campaigns")):
                raise KeyError


@pytest.mark.parametrize(
    ("ask", "shown"),
    [
        (ask_returns(101, None, None), "/v2/campaigns/101/returns"),
        (ask_photo(KEY._replace(order=5 * 10**8, return_id=4 * 10**7, item=7 * 10**7, image_hash="f" * 40)), None),
    ],
)
def test_addresses_of_photos_are_shortened(ask: Any, shown: str | None) -> None:
    text = shortened(URL(BASE + ask.path, encoded=True))
    assert text == shown if shown else "f" * 40 not in text
