"""The only file that opens a connection.

Each real request, redirect hops included, passes the store's limits and the origin guard, which is the only place
that knows the key: a request to any other origin goes without it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, hdrs
from multidict import CIMultiDictProxy
from yarl import URL

from market_photos import __version__
from market_photos.clock import Clock
from market_photos.market.limiter import Passage
from market_photos.market.protocol import MAX_PHOTO_BYTES, Act, Ask, Refusal, clean, rate, refusal

log = logging.getLogger(__name__)

KEY_HEADER = "Api-Key"
MAX_REDIRECTS = 3
#: Seconds for a connection, TLS included in the next value.
CONNECT_SECONDS = 10
#: Seconds after which a body must have come at SLOWEST on average: a drip never trips the read time-out.
PATIENCE_SECONDS = 30
#: Bytes a second: 50 MB then take less than two hours.
SLOWEST = 8 * 1024
#: Bytes of a page: 100 returns take some 100 KB.
MAX_PAGE_BYTES = 64 * 1024 * 1024
#: Bytes of an error or a redirect that are read, to its end where that is nearer: then the slot is free at once.
MAX_ERROR_BYTES = 1024 * 1024
_REDIRECTS = {301, 302, 303, 307, 308}


class PassageFor(Protocol):
    """Leads a request through the limits of its store."""

    def __call__(self, method: str) -> Passage: ...


class Photo:
    """An answer that brings a photo; its body is yet to be read."""

    def __init__(self, response: ClientResponse) -> None:
        self._response = response
        self.content_type = response.headers.get(hdrs.CONTENT_TYPE, "")
        encoding = response.headers.get(hdrs.TRANSFER_ENCODING, "").lower()
        self.is_framed = response.content_length is not None or "chunked" in encoding
        """Whether a body that was cut off would be noticed."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body. Raises Refusal where it is too large or too slow."""
        async for chunk in _chunks(self._response, MAX_PHOTO_BYTES):
            yield chunk


class Client:
    """The API at one base URL, for one run. Use as a context manager."""

    def __init__(self, base_url: str, key: str, clock: Clock, *, read_timeout: float) -> None:
        """`read_timeout`: seconds without a byte after which we hang up; the server itself gives up after 10."""
        self._base = URL(base_url)
        self._key = key
        self._clock = clock
        self._read_timeout = read_timeout

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # The API offers no keep-alive. Stores bound their connections themselves.
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=self._read_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"market-photos/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def read(self, ask: Ask, passage_for: PassageFor) -> bytes:
        """The whole body of a successful answer. Raises Refusal."""
        body, _ = await self.read_with_headers(ask, passage_for)
        return body

    async def read_with_headers(self, ask: Ask, passage_for: PassageFor) -> tuple[bytes, CIMultiDictProxy[str]]:
        async with self._answer(ask, passage_for) as response:
            return await _read(response, MAX_PAGE_BYTES), response.headers

    @asynccontextmanager
    async def photo(self, ask: Ask, passage_for: PassageFor) -> AsyncIterator[Photo]:
        """A photo whose body is read inside. Raises Refusal, also from there."""
        async with self._answer(ask, passage_for) as response:
            yield Photo(response)

    @asynccontextmanager
    async def _answer(self, ask: Ask, passage_for: PassageFor) -> AsyncIterator[ClientResponse]:
        """The successful answer, at the end of redirects. Raises Refusal for all else."""
        url = self._base.joinpath(ask.path.lstrip("/"), encoded=True).with_query(ask.query)
        for _ in range(MAX_REDIRECTS + 1):
            with _wire_errors(url):
                async with passage_for(ask.method) as passage, self._send(ask.verb, url, passage) as response:
                    if response.status == 200:
                        self._heed(response, passage)
                        yield response
                        return
                    if response.status not in _REDIRECTS:
                        raise await self._refusal(response, passage)
                    await _whatever_comes(response)
                    url = self._next_hop(url, response)
        raise Refusal(Act.GIVE_UP, f"redirected more than {MAX_REDIRECTS} times")

    @asynccontextmanager
    async def _send(self, verb: str, url: URL, passage: Passage) -> AsyncIterator[ClientResponse]:
        async with self._session.request(
            verb, url, allow_redirects=False, middlewares=(self._guard, passage)
        ) as response:
            log.debug("%s %s: %s", verb, shortened(url), response.status)
            yield response

    async def _guard(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """The key goes to the configured origin and nowhere else.

        A connection that breaks is a refusal here already: aiohttp would send the request once more by itself, and
        four attempts would be eight.
        """
        if request.url.origin() == self._base.origin():
            request.headers[KEY_HEADER] = self._key
        else:
            request.headers.pop(KEY_HEADER, None)
        try:
            return await handler(request)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise _broken(request.url, error) from error

    def _heed(self, response: ClientResponse, passage: Passage) -> None:
        told = rate(response.headers, self._clock.now().wall)
        passage.heed(told.remaining, told.renewed_in)

    async def _refusal(self, response: ClientResponse, passage: Passage) -> Refusal:
        body = await _whatever_comes(response)
        refused = refusal(response.status, response.headers, body, self._clock.now().wall)
        if refused.act is Act.YIELD_SLOT:
            passage.crowded()
        elif refused.act is Act.WAIT_QUOTA:
            passage.refused(refused.wait)
        else:
            self._heed(response, passage)
        return refused

    def _next_hop(self, url: URL, response: ClientResponse) -> URL:
        location = response.headers.get(hdrs.LOCATION, "")
        try:
            target = url.join(URL(location, encoded=True)) if location else None
        except ValueError:
            target = None
        if target is None or not self._may_follow(target):
            raise Refusal(
                Act.GIVE_UP, f"HTTP {response.status} to {target or 'nowhere'}: not followed", response.status
            )
        return target

    def _may_follow(self, target: URL) -> bool:
        """https, or the configured host where that itself is plain http (a sandbox)."""
        return target.scheme == "https" or (target.scheme == self._base.scheme and target.host == self._base.host)


def shortened(url: URL) -> str:
    """For logs: a photo's URL gives access to a buyer's photo, and is long."""
    path = url.raw_path
    return path if len(path) <= 90 else f"{path[:80]}…"


class _wire_errors:  # noqa: N801 - used like a function
    """Turns what happens on the wire into Refusal (RETRY). Leaves alone what the caller raises in between."""

    def __init__(self, url: URL) -> None:
        self._url = url

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TimeoutError):
            raise Refusal(Act.RETRY, f"{self._url.host}: no answer in time") from error
        if isinstance(error, aiohttp.ClientError):
            raise _broken(self._url, error) from error


def _broken(url: URL, error: aiohttp.ClientError) -> Refusal:
    return Refusal(Act.RETRY, f"{url.host}: {_in_words(error)}")


def _in_words(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer was cut off"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not valid: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed before the answer"
    if isinstance(error, aiohttp.ClientOSError):
        return f"the connection broke: {error.strerror or error}"
    # str() of this one holds the address of the photo
    text = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    return f"{type(error).__name__}: {clean(text.partition(chr(10))[0], 200)}"


async def _read(response: ClientResponse, most: int) -> bytes:
    return b"".join([chunk async for chunk in _chunks(response, most)])


async def _whatever_comes(response: ClientResponse) -> bytes:
    """The body of an answer whose status says enough: too much of it, or a broken end, changes nothing."""
    body = b""
    with suppress(Refusal, aiohttp.ClientError, TimeoutError):
        async for chunk in _chunks(response, MAX_ERROR_BYTES):
            body += chunk
    return body


async def _chunks(response: ClientResponse, most: int) -> AsyncIterator[bytes]:
    """The body. Raises Refusal where it is larger than `most` bytes or comes too slowly."""
    if (response.content_length or 0) > most:
        raise _too_large(response.content_length or 0, most)
    now = asyncio.get_running_loop().time
    started, size = now(), 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > most:
            raise _too_large(size, most)
        if is_too_slow(size, now() - started):
            raise Refusal(Act.RETRY, f"the answer comes too slowly: {size} bytes in {now() - started:.0f} s")
        yield chunk


def is_too_slow(size: int, seconds: float) -> bool:
    return seconds > PATIENCE_SECONDS and size < seconds * SLOWEST


def _too_large(size: int, most: int) -> Refusal:
    return Refusal(Act.GIVE_UP, f"the answer is larger than {most / 2**20:.0f} MB: at least {size} bytes")
