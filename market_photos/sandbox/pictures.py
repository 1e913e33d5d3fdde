"""Draw the pictures that the sandbox serves: a parcel with a scratch on a table, as JPEG or PNG.

A picture is a valid file and depends on its name only (within one version of Pillow). All names share a dozen
drawings and differ in a comment inside the file: every photo has its own SHA-256, and a thousand cost no more time
than a dozen.
"""

import io
import random
import struct
import zlib
from functools import lru_cache

from PIL import Image, ImageDraw, ImageOps

WIDTH, HEIGHT = 320, 240
JPEG, PNG = "image/jpeg", "image/png"
DRAWINGS = 12

#: Light and dark end of the table's colour.
_TABLES = [("#ced6dc", "#788492"), ("#dec4a0", "#86623e"), ("#bcccbe", "#5c7464"), ("#d6c8d6", "#766480")]
#: Where the first comment goes: after JPEG's start of image, after PNG's signature and IHDR chunk.
_JPEG_HEADER, _PNG_HEADER = 2, 8 + 25
#: The two bytes of a JPEG segment's length count themselves.
_MAX_SEGMENT = 65_535 - 2


def picture(name: str, content_type: str = JPEG) -> bytes:
    """Return the picture called `name`: the same bytes for the same name, other bytes for any other name."""
    drawn = _encoded(zlib.crc32(name.encode()) % DRAWINGS, content_type)
    return _with_comments(drawn, content_type, [name.encode()])


def padded(size: int, content_type: str = JPEG, name: str = "padded") -> bytes:
    """Return a valid picture of exactly `size` bytes. Raises ValueError if it does not fit; 10 KB always do."""
    plain = picture(name, content_type)
    room, frame = size - len(plain), len(_comment(b"", content_type))
    if room < 0:
        raise ValueError(f"the picture is {-room} bytes longer than that")
    if 0 < room < frame:
        raise ValueError(f"cannot pad by {room} bytes")
    count = -(-room // (_MAX_SEGMENT + frame)) if content_type == JPEG else 1
    text, longer = divmod(room - frame * count, count) if count else (0, 0)
    return _with_comments(plain, content_type, [b"x" * (text + (index < longer)) for index in range(count)])


def _with_comments(drawn: bytes, content_type: str, comments: list[bytes]) -> bytes:
    header = _JPEG_HEADER if content_type == JPEG else _PNG_HEADER
    return drawn[:header] + b"".join(_comment(text, content_type) for text in comments) + drawn[header:]


def _comment(text: bytes, content_type: str) -> bytes:
    """Return a JPEG segment or a PNG chunk that viewers skip."""
    if content_type == JPEG:
        return b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text
    chunk = b"tEXtComment\0" + text
    return struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))


@lru_cache(maxsize=2 * DRAWINGS)
def _encoded(drawing: int, content_type: str) -> bytes:
    out = io.BytesIO()
    _draw(random.Random(drawing)).save(out, "JPEG" if content_type == JPEG else "PNG")
    return out.getvalue()


def _draw(rng: random.Random) -> Image.Image:
    light, dark = rng.choice(_TABLES)
    image = ImageOps.colorize(Image.linear_gradient("L").resize((WIDTH, HEIGHT)), light, dark)
    draw = ImageDraw.Draw(image)
    left, top = rng.randrange(36, 80), rng.randrange(70, 100)
    right, bottom = left + rng.randrange(140, 180), top + rng.randrange(90, 120)
    depth, rise, middle = rng.randrange(36, 56), 34, (left + right) // 2
    draw.polygon([(left - 14, bottom), (right, bottom + 10), (right + depth + 22, bottom - rise)], dark)
    draw.polygon([(left, top), (left + depth, top - rise), (right + depth, top - rise), (right, top)], "#deb478")
    draw.polygon(
        [(right, top), (right + depth, top - rise), (right + depth, bottom - rise), (right, bottom)], "#8b6237"
    )
    draw.rectangle([left, top, right, bottom], "#b68854")
    draw.line([(middle + depth, top - rise), (middle, top), (middle, top + 22)], "#ecdeb0", 16)
    _draw_label(draw, rng, left + 12, bottom - 46)
    _draw_scratch(draw, rng, middle, top + 14)
    return image


def _draw_label(draw: ImageDraw.ImageDraw, rng: random.Random, x: int, y: int) -> None:
    draw.rectangle([x, y, x + 56, y + 34], "#f6f4ee")
    for bar in range(x + 4, x + 52, 3):
        draw.line([(bar, y + 4), (bar, y + 22)], "#22160f", rng.choice((1, 2)))
    draw.line([(x + 4, y + 28), (x + 40, y + 28)], "#22160f", 3)


def _draw_scratch(draw: ImageDraw.ImageDraw, rng: random.Random, x: int, y: int) -> None:
    """Draw a dark line with the light edge of torn paper."""
    for _ in range(7):
        end = x + rng.randrange(4, 13), y + rng.randrange(2, 11)
        draw.line([(x, y - 2), (end[0], end[1] - 2)], "#f6f4ee", 2)
        draw.line([(x, y), end], "#684222", rng.choice((2, 3, 4)))
        x, y = end
