"""The HTTP client of the API, the only module that opens connections to it.

Each real request, redirect hops included, passes the limits of its store and then the origin guard. Only the guard
adds the key, and only to requests to the configured origin.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Self

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, hdrs
from aiohttp.connector import AddrInfoType
from yarl import URL

from market_photos import __version__
from market_photos.clock import Clock, ServerClock
from market_photos.console import redact
from market_photos.market import body
from market_photos.market.limits import Admission
from market_photos.market.redirects import PrivateAddress, is_ip, is_private, redirect_target
from market_photos.market.refusals import RateLimit, Reaction, Refusal, clean, parse_date, refusal, refusal_elsewhere
from market_photos.market.requests import MAX_PHOTO_BYTES, ApiRequest
from market_photos.market.wire_errors import broken, host_name, wire_errors
from market_photos.proxies import proxy_for

log = logging.getLogger(__name__)

KEY_HEADER = "Api-Key"
MAX_REDIRECTS = 3
#: Seconds to connect, TLS included.
CONNECT_SECONDS = 10
#: Bytes of the largest page; 100 returns take about 100 KB.
MAX_PAGE_BYTES = 64 * 1024 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}
#: The check of the current request's address, called before the connection is opened. It may raise OSError.
_check_address: ContextVar[Callable[[str], None] | None] = ContextVar("check_address", default=None)


class Photo:
    """An answer with a photo whose body has not been read."""

    def __init__(self, response: ClientResponse) -> None:
        self._response = response
        self.content_type = body.clean_headers(response).get(hdrs.CONTENT_TYPE, "")
        self.is_framed = body.is_framed(response)
        """Whether a cut body would be noticed."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the decoded photo. Raises Refusal if it is too large, too slow or wrongly encoded."""
        async for chunk in body.chunks(self._response, MAX_PHOTO_BYTES):
            yield chunk


class Client:
    """The API at one base URL, for one run. Use as a context manager."""

    def __init__(self, base_url: str, key: str, clock: Clock, *, read_timeout: float) -> None:
        """`read_timeout`: seconds without a byte; the server itself gives up after 10 (OpenAPI, introduction).

        `clock`: if it is a ServerClock, it learns the Date of each answer.
        """
        self._base = URL(base_url)
        self._key = key
        self._clock = ServerClock.of(clock)
        self._read_timeout = read_timeout
        self._api_addresses: set[str] = set()
        """IP addresses at which the API was reached."""

    async def __aenter__(self) -> Self:
        """Open the session. Raises ConfigError if the environment names an unusable proxy."""
        self._proxy = proxy_for(self._base)
        self._session = aiohttp.ClientSession(
            # The API has no keep-alive (OpenAPI, introduction). Each store's slots limit its connections.
            connector=aiohttp.TCPConnector(force_close=True, limit=0, socket_factory=_checked_socket),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=self._read_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"market-photos/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def read(self, request: ApiRequest, admission: Admission) -> bytes:
        """Return the whole body of a successful answer. Raises Refusal."""
        async with self._answer(request, admission) as response:
            return await body.read(response, MAX_PAGE_BYTES)

    @asynccontextmanager
    async def photo(self, request: ApiRequest, admission: Admission) -> AsyncIterator[Photo]:
        """Yield a photo whose body is read in the block. Raises Refusal, also while it is read."""
        async with self._answer(request, admission) as response:
            yield Photo(response)

    @asynccontextmanager
    async def _answer(self, request: ApiRequest, admission: Admission) -> AsyncIterator[ClientResponse]:
        """Yield the successful answer at the end of redirects, each of which passes `admission` again.

        Raises Refusal for every other answer.
        """
        url = self._base.joinpath(request.path.lstrip("/"), encoded=True).with_query(request.query)
        async with admission:
            for _ in range(MAX_REDIRECTS + 1):
                with wire_errors(url):
                    async with self._send(request.method, url, admission) as response:
                        if response.status == 200:
                            self._observe_headers(response, admission)
                            yield response
                            return
                        if response.status not in _REDIRECTS:
                            raise await self._refusal(response, admission)
                        await body.read_what_comes(response)
                        url = self._next_hop(url, response)
        raise Refusal(Reaction.GIVE_UP, f"redirected more than {MAX_REDIRECTS} times")

    @asynccontextmanager
    async def _send(self, method: str, url: URL, admission: Admission) -> AsyncIterator[ClientResponse]:
        # The guard comes after the admission: its deadline must not include the wait for the limits.
        steps = (admission, self._guard, self._timed)
        proxy = self._proxy if self._is_api(url) else proxy_for(url)
        request = self._session.request(method, url, allow_redirects=False, middlewares=steps, proxy=proxy)
        async with request as response:
            log.debug("%s %s: %s", method, shortened(url), response.status)
            yield response

    async def _guard(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Add the key to requests to the configured origin only; refuse other origins at private addresses.

        The head of the answer has a deadline, as 1xx answers and slow headers never trip the read time-out. A broken
        connection becomes a Refusal here, as aiohttp would repeat the request by itself.
        """
        request.headers.pop(KEY_HEADER, None)
        if self._is_api(request.url):
            request.headers[KEY_HEADER] = self._key
        checking = _check_address.set(self._address_check(request))
        try:
            async with asyncio.timeout(CONNECT_SECONDS + self._read_timeout):
                return await handler(request)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise broken(request.url, error) from error
        except (aiohttp.ClientError, TimeoutError):
            raise
        except ValueError as error:  # UnicodeError among them, for a name that no resolver takes
            reason = f"{host_name(request.url)}: cannot be asked: {clean(str(error), 200)}"
            raise Refusal(Reaction.GIVE_UP, reason) from error
        finally:
            _check_address.reset(checking)

    def _address_check(self, request: ClientRequest) -> Callable[[str], None] | None:
        """Return the check of the request's address; None behind a proxy, which resolves the name itself."""
        if request.proxy:
            return None
        return self._api_addresses.add if self._is_api(request.url) else self._refuse_private

    def _refuse_private(self, address: str) -> None:
        """Raise PrivateAddress if the address is private and not one of the API."""
        if is_private(address) and address not in {*self._api_addresses, self._base.host}:
            raise PrivateAddress

    def _is_api(self, url: URL) -> bool:
        return url.origin() == self._base.origin()

    async def _timed(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Pass the Date of an answer of the API to the clock. The innermost step, so that nothing waits between."""
        sent = self._clock.now()
        response = await handler(request)
        date = parse_date(response.headers.get(hdrs.DATE, ""))
        if date is not None and self._is_api(request.url):
            self._clock.observe_date(date, sent, self._clock.now())
        return response

    def _server_now(self) -> float | None:
        """Return the earliest time that the server may have now, so that no wait is too short; None if unknown."""
        server = self._clock.now().server
        return server.earliest if server else None

    def _observe_headers(self, response: ClientResponse, admission: Admission) -> None:
        """Pass the rate-limit headers to the quota; those of another host, after a redirect, mean nothing."""
        if self._is_api(response.url):
            limit = RateLimit.from_headers(body.clean_headers(response), self._server_now())
            admission.observe_headers(limit.remaining, limit.renewed_in)

    async def _refusal(self, response: ClientResponse, admission: Admission) -> Refusal:
        content = await body.read_what_comes(response)
        if not self._is_api(response.url):
            return refusal_elsewhere(response.status, host_name(response.url))
        refused = refusal(response.status, body.clean_headers(response), content, self._server_now())
        if refused.reaction is Reaction.YIELD_SLOT:
            admission.parallel_limit_hit()
        elif refused.reaction is Reaction.WAIT_QUOTA:
            admission.quota_refused(refused.wait)
        else:
            self._observe_headers(response, admission)
        return refused

    def _next_hop(self, url: URL, response: ClientResponse) -> URL:
        location = response.headers.get(hdrs.LOCATION, "")
        target = redirect_target(url, location)
        if target is None or not self._may_follow(target):
            where = clean(str(target or location), 200) or "nowhere"
            raise Refusal(Reaction.GIVE_UP, f"HTTP {response.status} to {where}: not followed", response.status)
        return target

    def _may_follow(self, target: URL) -> bool:
        """Return whether a redirect may be followed: to https, or to the configured host if that has plain http.

        Never to a private IP address.
        """
        host = target.host or ""
        with suppress(PrivateAddress):
            if is_ip(host):
                self._refuse_private(host)
            return target.scheme == "https" or (target.scheme == self._base.scheme and host == self._base.host)
        return False


def _checked_socket(info: AddrInfoType) -> socket.socket:
    """Return a socket for the connector. Raises OSError if the address is refused."""
    family, kind, protocol, _, address = info
    if check := _check_address.get():
        check(str(address[0]))
    return socket.socket(family, kind, protocol)


def shortened(url: URL) -> str:
    """Return the path for logs, without the end of a photo's address, which gives access to it."""
    path = redact(url.raw_path)
    return path if len(path) <= 90 else f"{path[:80]}…"
