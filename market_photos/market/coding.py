"""Decode the content codings gzip, deflate and br.

The client asks for identity, but a server or a proxy on the way may compress all the same (RFC 9110, section 8.4).
The decoded photo is hashed and archived.
"""

import zlib
from collections.abc import Iterator
from typing import Protocol

import brotli

from market_photos.market.refusals import Reaction, Refusal, clean

#: Bytes that a decoder returns at once, br up to twice as many: a few KB of input may decode to gigabytes.
PIECE_BYTES = 256 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_NOT_A_CODING = {"", "identity", "chunked"}
_ALIASES = {"x-gzip": "gzip"}


class Decoder(Protocol):
    """Decodes one body."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes of the body; yield pieces of bounded size. Raises Refusal."""
        ...

    def end(self) -> None:
        """Raise Refusal if the body ended before its coding did."""
        ...


def decoder(*headers: str) -> Decoder | None:
    """Return the decoder for the codings that Content-Encoding and Transfer-Encoding name; None if they name none.

    Raises Refusal (GIVE_UP) for an unknown coding and for more than one.
    """
    named = [name.strip().lower() for header in headers for name in header.split(",")]
    codings = [_ALIASES.get(name, name) for name in named if name not in _NOT_A_CODING]
    if not codings:
        return None
    if codings in (["gzip"], ["deflate"]):
        return _Inflater(codings[0])
    if codings == ["br"]:
        return _Brotli()
    raise Refusal(
        Reaction.GIVE_UP, f"the answer has the unknown content coding {clean(', '.join(codings), 80)!r}", 200
    )


class _Inflater:
    """Decodes gzip and deflate. A body without the magic number of gzip is passed through unchanged."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._head = b""
        self._is_plain = False
        self._inflate: zlib._Decompress | None = None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._inflate is None and not self._is_plain:
            data = self._head = self._head + data
            if len(data) < len(_GZIP_MAGIC):
                return
            self._begin(data)
        if self._inflate is None:
            yield data
        else:
            yield from self._inflated(self._inflate, data)

    def _begin(self, head: bytes) -> None:
        if self._coding == "gzip":
            self._is_plain = not head.startswith(_GZIP_MAGIC)
            window = 16 + zlib.MAX_WBITS
        else:
            # RFC 9110 requires the zlib format; some servers send bare deflate data.
            has_header = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
            window = zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
        self._inflate = None if self._is_plain else zlib.decompressobj(window)

    def _inflated(self, inflate: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
        piece = b"x" * PIECE_BYTES
        while data or len(piece) == PIECE_BYTES:
            try:
                piece = inflate.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise _broken(self._coding) from error
            data = inflate.unconsumed_tail
            if piece:
                yield piece
        if inflate.unused_data:
            raise _broken(self._coding)

    def end(self) -> None:
        is_whole = self._inflate.eof if self._inflate else self._is_plain or not self._head
        if not is_whole:
            raise _cut_off(self._coding)


class _Brotli:
    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()
        self._is_empty = True

    def pieces(self, data: bytes) -> Iterator[bytes]:
        self._is_empty = False
        try:
            # The limit is approximate; only an empty piece means that the input is used up.
            while piece := self._decompressor.process(data, output_buffer_limit=PIECE_BYTES):
                yield piece
                data = b""
        except brotli.error as error:
            raise _broken("br") from error

    def end(self) -> None:
        if not (self._is_empty or self._decompressor.is_finished()):
            raise _cut_off("br")


def _broken(coding: str) -> Refusal:
    return Refusal(Reaction.RETRY, f"the answer is not valid {coding}, as its Content-Encoding says", 200)


def _cut_off(coding: str) -> Refusal:
    return Refusal(Reaction.RETRY, f"the answer was cut off: its {coding} data does not end", 200)
