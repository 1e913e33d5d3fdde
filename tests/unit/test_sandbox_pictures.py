"""The sandbox's pictures are real images, whole to the last byte."""

import io
import time
from itertools import product

import pytest
from PIL import Image

from market_photos.sandbox.pictures import HEIGHT, JPEG, PNG, WIDTH, padded, picture

KINDS = [JPEG, PNG]
SIZES = [40_000, 65_537, 131_079, 300_001, 1_000_000]


def assert_whole(data: bytes, content_type: str) -> None:
    """Pillow refuses a file that is cut or whose checksums are wrong."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert (image.get_format_mimetype(), image.size) == (content_type, (WIDTH, HEIGHT))
    assert data.endswith(b"\xff\xd9" if content_type == JPEG else b"IEND\xaeB`\x82")


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


def test_every_size_in_a_row_is_possible() -> None:
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
