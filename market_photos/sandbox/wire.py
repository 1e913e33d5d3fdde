"""Speak HTTP/1.1: one request per connection, and answers that may break off anywhere.

It uses asyncio's streams: a web framework would not send what a broken server sends.
"""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal, Self
from urllib.parse import parse_qsl, unquote

_PIECE = 64 * 1024
#: Pause between the pieces of a slow body.
_DRIP_PAUSE_S = 0.02
#: Time for the kernel to send its buffer, which a reset discards.
_FLUSH_S = 0.02
_PHRASES = {420: "Enhance Your Calm", 423: "Locked", 499: "Client Closed Request"}

Framing = Literal["length", "chunked", "close"]
Ending = Literal["close", "reset", "hang"]


@dataclass(frozen=True)
class Request:
    """A request, with the target as it was on the request line."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def path(self) -> list[str]:
        """The segments, each percent-decoded once; `..` is not resolved, and `%2F` does not separate segments."""
        return [unquote(segment) for segment in self.target.partition("?")[0].split("/")[1:]]

    @property
    def query(self) -> dict[str, str]:
        """The parameters, decoded."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


@dataclass(frozen=True)
class Reply:
    """An answer, and how it is sent.

    delay       seconds before anything is sent
    framing     how the body ends: by Content-Length, chunked, or by closing the connection
    declared    the Content-Length, if it is not that of the body
    head        whether status line and headers are sent at all
    raw         sent instead of status line and headers
    stop_after  bytes of the body to send; negative: all but so many
    ending      how the connection ends: closed, reset (RST), or open until the client closes it
    rate        bytes per second
    endless     bytes sent after that again and again until the client closes, with a pause in seconds
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    framing: Framing = "length"
    declared: int | None = None
    head: bool = True
    raw: bytes | None = None
    stop_after: int | None = None
    ending: Ending = "close"
    rate: float | None = None
    endless: tuple[bytes, float] | None = None

    @property
    def sent_body(self) -> memoryview:
        """The part of the body that is sent."""
        return memoryview(self.body)[: self.stop_after]

    def head_bytes(self) -> bytes:
        """Return the status line and the headers, or what is sent in their place."""
        if self.raw is not None or not self.head:
            return self.raw or b""
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (self.headers | self._framing_headers()).items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    def _framing_headers(self) -> dict[str, str]:
        if self.framing == "length":
            return {"Content-Length": str(len(self.body) if self.declared is None else self.declared)}
        return {"Transfer-Encoding": "chunked"} if self.framing == "chunked" else {}


def _phrase(status: int) -> str:
    try:
        return _PHRASES.get(status) or HTTPStatus(status).phrase
    except ValueError:
        return "Unheard Of"


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read a request; return None if the client closes before its end."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.rstrip("\r\n").split("\r\n")
        method, target, _ = line.split(" ")
        named = (line.partition(":") for line in fields)
        headers = {name.strip().lower(): value.strip() for name, _, value in named}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
        return None
    return Request(method, target, headers, body)


class Connection:
    """A connection. `sent` counts the bytes of the body without framing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer
        self.sent = 0
        # drain() then returns only when the kernel has everything
        writer.transport.set_write_buffer_limits(0)

    @classmethod
    async def on(cls, accepted: socket.socket) -> Self:
        """Return the connection on a socket that the system has accepted."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, accepted)
        return cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def send(self, reply: Reply) -> None:
        """Send the reply; `end` then ends the connection."""
        await self._write(reply.head_bytes())
        for piece in _pieces(reply.sent_body, reply.rate):
            await self._write(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)) if reply.framing == "chunked" else piece)
            self.sent += len(piece)
            if reply.rate:
                await asyncio.sleep(len(piece) / reply.rate)
        if reply.framing == "chunked" and reply.stop_after is None:
            await self._write(b"0\r\n\r\n")
        while reply.endless:
            await self._write(reply.endless[0])
            await asyncio.sleep(reply.endless[1])

    async def end(self, ending: Ending) -> None:
        """Reset the connection, or wait until the client closes it; `close` is left to the caller."""
        if ending == "hang":
            await self._wait_for_client_to_close()
        if ending == "reset":
            await asyncio.sleep(_FLUSH_S)
            self._reset()

    async def close(self) -> None:
        """Close the connection once everything is sent."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    def abort(self) -> None:
        """Close at once, also if the client does not read."""
        self._writer.transport.abort()

    async def _write(self, data: bytes | memoryview) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _wait_for_client_to_close(self) -> None:
        with suppress(ConnectionError):
            while await self.reader.read(_PIECE):
                pass

    def _reset(self) -> None:
        no_linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        self._writer.transport.abort()


def _pieces(body: memoryview, rate: float | None) -> Iterator[memoryview]:
    size = max(1, int(rate * _DRIP_PAUSE_S)) if rate else _PIECE
    return (body[at : at + size] for at in range(0, len(body), size))
