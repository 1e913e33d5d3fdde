"""Each fault does on the wire what its name says; watched on a bare socket, so that no client tidies it up."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import aiohttp
import pytest

from market_photos.sandbox import ALWAYS, Market, Photo, Sandbox, actions
from market_photos.sandbox.faults import Action
from market_photos.sandbox.limits import Arrival

#: Only a connection that hangs is waited for as long as this.
PATIENCE_S = 5.0
HANG_S = 0.1
RETURNS = "/v2/campaigns/101/returns"


class Heard(NamedTuple):
    """What came through, and how the connection ended: "fin", "reset", or "hang"."""

    head: bytes
    body: bytes
    ending: str

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode().split("\r\n")[1:]
        return dict(line.split(": ", 1) for line in lines)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["errors"][0]["message"])


async def hear(sandbox: Sandbox, path: str, patience: float = PATIENCE_S) -> Heard:
    """One request by hand; waits for the connection's end, but not for ever."""
    data, ending = b"", "fin"
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nApi-Key: {sandbox.market.key}\r\n\r\n".encode())
        while piece := await asyncio.wait_for(reader.read(65_536), patience):
            data += piece
    except TimeoutError:
        ending = "hang"
    except ConnectionResetError:
        ending = "reset"
    writer.transport.abort()
    head, _, body = data.partition(b"\r\n\r\n")
    return Heard(head, body, ending)


@pytest.fixture
def market() -> Market:
    market = Market(seed=1)
    store = market.add_store(101)
    store.add_return(photos=1, content_type="image/jpeg")
    store.add_return(photos=1)
    return market


@pytest.fixture
def photo(market: Market) -> Photo:
    return market.photos()[0]


@pytest.fixture
def path(photo: Photo) -> str:
    place = f"/v2/campaigns/{photo.campaign}/orders/{photo.order}/returns/{photo.return_id}"
    return f"{place}/decision/{photo.item}/image/{photo.image_hash}"


@pytest.fixture
async def sandbox(market: Market) -> AsyncIterator[Sandbox]:
    async with Sandbox(market) as sandbox:
        yield sandbox


@pytest.mark.parametrize("code", [400, 401, 403, 404, 405, 415, 420, 423, 499, 500, 502, 503, 504, 599])
async def test_a_status_fault_answers_with_that_status(sandbox: Sandbox, path: str, code: int) -> None:
    sandbox.faults.add(actions.status(code, "Not today", retry_after="5"))
    heard = await hear(sandbox, path)
    assert (heard.status, heard.error, heard.headers["Retry-After"]) == (code, "Not today", "5")
    assert (await hear(sandbox, path)).status == 200, "once is the default"
    assert [entry.status for entry in sandbox.log] == [code, 200]


async def test_a_status_fault_can_have_its_own_body(sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add(actions.status(502, body=actions.HTML, content_type="text/html"))
    heard = await hear(sandbox, path)
    assert (heard.status, heard.body, heard.headers["Content-Type"]) == (502, actions.HTML, "text/html")


@pytest.mark.parametrize("seconds", [90, -90])
async def test_a_quota_420_names_its_end(sandbox: Sandbox, path: str, seconds: float) -> None:
    sandbox.faults.add(actions.quota_420(seconds))
    heard = await hear(sandbox, path)
    assert (heard.status, heard.headers["X-RateLimit-Resource-Remaining"]) == (420, "0")
    assert "parallel" not in heard.error
    until = parsedate_to_datetime(heard.headers["X-RateLimit-Resource-Until"]).timestamp()
    assert abs(until - time.time() - seconds) < 3
    assert sandbox.usage.headers(_arrival())["X-RateLimit-Resource-Remaining"] == "5000", "a 420 spends nothing"


async def test_a_quota_420_can_have_an_unusable_date(sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add(actions.quota_420("soon"))
    assert (await hear(sandbox, path)).headers["X-RateLimit-Resource-Until"] == "soon"
    sandbox.faults.add(actions.quota_420(None))
    assert "X-RateLimit-Resource-Until" not in (await hear(sandbox, path)).headers


async def test_a_parallel_420_has_its_own_message(sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add(actions.parallel_420(2))
    assert (await hear(sandbox, path)).error == "Hit rate limit of 2 parallel requests for campaignId 101"


@pytest.mark.parametrize(
    ("action", "kept", "ending"),
    [
        (actions.cut(), None, "fin"),
        (actions.cut(0), 0, "fin"),
        (actions.cut(1000), 1000, "fin"),
        (actions.cut(-1), -1, "fin"),
        (actions.reset(), None, "reset"),
        (actions.reset(1000), 1000, "reset"),
        (actions.reset(-1), -1, "reset"),
        (actions.hang(), None, "hang"),
        (actions.hang(1000), 1000, "hang"),
    ],
)
async def test_a_broken_body_ends_where_it_was_told(
    sandbox: Sandbox, path: str, action: Action, kept: int | None, ending: str
) -> None:
    """The header, if any, promises the whole; exactly so much comes, and then the end that was asked for."""
    photo, head = sandbox.market.photos()[0], kept is not None
    sandbox.faults.add(action)
    heard = await hear(sandbox, path, HANG_S if ending == "hang" else PATIENCE_S)
    assert (bool(heard.head), heard.body, heard.ending) == (head, photo.body[: kept or 0], ending)
    if head:
        assert heard.headers["Content-Length"] == str(len(photo.body))
    await asyncio.sleep(0.01)
    assert sandbox.log[0].bytes_sent == len(heard.body)
    assert sandbox.log[0].status == (200 if head else 0)


@pytest.mark.parametrize(
    ("action", "ending"), [(actions.reset(), "reset"), (actions.hang(), "hang"), (actions.cut(), "fin")]
)
async def test_a_connection_can_break_at_its_start(sandbox: Sandbox, path: str, action: Action, ending: str) -> None:
    sandbox.faults.add(action, kind="connect", nth=2)
    assert (await hear(sandbox, path)).ending == "fin"
    broken = await hear(sandbox, path, HANG_S if ending == "hang" else PATIENCE_S)
    # unread bytes make a close into a reset
    assert (broken.head, broken.ending in {ending, "reset"}) == (b"", True)
    assert (await hear(sandbox, path)).status == 200
    assert [entry.kind for entry in sandbox.log] == ["photo", "connect", "photo"]


async def test_a_hang_holds_its_slot_until_the_client_leaves(sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add(actions.hang(10))
    listening = asyncio.create_task(hear(sandbox, path, HANG_S))
    await asyncio.sleep(0.05)
    assert sandbox.usage.in_flight[101] == 1
    await listening
    await asyncio.sleep(0.02)
    assert sandbox.usage.in_flight[101] == 0


async def test_a_hang_does_not_outlive_the_sandbox(market: Market, path: str) -> None:
    async with Sandbox(market) as sandbox:
        sandbox.faults.add(actions.hang())
        listening = asyncio.create_task(hear(sandbox, path))
        await asyncio.sleep(0.05)
    assert (await listening).ending in {"fin", "reset"}


async def test_a_client_that_does_not_read_does_not_keep_the_sandbox(market: Market, path: str) -> None:
    async with asyncio.timeout(2), Sandbox(market) as sandbox:
        sandbox.faults.add(actions.padded_to(30_000_000))
        _, writer = await asyncio.open_connection("127.0.0.1", sandbox.port, limit=1024)
        writer.write(f"GET {path} HTTP/1.1\r\nApi-Key: {market.key}\r\n\r\n".encode())
        await asyncio.sleep(0.1)
    writer.transport.abort()


@pytest.mark.parametrize("by", [500, -500])
async def test_a_wrong_length_is_announced(sandbox: Sandbox, photo: Photo, path: str, by: int) -> None:
    sandbox.faults.add(actions.wrong_length(by))
    heard = await hear(sandbox, path)
    assert (heard.headers["Content-Length"], heard.body) == (str(len(photo.body) + by), photo.body)


async def test_a_body_without_length_ends_with_the_connection(sandbox: Sandbox, photo: Photo, path: str) -> None:
    sandbox.faults.add(actions.no_length())
    heard = await hear(sandbox, path)
    assert heard.body == photo.body
    assert not {"Content-Length", "Transfer-Encoding"} & heard.headers.keys()


async def test_a_chunked_body_is_whole(sandbox: Sandbox, photo: Photo, path: str) -> None:
    sandbox.faults.add(actions.chunked())
    heard = await hear(sandbox, path)
    assert heard.headers["Transfer-Encoding"] == "chunked"
    assert heard.body == b"%x\r\n%b\r\n0\r\n\r\n" % (len(photo.body), photo.body)


async def test_a_cut_chunked_body_has_no_end(sandbox: Sandbox, photo: Photo, path: str) -> None:
    sandbox.faults.add(actions.cut_chunked(700))
    assert (await hear(sandbox, path)).body == b"2bc\r\n%b\r\n" % photo.body[:700]


async def test_faults_combine(sandbox: Sandbox, photo: Photo, path: str) -> None:
    """A cut that nobody can see, late."""
    for action in (actions.no_length(), actions.cut(700), actions.delay(0.05)):
        sandbox.faults.add(action)
    heard = await hear(sandbox, path)
    assert (heard.body, "Content-Length" in heard.headers) == (photo.body[:700], False)
    assert sandbox.log[0].seconds >= 0.05


async def test_a_drip_sends_slowly(sandbox: Sandbox, photo: Photo, path: str) -> None:
    sandbox.faults.add(actions.drip(len(photo.body) * 10))
    assert (await hear(sandbox, path)).body == photo.body
    assert sandbox.log[0].seconds >= 0.09


@pytest.mark.parametrize(
    ("action", "content_type", "body"),
    [
        (actions.html(), "text/html; charset=utf-8", actions.HTML),
        (actions.text("hello"), "text/plain", b"hello"),
        (actions.nothing(), "image/jpeg", b""),
        (actions.body(b"RIFF", "image/webp"), "image/webp", b"RIFF"),
        (actions.body(b"RIFF"), "image/jpeg", b"RIFF"),
        (actions.body(b"RIFF", None), None, b"RIFF"),
    ],
)
async def test_other_content_replaces_the_photo(
    sandbox: Sandbox, path: str, action: Action, content_type: str | None, body: bytes
) -> None:
    sandbox.faults.add(action)
    heard = await hear(sandbox, path)
    assert (heard.status, heard.headers.get("Content-Type"), heard.body) == (200, content_type, body)


async def test_an_error_can_come_with_status_200(sandbox: Sandbox) -> None:
    sandbox.faults.add(actions.error_with_200("Oops"))
    heard = await hear(sandbox, RETURNS)
    assert (heard.status, heard.json["status"], heard.error) == (200, "ERROR", "Oops")


@pytest.mark.parametrize("value", ["application/octet-stream", None])
async def test_a_content_type_can_be_replaced(sandbox: Sandbox, photo: Photo, path: str, value: str | None) -> None:
    sandbox.faults.add(actions.content_type(value))
    heard = await hear(sandbox, path)
    assert (heard.headers.get("Content-Type"), heard.body) == (value, photo.body)


async def test_a_content_encoding_can_be_claimed(sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add(actions.content_encoding())
    key = {"Api-Key": sandbox.market.key}
    async with aiohttp.ClientSession() as session, session.get(sandbox.url + path, headers=key) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_photo_can_be_padded_to_a_size(sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add(actions.padded_to(1_000_001))
    heard = await hear(sandbox, path)
    assert (len(heard.body), heard.headers["Content-Length"]) == (1_000_001, "1000001")
    assert (heard.body[:2], heard.body[-2:]) == (b"\xff\xd8", b"\xff\xd9")


async def test_raw_bytes_are_sent_as_they_are(sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add(actions.raw(b"SSH-2.0-OpenSSH\r\n"))
    assert (await hear(sandbox, path)).head == b"SSH-2.0-OpenSSH\r\n"


async def test_headers_can_be_added(sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add(actions.headers({"ETag": '"1"', "traceparent": None}))
    heard = await hear(sandbox, path)
    assert (heard.headers["ETag"], "traceparent" in heard.headers) == ('"1"', False)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_names_its_target(sandbox: Sandbox, path: str, code: int) -> None:
    sandbox.faults.add(actions.redirect("http://127.0.0.1:9/elsewhere", code))
    heard = await hear(sandbox, path)
    assert (heard.status, heard.headers["Location"]) == (code, "http://127.0.0.1:9/elsewhere")


async def test_a_redirect_can_lead_to_itself(sandbox: Sandbox, path: str) -> None:
    sandbox.faults.add(actions.redirect(), times=ALWAYS)
    async with aiohttp.ClientSession(headers={"Api-Key": sandbox.market.key}) as session:
        with pytest.raises(aiohttp.TooManyRedirects):
            await session.get(sandbox.url + path, max_redirects=3)
    assert sandbox.log.count("photo") == 3


async def test_a_redirect_to_another_sandbox_shows_what_reaches_it(sandbox: Sandbox, photo: Photo, path: str) -> None:
    """The way to see whether a client takes its key to strangers."""
    async with Sandbox(Market()) as stranger:
        sandbox.faults.add(actions.redirect(f"{stranger.url}/cdn/1.jpg"))
        stranger.faults.add(actions.status(200, body=photo.body, content_type="image/jpeg"), kind="other")
        key = {"Api-Key": sandbox.market.key}
        async with aiohttp.ClientSession() as session, session.get(sandbox.url + path, headers=key) as response:
            assert (response.status, await response.read()) == (200, photo.body)
        assert (stranger.log[0].kind, stranger.log[0].headers["api-key"]) == ("other", sandbox.market.key)


async def _walk(sandbox: Sandbox, limit: int = 1, pages: int = 6) -> tuple[list[int], list[str]]:
    """Follow the listing for at most so many pages: the ids, and the tokens."""
    ids: list[int] = []
    tokens: list[str] = []
    async with aiohttp.ClientSession(headers={"Api-Key": sandbox.market.key}) as session:
        for _ in range(pages):
            query = {"limit": str(limit)} | ({"pageToken": tokens[-1]} if tokens else {})
            async with session.get(sandbox.url + RETURNS, params=query) as response:
                result = (await response.json())["result"]
            ids += [back["id"] for back in result["returns"]]
            token = result.get("paging", {}).get("nextPageToken")
            if token is None:
                break
            tokens.append(token)
    return ids, tokens


async def test_a_token_can_be_repeated(market: Market, sandbox: Sandbox) -> None:
    sandbox.faults.add(actions.repeated_token(), times=ALWAYS)
    ids, tokens = await _walk(sandbox)
    assert (len(tokens), len(set(tokens)), len(set(ids))) == (6, 1, 2)


async def test_an_empty_page_loses_nothing(market: Market, sandbox: Sandbox) -> None:
    sandbox.faults.add(actions.empty_page(), nth=1, times=2)
    ids, tokens = await _walk(sandbox)
    assert sorted(ids) == market.return_ids
    assert len(set(tokens)) == len(tokens) == 3


@pytest.mark.parametrize(("by", "found"), [(1, 2), (-1, 4)])
async def test_a_shifted_page_repeats_a_return(market: Market, sandbox: Sandbox, by: int, found: int) -> None:
    market.stores[101].add_return()
    sandbox.faults.add(actions.shift_page(by), nth=1 if by > 0 else 2)
    ids, _ = await _walk(sandbox)
    assert len(ids) == found


async def test_paging_can_be_dropped(market: Market, sandbox: Sandbox) -> None:
    sandbox.faults.add(actions.drop_paging())
    assert len((await _walk(sandbox))[0]) == 1


async def test_edit_leaves_errors_alone(sandbox: Sandbox) -> None:
    sandbox.faults.add(actions.edit(lambda page, call: page.clear()), times=ALWAYS)
    assert (await hear(sandbox, RETURNS)).json["result"] == {}
    assert (await hear(sandbox, RETURNS + "?limit=0")).status == 400


async def test_a_change_during_a_listing_shifts_the_pages(market: Market, sandbox: Sandbox) -> None:
    """A return that is made while the first page is read moves the later pages, as offsets do."""
    sandbox.faults.add(actions.meanwhile(market.stores[101].add_return))
    ids, _ = await _walk(sandbox)
    assert len(market.return_ids) == 3
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("conditions", "statuses"),
    [
        ({"times": 2}, [503, 503, 200, 200]),
        ({"times": ALWAYS}, [503] * 4),
        ({"nth": 3}, [200, 200, 503, 200]),
        ({"nth": 2, "times": 2}, [200, 503, 503, 200]),
        ({"kind": "photo"}, [503, 200, 200, 200]),
        ({"kind": "returns"}, [200] * 4),
        ({"campaign": 101}, [503, 200, 200, 200]),
        ({"campaign": 102}, [200] * 4),
        ({"image_hash": "other"}, [200] * 4),
        ({"when": lambda call: call.order == 0}, [200] * 4),
        ({"probability": 0.0, "times": ALWAYS}, [200] * 4),
        ({"probability": 1.0, "times": ALWAYS}, [503] * 4),
    ],
)
async def test_faults_apply_to_selected_requests(
    sandbox: Sandbox, path: str, conditions: dict[str, Any], statuses: list[int]
) -> None:
    fault = sandbox.faults.add(actions.status(503), **conditions)
    assert [(await hear(sandbox, path)).status for _ in range(4)] == statuses
    assert fault.hits == statuses.count(503)


async def test_chances_are_the_same_each_time(market: Market, path: str) -> None:
    runs = []
    for _ in range(2):
        async with Sandbox(market) as sandbox:
            sandbox.faults.add(actions.status(503), probability=0.5, times=ALWAYS)
            runs.append([(await hear(sandbox, path)).status for _ in range(12)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}


async def test_a_5xx_spends_no_quota_and_a_404_does(sandbox: Sandbox, path: str) -> None:
    for code, spent in ((500, 0), (404, 1)):
        sandbox.faults.add(actions.status(code))
        await hear(sandbox, path)
        assert sandbox.usage.spent(_arrival()) == spent


def _arrival() -> Arrival:
    return Arrival("photo", 101, time.time())
