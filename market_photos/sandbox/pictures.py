"""Pictures to serve: a parcel on a table with a scratch, as JPEG or PNG, drawn by this module.

A picture is valid to the last byte and depends on its name only. Names share a dozen drawings, and differ in a
comment inside the file: no two photos have the same SHA-256, and a thousand cost no more time than a dozen.
"""

import random
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from market_photos.sandbox import jpeg

WIDTH, HEIGHT = 320, 240
JPEG, PNG = "image/jpeg", "image/png"
DRAWINGS = 12

_PNG_START = b"\x89PNG\r\n\x1a\n"
_SHADES = 40
#: Names of the palette's ramps, each of _SHADES colours from light to dark.
_TABLE, _LID, _FRONT, _SIDE, _INK = (ramp * _SHADES for ramp in range(5))
_PAPER, _TAPE = 5 * _SHADES, 5 * _SHADES + 1

Point = tuple[float, float]
Colour = tuple[int, int, int]


def picture(name: str, content_type: str = JPEG) -> bytes:
    """The picture called `name`: the same bytes each time, and other bytes than those of any other name."""
    drawing = zlib.crc32(name.encode()) % DRAWINGS
    if content_type == PNG:
        return _with_text(_png(drawing), name.encode())
    return jpeg.with_comments(_jpeg(drawing), [name.encode()])


def padded(size: int, content_type: str = JPEG, name: str = "padded") -> bytes:
    """A valid picture of exactly `size` bytes; 10 KB and more always has room for it."""
    plain = picture(name, content_type)
    room = size - len(plain)
    if content_type == PNG:
        return _with_text(plain, b"x" * (room - len(_text(b""))))
    return jpeg.with_comments(plain, _fillers(room))


def _fillers(room: int) -> list[bytes]:
    """Comments that take `room` bytes as segments, of which each needs four bytes besides its text."""
    if 0 < room < len(jpeg.segment(jpeg.COMMENT, b"")):
        raise ValueError(f"cannot pad by {room} bytes")
    if room < 0:
        raise ValueError(f"the picture is {-room} bytes longer than that")
    count = -(-room // (jpeg.LONGEST_SEGMENT + 4))
    text, longer = divmod(room - 4 * count, count) if count else (0, 0)
    return [b"x" * (text + (index < longer)) for index in range(count)]


def _with_text(picture: bytes, text: bytes) -> bytes:
    header_end = len(_PNG_START) + 25
    return picture[:header_end] + _text(text) + picture[header_end:]


def _text(text: bytes) -> bytes:
    return _chunk(b"tEXt", b"Comment\0" + text)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@lru_cache(maxsize=DRAWINGS)
def _png(drawing: int) -> bytes:
    canvas, palette = _drawn(drawing)
    rows = b"".join(b"\0" + canvas[at : at + WIDTH] for at in range(0, len(canvas), WIDTH))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", bytes(level for colour in palette for level in colour)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return _PNG_START + b"".join(_chunk(kind, data) for kind, data in chunks)


@lru_cache(maxsize=DRAWINGS)
def _jpeg(drawing: int) -> bytes:
    canvas, palette = _drawn(drawing)
    light, blue, red = (
        canvas.translate(bytes(_level(row, colour) for colour in palette).ljust(256, b"\0"))
        for row in ((0, 0.299, 0.587, 0.114), (128, -0.1687, -0.3313, 0.5), (128, 0.5, -0.4187, -0.0813))
    )
    return jpeg.encode(WIDTH, HEIGHT, light, blue, red)


def _level(row: tuple[float, ...], colour: Colour) -> int:
    value = row[0] + sum(weight * level for weight, level in zip(row[1:], colour, strict=True))
    return min(255, max(0, round(value)))


@lru_cache(maxsize=DRAWINGS)
def _drawn(drawing: int) -> tuple[bytes, list[Colour]]:
    """The canvas, one palette index per pixel, and the palette."""
    rng = random.Random(drawing)
    canvas = bytearray(WIDTH * HEIGHT)
    _fill(canvas, [(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)], _ramp(_TABLE, 0, HEIGHT))
    _parcel(canvas, rng)
    return bytes(canvas), _palette(rng)


def _palette(rng: random.Random) -> list[Colour]:
    tables: list[tuple[Colour, Colour]] = [
        ((206, 214, 220), (120, 132, 146)),
        ((222, 196, 160), (134, 98, 62)),
        ((188, 204, 190), (92, 116, 100)),
        ((214, 200, 214), (118, 100, 128)),
    ]
    card = ((232, 194, 142), (206, 164, 110)), ((206, 160, 104), (158, 112, 62)), ((166, 120, 70), (112, 76, 40))
    ramps = [rng.choice(tables), *card, ((104, 66, 34), (34, 22, 16))]
    shades = [_between(first, last, step / (_SHADES - 1)) for first, last in ramps for step in range(_SHADES)]
    return [*shades, (246, 244, 238), (236, 222, 176)]


def _between(first: Colour, last: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, last, strict=True))
    return red, green, blue


def _parcel(canvas: bytearray, rng: random.Random) -> None:
    left, top = rng.randrange(36, 80), rng.randrange(70, 100)
    width, height, depth, rise = rng.randrange(140, 180), rng.randrange(90, 120), rng.randrange(36, 56), 34
    right, bottom = left + width, top + height
    shadow = [(left - 14, bottom), (right, bottom + 10), (right + depth + 22, bottom - rise), (left, bottom - 20)]
    _fill(canvas, shadow, lambda y: _TABLE + _SHADES - 1)
    _fill(canvas, _box(left, top, right, bottom), _ramp(_FRONT, top, bottom))
    lid = [(left, top), (left + depth, top - rise), (right + depth, top - rise), (right, top)]
    _fill(canvas, lid, _ramp(_LID, top - rise, top))
    side = [(right, top), (right + depth, top - rise), (right + depth, bottom - rise), (right, bottom)]
    _fill(canvas, side, _ramp(_SIDE, top - rise, bottom))
    _tape(canvas, left + width // 2, top, depth, rise)
    _label(canvas, rng, left + 12, bottom - 46)
    _scratch(canvas, rng, left + width // 2, top + 14)


def _tape(canvas: bytearray, middle: int, top: int, depth: int, rise: int) -> None:
    lid = [(middle - 8, top), (middle - 8 + depth, top - rise), (middle + 8 + depth, top - rise), (middle + 8, top)]
    _fill(canvas, lid, lambda y: _TAPE)
    _fill(canvas, _box(middle - 8, top, middle + 8, top + 22), lambda y: _TAPE)


def _label(canvas: bytearray, rng: random.Random, x: int, y: int) -> None:
    _fill(canvas, _box(x, y, x + 56, y + 34), lambda y: _PAPER)
    for bar in range(x + 4, x + 52, 3):
        _fill(canvas, _box(bar, y + 4, bar + rng.choice((1, 2)), y + 22), lambda y: _INK + _SHADES - 1)
    _fill(canvas, _box(x + 4, y + 26, x + 40, y + 29), lambda y: _INK + _SHADES - 1)


def _scratch(canvas: bytearray, rng: random.Random, x: int, y: int) -> None:
    """A torn line: dark, as wide as a few pixels, with the light edge of the torn paper."""
    for _ in range(7):
        next_x, next_y = x + rng.randrange(4, 13), y + rng.randrange(2, 11)
        wide = rng.choice((2, 3, 4))
        _fill(canvas, [(x, y - 1), (next_x, next_y - 1), (next_x, next_y + 1), (x, y + 1)], lambda y: _PAPER)
        _fill(canvas, [(x, y), (next_x, next_y), (next_x - 1, next_y + wide), (x - 1, y + wide)], lambda y: _INK)
        x, y = next_x, next_y


def _box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _ramp(base: int, top: float, bottom: float) -> Callable[[int], int]:
    return lambda y: base + min(_SHADES - 1, max(0, int((y - top) * _SHADES / (bottom - top))))


def _fill(canvas: bytearray, corners: Sequence[Point], shade: Callable[[int], int]) -> None:
    """Fill a convex polygon, row by row."""
    for y in range(max(0, int(min(y for _, y in corners))), min(HEIGHT, int(max(y for _, y in corners)) + 1)):
        crossings = list(_crossings(corners, y + 0.5))
        if crossings:
            left, right = max(0, round(min(crossings))), min(WIDTH, round(max(crossings)))
            canvas[y * WIDTH + left : y * WIDTH + right] = bytes([shade(y)]) * (right - left)


def _crossings(corners: Sequence[Point], y: float) -> Iterable[float]:
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if min(y0, y1) <= y < max(y0, y1):
            yield x0 + (x1 - x0) * (y - y0) / (y1 - y0)
