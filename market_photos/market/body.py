"""Bodies of answers: decoded, bounded in size, and never slower than a minimum rate."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
from aiohttp import ClientResponse, hdrs
from multidict import CIMultiDict

from market_photos.market.coding import decoder
from market_photos.market.refusals import Reaction, Refusal, clean

#: Seconds of waiting for the server in which each LOT_BYTES of a body must come, or its end: 8 KiB/s, so that 50 MB
#: take less than two hours. A read time-out alone never ends a drip, or a chunked body without data.
PATIENCE_SECONDS = 30
LOT_BYTES = 240 * 1024
#: Bytes of an error or a redirect that are read, to its end where that is nearer: then the slot is free at once.
MAX_ERROR_BYTES = 1024 * 1024
#: Characters of a header; aiohttp refuses longer ones.
MAX_HEADER = 8190


def clean_headers(response: ClientResponse) -> CIMultiDict[str]:
    """Return the headers as printable text: aiohttp leaves bytes that are not UTF-8 in them as lone surrogates."""
    return CIMultiDict(
        (clean(name, MAX_HEADER), clean(value, MAX_HEADER)) for name, value in response.headers.items()
    )


def is_framed(response: ClientResponse) -> bool:
    """Return whether a body that was cut off would be noticed."""
    encodings = _encodings(response)
    return response.content_length is not None or "chunked" in encodings[1].lower() or decoder(*encodings) is not None


async def chunks(response: ClientResponse, most: int) -> AsyncIterator[bytes]:
    """Yield the decoded body. Raises Refusal where it is larger than `most` bytes, too slow or wrongly encoded."""
    decode = decoder(*_encodings(response))
    if decode is None:
        async for data in _raw_chunks(response, most):
            yield data
        return
    size = 0
    async for data in _raw_chunks(response, most):
        for piece in decode.pieces(data):
            size += len(piece)
            if size > most:
                raise _too_large(size, most)
            yield piece
    decode.end()


async def read(response: ClientResponse, most: int) -> bytes:
    """Return the whole body. Raises Refusal as `chunks` does."""
    return b"".join([chunk async for chunk in chunks(response, most)])


async def read_what_comes(response: ClientResponse) -> bytes:
    """Return the body of an answer whose status says enough: too much of it, or a broken end, changes nothing."""
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


async def _raw_chunks(response: ClientResponse, most: int) -> AsyncIterator[bytes]:
    """Yield the body as it comes. Only the time of waiting for the server counts, not that of our own disk."""
    if (response.content_length or 0) > most:
        raise _too_large(response.content_length or 0, most)
    now = asyncio.get_running_loop().time
    size, due, left = 0, LOT_BYTES, float(PATIENCE_SECONDS)
    while True:
        began = now()
        chunk = await _next_chunk(response, left)
        if not chunk:
            return
        left -= now() - began
        size += len(chunk)
        if size > most:
            raise _too_large(size, most)
        if size >= due:
            due, left = size + LOT_BYTES, float(PATIENCE_SECONDS)
        yield chunk


async def _next_chunk(response: ClientResponse, seconds: float) -> bytes:
    try:
        async with asyncio.timeout(seconds) as deadline:
            return await response.content.readany()
    except TimeoutError as error:
        if not deadline.expired():
            raise
        text = f"the answer comes too slowly: less than {LOT_BYTES // 1024} KiB in {PATIENCE_SECONDS} s"
        raise Refusal(Reaction.RETRY, text) from error


def _too_large(size: int, most: int) -> Refusal:
    return Refusal(Reaction.GIVE_UP, f"the answer is larger than {most / 2**20:.0f} MB: at least {size} bytes")
