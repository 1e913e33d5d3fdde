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
from market_photos.market.refusals import Reaction, Refusal
from market_photos.market.requests import MAX_PHOTO_BYTES, photo_request, returns_request
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
    async with (
        Client(BASE, "key", SystemClock(), read_timeout=5) as client,
        client.photo(photo_request(KEY), limits.admission("campaigns")) as found,
    ):
        return b"".join([chunk async for chunk in found.chunks()])


@pytest.mark.parametrize(
    ("status", "text", "reaction"),
    [
        (400, body("limit must be at least 1"), Reaction.GIVE_UP),
        (400, body("Bad page token"), Reaction.RESTART_LISTING),
        (401, body("Api-Key is not known"), Reaction.STOP_RUN),
        (401, "<html>", Reaction.STOP_RUN),
        (403, body("API is disabled"), Reaction.SKIP_STORE),
        (403, body("The key lacks the scope for this method"), Reaction.STOP_RUN),
        (404, body("Image is not found"), Reaction.FORGET),
        (405, body(), Reaction.GIVE_UP),
        (410, "", Reaction.FORGET),
        (415, body(), Reaction.GIVE_UP),
        (420, body("Hit rate limit of 4 parallel requests for campaignId 1"), Reaction.YIELD_SLOT),
        (420, body("Hit rate limit of 5000 requests per 1 hour for resource"), Reaction.WAIT_QUOTA),
        (420, "", Reaction.WAIT_QUOTA),
        (423, body("in migration"), Reaction.LEAVE_STORE),
        (429, "", Reaction.WAIT_QUOTA),
        (499, "", Reaction.RETRY),
        (500, body("Internal"), Reaction.RETRY),
        (502, "<html>Bad Gateway</html>" * 50_000, Reaction.RETRY),
        (503, "", Reaction.RETRY),
        (504, "\0\xff", Reaction.RETRY),
        (599, "", Reaction.RETRY),
        (204, "", Reaction.GIVE_UP),
        (301, "", Reaction.GIVE_UP),
    ],
)
async def test_a_status_is_mapped_to_who_must_act(
    answers: aioresponses, status: int, text: str, reaction: Reaction
) -> None:
    """Who must act, by status and the API's words; a proxy's page never changes what a status means."""
    answers.get(PHOTO_URL, status=status, body=text)
    with pytest.raises(Refusal) as refused:
        await photo(answers)
    assert (refused.value.reaction, refused.value.status) == (reaction, status)


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
async def test_a_connection_fault_becomes_a_retry_without_the_address(
    answers: aioresponses, error: Exception, words: str
) -> None:
    """What breaks on the way is a RETRY in words, without the address of the photo."""
    answers.get(PHOTO_URL, exception=error)
    with pytest.raises(Refusal, match=words) as refused:
        await photo(answers)
    assert refused.value.reaction is Reaction.RETRY
    assert "/image/" not in refused.value.reason


async def test_a_photo_arrives_whole_and_one_that_is_too_large_is_refused(answers: aioresponses) -> None:
    answers.get(PHOTO_URL, body=b"x" * 200_000)
    assert await photo(answers) == b"x" * 200_000
    answers.get(PHOTO_URL, body=b"x", headers={"Content-Length": str(MAX_PHOTO_BYTES + 1)})
    with pytest.raises(Refusal, match="larger than 50 MB"):
        await photo(answers)


async def test_an_error_of_the_caller_passes_through(answers: aioresponses) -> None:
    answers.get(PHOTO_URL, body=b"x")
    limits = cabinet_limits(Random(1))
    async with Client(BASE, "key", SystemClock(), read_timeout=5) as client:
        with pytest.raises(KeyError):
            async with client.photo(photo_request(KEY), limits.admission("campaigns")):
                raise KeyError


@pytest.mark.parametrize(
    ("ask", "shown"),
    [
        (returns_request(101, None, None), "/v2/campaigns/101/returns"),
        (
            photo_request(KEY._replace(order=5 * 10**8, return_id=4 * 10**7, item=7 * 10**7, image_hash="f" * 40)),
            None,
        ),
    ],
)
def test_addresses_of_photos_are_shortened(ask: Any, shown: str | None) -> None:
    text = shortened(URL(BASE + ask.path, encoded=True))
    assert text == shown if shown else "f" * 40 not in text
