"""The embedded Market keeps to the documented API, asked over real sockets."""

import asyncio
import contextlib
import gc
import json
import socket
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import aiohttp
import pytest
from yarl import URL

from market_photos.sandbox import ABSENT, FixedWindow, Market, Photo, Sandbox, ServerLimits, running, serve

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["errors"][0]["message"])


class Client:
    """A seller's script: one connection per request, addresses as they are given."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session
        self.key: str | None = sandbox.market.key

    async def ask(self, path: str, method: str = "GET", **query: str) -> Answer:
        headers = {"Api-Key": self.key} if self.key else {}
        url = URL(self.sandbox.url + path, encoded=True).update_query(query)
        async with self.session.request(method, url, headers=headers) as response:
            return Answer(response.status, response.headers, await response.read())

    async def photo(self, photo: Photo, image_hash: str | None = None) -> Answer:
        return await self.ask(photo_path(photo, image_hash))

    async def pages(self, **query: str) -> list[list[int]]:
        """The ids of each page, to the end of the listing."""
        pages: list[list[int]] = []
        token: dict[str, str] = {}
        while True:
            answer = await self.ask("/v2/campaigns/101/returns", **query, **token)
            result = answer.json["result"]
            pages.append([back["id"] for back in result["returns"]])
            if "nextPageToken" not in result["paging"]:
                return pages
            token = {"pageToken": result["paging"]["nextPageToken"]}


def photo_path(photo: Photo, image_hash: str | None = None) -> str:
    place = f"/v2/campaigns/{photo.campaign}/orders/{photo.order}/returns/{photo.return_id}"
    return f"{place}/decision/{photo.item}/image/{image_hash or photo.image_hash}"


@pytest.fixture
def market() -> Market:
    market = Market(seed=1, now=NOW)
    market.add_store(101)
    return market


@pytest.fixture
async def sandbox(market: Market) -> AsyncIterator[Sandbox]:
    async with Sandbox(market) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield Client(sandbox, session)


def add_photo(market: Market, **given: Any) -> Photo:
    store = market.stores[101]
    return store.photos(store.add_return(photos=1, **given))[0]


async def test_stores_are_not_wrapped_and_paged(market: Market, client: Client) -> None:
    for _ in range(4):
        market.add_store()
    first = (await client.ask("/v2/campaigns", limit="3")).json
    assert [store["id"] for store in first["campaigns"]] == [101, 102, 103]
    second = (await client.ask("/v2/campaigns", limit="3", pageToken=first["paging"]["nextPageToken"])).json
    assert [store["id"] for store in second["campaigns"]] == [104, 105]
    assert "nextPageToken" not in second["paging"]


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("/v2/campaigns", {"limit": "101"}, "limit"),
        ("/v2/campaigns", {"limit": "0"}, "limit"),
        ("/v2/campaigns", {"pageToken": "?"}, "Bad page token"),
        ("/v2/campaigns/101/returns", {"limit": "0"}, "limit"),
        ("/v2/campaigns/101/returns", {"limit": "-1"}, "limit"),
        ("/v2/campaigns/101/returns", {"pageToken": "AAAA"}, "Bad page token"),
        ("/v2/campaigns/101/returns", {"pageToken": ""}, "Bad page token"),
        ("/v2/campaigns/101/returns", {"fromDate": "20.11.2026"}, "YYYY-MM-DD"),
        ("/v2/campaigns/101/returns", {"toDate": "20261120"}, "YYYY-MM-DD"),
        ("/v2/campaigns/101/returns", {"fromDate": "2026-13-01"}, "month"),
        ("/v2/campaigns/101/returns", {"orderIds": "one"}, "one"),
        ("/v2/campaigns/101/returns", {"orderIds": ",".join(map(str, range(51)))}, "orderIds"),
    ],
)
async def test_a_bad_query_is_a_400(client: Client, path: str, query: dict[str, str], message: str) -> None:
    answer = await client.ask(path, **query)
    assert (answer.status, answer.json["status"]) == (400, "ERROR")
    assert message in answer.error


@pytest.mark.parametrize(
    ("query", "sizes"), [({}, [50, 50, 20]), ({"limit": "100"}, [100, 20]), ({"limit": "999"}, [100, 20])]
)
async def test_returns_come_in_pages_of_fifty_to_a_hundred(
    market: Market, client: Client, query: dict[str, str], sizes: list[int]
) -> None:
    """Fifty by default; above a hundred is silently a hundred."""
    for _ in range(120):
        market.stores[101].add_return()
    pages = await client.pages(**query)
    assert [len(page) for page in pages] == sizes
    assert sorted(id for page in pages for id in page) == market.return_ids


async def test_a_token_has_an_alias_and_belongs_to_its_filters(market: Market, client: Client) -> None:
    for _ in range(3):
        market.stores[101].add_return()
    path = "/v2/campaigns/101/returns"
    token = (await client.ask(path, limit="2")).json["result"]["paging"]["nextPageToken"]
    assert len((await client.ask(path, limit="2", page_token=token)).json["result"]["returns"]) == 1
    assert (await client.ask(path, limit="2", pageToken=token, type="RETURN")).error == "Bad page token"


async def test_a_token_that_is_not_encoded_is_a_bad_one(market: Market, sandbox: Sandbox) -> None:
    for _ in range(3):
        market.stores[101].add_return()
    async with aiohttp.ClientSession(headers={"Api-Key": market.key}) as session:
        async with session.get(f"{sandbox.url}/v2/campaigns/101/returns?limit=2") as response:
            token = (await response.json())["result"]["paging"]["nextPageToken"]
        address = URL(f"{sandbox.url}/v2/campaigns/101/returns?limit=2&pageToken={token}", encoded=True)
        async with session.get(address) as response:
            assert response.status == 400


async def test_filters_select_returns(market: Market, client: Client) -> None:
    store = market.stores[101]
    old = store.add_return(updated=NOW - timedelta(days=9), refundStatus="REFUNDED", shipmentStatus="PICKED")
    new = store.add_return(updated=NOW, refundStatus="FAILED", shipmentStatus="CREATED")
    never = store.add_return(updated=NOW, type="UNREDEEMED", shipmentStatus="CREATED")
    cases = [
        ({"fromDate": "2026-11-20"}, {new, never}),
        ({"toDate": "2026-11-19"}, {old}),
        ({"type": "UNREDEEMED"}, {never}),
        ({"statuses": "REFUNDED,REJECTED"}, {old}),
        ({"shipmentStatuses": "CREATED", "type": "RETURN"}, {new}),
        ({"orderIds": f"{old.order},{never.order}"}, {old, never}),
    ]
    for query, found in cases:
        assert {id for page in await client.pages(**query) for id in page} == {back.id for back in found}, query


async def test_one_return_is_served_by_its_ids(market: Market, client: Client) -> None:
    back = market.stores[101].add_return(photos=2, newField=ABSENT, other=None)
    path = f"/v2/campaigns/101/orders/{back.order}/returns/"
    assert (await client.ask(f"{path}{back.id}")).json == {"status": "OK", "result": back.record()}
    missing = await client.ask(f"{path}7")
    assert (missing.status, missing.error) == (404, f"Return '7' for order '{back.order}' is not found")


async def test_a_photo_is_served_with_its_type(market: Market, sandbox: Sandbox, client: Client) -> None:
    photo = add_photo(market, content_type="image/png")
    answer = await client.photo(photo)
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "image/png", photo.body)
    assert answer.headers["Content-Length"] == str(len(photo.body))
    entry = sandbox.log[-1]
    assert (entry.kind, entry.campaign, entry.image_hash, entry.status) == ("photo", 101, photo.image_hash, 200)
    assert (entry.bytes_sent, entry.parallel, entry.headers["api-key"]) == (len(photo.body), 1, market.key)


@pytest.mark.parametrize(
    ("image_hash", "path"),
    [
        ("..", ".."),
        ("..", "%2e%2E"),
        (".", "."),
        ("../../../etc/passwd", "..%2F..%2F..%2Fetc%2Fpasswd"),
        ("a b+c", "a%20b+c"),
        ("a?b#c", "a%3Fb%23c"),
        ("%2e", "%252e"),
        ("хэш", "%D1%85%D1%8D%D1%88"),
        ("x" * 300, "x" * 300),
    ],
)
async def test_odd_hashes_arrive_decoded_once(market: Market, sandbox: Sandbox, image_hash: str, path: str) -> None:
    """Asked by hand, for clients tidy such paths up."""
    photo = add_photo(market, images=[image_hash])
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    writer.write(f"GET {photo_path(photo, path)} HTTP/1.1\r\nApi-Key: {market.key}\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert answer.endswith(b"\r\n\r\n" + photo.body)
    assert sandbox.log[-1].path == photo_path(photo, path), "the log has it as it was sent"


async def test_an_unknown_photo_is_a_404(market: Market, client: Client) -> None:
    photo = add_photo(market)
    assert (await client.photo(photo, "0" * 40)).status == 404
    market.stores[101].lose(photo)
    gone = await client.photo(photo)
    assert (gone.status, gone.json["status"]) == (404, "ERROR")


async def test_a_wrong_key_is_refused(market: Market, client: Client) -> None:
    photo = add_photo(market)
    paths = ["/v2/campaigns", "/v2/campaigns/101/returns", photo_path(photo)]
    for client.key in (None, "ACMA:other:1"):
        assert [(await client.ask(path)).status for path in paths] == [401] * 3
    client.key, market.scopes = market.key, ["PRICING"]
    assert [(await client.ask(path)).status for path in paths] == [403] * 3


async def test_the_key_info_lists_its_scopes(market: Market, client: Client) -> None:
    told = await client.ask("/v2/auth/token", "POST")
    assert told.json["result"]["apiKey"]["authScopes"] == ["INVENTORY_AND_ORDER_PROCESSING_READ_ONLY"]
    assert (await client.ask("/v2/auth/token")).status == 405


async def test_a_closed_store_answers_403(market: Market, client: Client) -> None:
    photo = add_photo(market)
    store = market.stores[101]
    store.fields["placementType"] = "LAAS"
    assert len(await client.pages()) == 1
    assert (await client.photo(photo)).status == 403
    store.fields["apiAvailability"] = "DISABLED_BY_INACTIVITY"
    assert (await client.ask("/v2/campaigns/101/returns")).status == 403
    assert (await client.ask("/v2/campaigns/999/returns")).status == 403
    assert (await client.ask("/v2/campaigns")).status == 200


@pytest.mark.parametrize("path", ["/", "/V2/campaigns", "/campaigns", "/v2/campaigns/x/returns", "/v2/campaigns/101"])
async def test_an_unknown_address_is_a_404(client: Client, path: str) -> None:
    assert (await client.ask(path)).status == 404


async def test_every_answer_can_be_traced_and_ends_its_connection(client: Client) -> None:
    answers = [await client.ask("/v2/campaigns"), await client.ask("/v2/none")]
    for answer in answers:
        assert answer.headers["traceparent"].startswith("00-")
        assert answer.headers["Date"].endswith("GMT")
        assert answer.headers["Connection"] == "close"
    assert len({answer.headers["traceparent"] for answer in answers}) == 2


async def test_the_quota_is_enforced_and_announced(market: Market) -> None:
    clock = [1_800_000_000.0]
    limits = ServerLimits(returns=FixedWindow(2))
    async with Sandbox(market, limits=limits, wall=lambda: clock[0]) as sandbox, aiohttp.ClientSession() as session:
        client = Client(sandbox, session)
        answers = [await client.ask("/v2/campaigns/101/returns") for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 420]
        assert [answer.headers["X-RateLimit-Resource-Remaining"] for answer in answers] == ["1", "0", "0"]
        assert answers[2].headers["X-RateLimit-Resource-Until"] == "Fri, 15 Jan 2027 09:00:00 GMT"
        assert answers[2].error.startswith("Hit rate limit of 2 requests per 1 hour for resource")
        clock[0] += 3_600
        assert (await client.ask("/v2/campaigns/101/returns")).status == 200
        assert sandbox.log.worst_window("returns", 60) == 4


async def test_a_fifth_request_at_once_is_refused(market: Market) -> None:
    async with Sandbox(market, latency=0.05) as sandbox, aiohttp.ClientSession() as session:
        client = Client(sandbox, session)
        answers = await asyncio.gather(*(client.ask("/v2/campaigns/101/returns") for _ in range(6)))
        assert sorted(answer.status for answer in answers) == [200] * 4 + [420] * 2
        assert {answer.error for answer in answers if answer.status == 420} == {
            "Hit rate limit of 4 parallel requests for campaignId 101"
        }
        assert sandbox.log.worst_parallel() == sandbox.log.worst_parallel(101) == 6
        assert (await client.ask("/v2/campaigns/101/returns")).status == 200


async def test_four_workers_in_turn_are_never_refused(market: Market) -> None:
    """A slot is free the moment the last byte is out, also after large photos."""
    photo = add_photo(market, size=1_000_000)
    async with Sandbox(market, latency=0.005) as sandbox, aiohttp.ClientSession() as session:
        client = Client(sandbox, session)

        async def worker() -> None:
            for _ in range(15):
                assert (await client.photo(photo)).status == 200

        await asyncio.gather(*(worker() for _ in range(4)))
        assert 2 <= sandbox.log.worst_parallel() <= 4


async def test_a_client_that_hangs_up_still_holds_its_slot(market: Market) -> None:
    limits = ServerLimits(parallel=1)
    async with Sandbox(market, latency=0.15, limits=limits) as sandbox, aiohttp.ClientSession() as session:
        client = Client(sandbox, session)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.ask("/v2/campaigns/101/returns"), 0.05)
        assert (await client.ask("/v2/campaigns/101/returns")).status == 420


async def test_the_sandbox_runs_in_a_thread(market: Market) -> None:
    with running(market) as sandbox:
        async with aiohttp.ClientSession() as session:
            assert (await Client(sandbox, session).ask("/v2/campaigns")).status == 200
        assert sandbox.log.count("campaigns") == 1


async def test_a_taken_port_is_an_error(market: Market, sandbox: Sandbox) -> None:
    with pytest.raises(RuntimeError, match="did not start") as refused, running(market, port=sandbox.port):
        pass
    assert isinstance(refused.value.__cause__, OSError)


async def test_the_sandbox_serves_until_cancelled(market: Market) -> None:
    ready: asyncio.Future[Sandbox] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(market, ready=ready.set_result))
    sandbox = await ready
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", sandbox.port)


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 5, 6])  # after 2 steps asyncio itself loses the connection
async def test_a_sandbox_that_ends_closes_connections_it_has_just_accepted(steps: int) -> None:
    """A task that is cancelled before its first step closes nothing itself; a connection left open is a warning."""
    with socket.socket() as client:
        async with Sandbox(Market()) as sandbox:
            client.connect(("127.0.0.1", sandbox.port))
            for _ in range(steps):
                await asyncio.sleep(0)
        client.settimeout(2)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    gc.collect()


def test_a_sandbox_that_ends_leaves_no_connection_open_while_clients_connect() -> None:
    """It ends at any moment between the steps of a connection that comes just then."""

    def connect(port: int) -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as client:
                client.sendall(b"GET / HTTP/1.1\r\n")
                connected.release()

    with ThreadPoolExecutor(4) as clients:
        for count in range(0, 200, 10):
            connected, ended = threading.Semaphore(0), threading.Event()
            with running(Market()) as sandbox:
                connecting = [clients.submit(connect, sandbox.port) for _ in range(4)]
                for _ in range(count):
                    assert connected.acquire(timeout=10)
            ended.set()
            for one in connecting:
                one.result()
    gc.collect()
