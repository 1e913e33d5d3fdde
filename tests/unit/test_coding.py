"""Bodies that a server has compressed, whatever pieces they come in."""

import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_photos.market.coding import PIECE_BYTES, decoder
from market_photos.market.refusals import Reaction, Refusal

CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("X-GZIP", gzip.compress),
    ("deflate", zlib.compress),
    ("br", brotli.compress),
    ("identity, br,", brotli.compress),
]


def decoded(name: str, body: bytes, step: int) -> bytes:
    decode = decoder(name)
    assert decode is not None
    pieces = [piece for at in range(0, len(body), step) for piece in decode.pieces(body[at : at + step])]
    decode.end()
    assert max(map(len, pieces), default=0) <= 2 * PIECE_BYTES
    return b"".join(pieces)


@pytest.mark.parametrize(("name", "encode"), CODINGS)
@given(body=st.binary(), step=st.integers(1, 100))
def test_a_body_comes_back_as_it_was(name: str, encode: Callable[[bytes], bytes], body: bytes, step: int) -> None:
    assert decoded(name, encode(body), step) == body


@pytest.mark.parametrize(("name", "encode"), CODINGS)
@pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES])
def test_a_large_body_comes_in_bounded_pieces(name: str, encode: Callable[[bytes], bytes], size: int) -> None:
    assert decoded(name, encode(bytes(size)), 7) == bytes(size)


@pytest.mark.parametrize(("name", "encode"), CODINGS)
@given(cut=st.integers(1, 10), step=st.integers(1, 100))
def test_a_cut_body_is_asked_for_again(name: str, encode: Callable[[bytes], bytes], cut: int, step: int) -> None:
    body = encode(bytes(range(256)))
    with pytest.raises(Refusal) as refused:
        decoded(name, body[:-cut], step)
    assert refused.value.reaction is Reaction.RETRY


@pytest.mark.parametrize(("name", "encode"), CODINGS)
def test_an_empty_body_is_empty(name: str, encode: Callable[[bytes], bytes]) -> None:
    assert decoded(name, b"", 1) == b""


@pytest.mark.parametrize("headers", [(), ("",), ("identity", "chunked"), ("Identity, ", "CHUNKED")])
def test_a_body_without_a_coding_passes_unchanged(headers: tuple[str, ...]) -> None:
    assert decoder(*headers) is None


@pytest.mark.parametrize("headers", [("zstd",), ("gzip, br",), ("gzip", "gzip"), ("gzip;q=1",), ("\udcf4",)])
def test_unknown_codings_are_final(headers: tuple[str, ...]) -> None:
    with pytest.raises(Refusal, match="unknown content coding") as refused:
        decoder(*headers)
    assert refused.value.reaction is Reaction.GIVE_UP
    assert refused.value.reason.isprintable()
