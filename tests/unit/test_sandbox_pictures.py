"""The sandbox's pictures are real: every segment and chunk adds up, to the last byte."""

import struct
import time
import zlib
from collections.abc import Iterator
from itertools import product

import pytest

from market_photos.sandbox.pictures import HEIGHT, JPEG, PNG, WIDTH, padded, picture

KINDS = [JPEG, PNG]
SIZES = [40_000, 65_537, 131_079, 300_001, 1_000_000]


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and payloads up to the scan; the scan comes as (0xDA, everything to the end marker)."""
    assert data[:2] == b"\xff\xd8"
    at = 2
    while data[at + 1] != 0xDA:
        assert data[at] == 0xFF
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield data[at + 1], data[at + 4 : at + 2 + length]
        at += 2 + length
    yield 0xDA, data[at + 2 :]


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Chunks whose checksums are right."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(kind + body),)
        yield kind, body
        at += 12 + length


def assert_whole(data: bytes, content_type: str) -> None:
    if content_type == PNG:
        chunks = dict(png_chunks(data))
        assert struct.unpack(">II", chunks[b"IHDR"][:8]) == (WIDTH, HEIGHT)
        assert len(zlib.decompress(chunks[b"IDAT"])) == HEIGHT * (WIDTH + 1)
        assert list(chunks)[-1] == b"IEND"
        return
    segments = dict(jpeg_segments(data))
    assert struct.unpack(">HH", segments[0xC0][1:5]) == (HEIGHT, WIDTH)
    scan = segments[0xDA]
    assert scan.endswith(b"\xff\xd9")
    assert scan.count(b"\xff") == scan.count(b"\xff\x00") + 1


@pytest.mark.parametrize(("content_type", "name"), list(product(KINDS, ["a", "b", "c", "dd", "f" * 40])))
def test_a_picture_is_whole(content_type: str, name: str) -> None:
    assert_whole(picture(name, content_type), content_type)


@pytest.mark.parametrize("content_type", KINDS)
def test_the_same_name_gives_the_same_bytes_and_another_name_others(content_type: str) -> None:
    pictures = [picture(str(number), content_type) for number in range(200)]
    assert len(set(pictures)) == 200
    assert pictures == [picture(str(number), content_type) for number in range(200)]


@pytest.mark.parametrize(("content_type", "size"), list(product(KINDS, SIZES)))
def test_a_padded_picture_is_whole_and_of_that_very_size(content_type: str, size: int) -> None:
    data = padded(size, content_type)
    assert len(data) == size
    assert_whole(data, content_type)


def test_every_size_in_a_row_can_be_had() -> None:
    """The segments' own bytes leave no gap, also where one more segment is needed."""
    start = len(picture("padded")) + 4
    for size in [*range(start, start + 20), *range(start + 65_520, start + 65_560)]:
        assert len(padded(size)) == size


@pytest.mark.parametrize("content_type", KINDS)
def test_the_largest_photo_and_a_byte_more(content_type: str) -> None:
    assert len(padded(50 * 2**20 + 1, content_type)) == 50 * 2**20 + 1


@pytest.mark.parametrize("size", [100, len(picture("padded")) - 1, len(picture("padded")) + 3])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=r"pad by|longer than"):
        padded(size)


def test_two_hundred_pictures_are_quick() -> None:
    """A demo does not wait for its pictures; the bound leaves room for a busy machine."""
    started = time.process_time()
    for number in range(200):
        picture(f"demo-{number}")
    assert time.process_time() - started < 4
