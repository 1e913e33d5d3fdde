"""Read the bodies of answers: decoded, limited in size, and at a minimum rate."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
from aiohttp import ClientResponse, hdrs
from multidict import CIMultiDict

from market_photos.market.coding import decoder
from market_photos.market.refusals import Reaction, Refusal, clean

#: Seconds of waiting for the server in which each MIN_RATE_BYTES of a body, or its end, must arrive: 8 KiB/s, so
#: that 50 MB take less than two hours. The read time-out alone never ends a drip, or a chunked body without data.
MIN_RATE_SECONDS = 30
MIN_RATE_BYTES = 240 * 1024
#: Bytes that are read of the body of an error or a redirect. If that is all of it, the slot is free at once.
MAX_ERROR_BYTES = 1024 * 1024
#: Characters of a header; aiohttp refuses longer ones.
MAX_HEADER = 8190


def clean_headers(response: ClientResponse) -> CIMultiDict[str]:
    """Return the headers as printable text: aiohttp decodes bytes that are not UTF-8 as lone surrogates."""
    return CIMultiDict(
        (clean(name, MAX_HEADER), clean(value, MAX_HEADER)) for name, value in response.headers.items()
    )


def is_framed(response: ClientResponse) -> bool:
    """Return whether the end of the body is marked, so that a cut body is noticed."""
    encodings = _encodings(response)
    return response.content_length is not None or "chunked" in encodings[1].lower() or decoder(*encodings) is not None


async def chunks(response: ClientResponse, most: int) -> AsyncIterator[bytes]:
    """Yield the decoded body. Raises Refusal if it is larger than `most` bytes, too slow or wrongly encoded."""
    decode = decoder(*_encodings(response))
    _require_size(response.content_length or 0, most)
    received = decoded = 0
    async for data in _raw_chunks(response):
        received += len(data)
        _require_size(received, most)
        for piece in decode.pieces(data) if decode else (data,):
            decoded += len(piece)
            _require_size(decoded, most)
            yield piece
    if decode:
        decode.end()


async def read(response: ClientResponse, most: int) -> bytes:
    """Return the whole body. Raises Refusal like `chunks`."""
    return b"".join([chunk async for chunk in chunks(response, most)])


async def read_what_comes(response: ClientResponse) -> bytes:
    """Return as much of the body of an error or a redirect as can be read."""
    body = b""
    with suppress(Refusal, aiohttp.ClientError, TimeoutError):
        async for chunk in chunks(response, MAX_ERROR_BYTES):
            body += chunk
    return body


def _encodings(response: ClientResponse) -> tuple[str, str]:
    content, transfer = (
        ",".join(response.headers.getall(name, [])) for name in (hdrs.CONTENT_ENCODING, hdrs.TRANSFER_ENCODING)
    )
    return content, transfer


async def _raw_chunks(response: ClientResponse) -> AsyncIterator[bytes]:
    """Yield the body as it arrives. Only the time of waiting for the server counts, not that of the caller."""
    now = asyncio.get_running_loop().time
    size, due, left = 0, MIN_RATE_BYTES, float(MIN_RATE_SECONDS)
    while True:
        began = now()
        chunk = await _next_chunk(response, left)
        if not chunk:
            return
        left -= now() - began
        size += len(chunk)
        if size >= due:
            due, left = size + MIN_RATE_BYTES, float(MIN_RATE_SECONDS)
        yield chunk


async def _next_chunk(response: ClientResponse, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds) as deadline:
            return await response.content.readany()
    except TimeoutError as error:
        if not deadline.expired():
            raise
        text = f"the answer comes too slowly: less than {MIN_RATE_BYTES // 1024} KiB in {MIN_RATE_SECONDS} s"
        raise Refusal(Reaction.RETRY, text) from error


def _require_size(size: int, most: int) -> None:
    if size > most:
        raise Refusal(Reaction.GIVE_UP, f"the answer is larger than {most / 2**20:.0f} MB: at least {size} bytes")
