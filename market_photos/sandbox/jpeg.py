"""A baseline JPEG encoder, as small as one can be: grey and two colours, 4:2:0, and Huffman codes of equal length.

Equal lengths (4 bits for DC symbols, 8 for AC) make files larger than the usual tables do, and need no tables.
"""

import math
import struct
from functools import lru_cache
from operator import mul

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
COMMENT = 0xFE
#: A segment's length field counts itself and has two bytes.
LONGEST_SEGMENT = 65_535 - 2

_COSINES = [
    [(math.sqrt(0.125) if u == 0 else 0.5) * math.cos((2 * x + 1) * u * math.pi / 16) for x in range(8)]
    for u in range(8)
]
_ZIGZAG = sorted(
    ((row, column) for row in range(8) for column in range(8)),
    key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]),
)
#: Coarser with the frequency, one table for light and colour.
_QUANTA = [8 + 3 * (row + column) for row, column in _ZIGZAG]
_DC_SYMBOLS = bytes(range(12))
_AC_SYMBOLS = bytes([0x00, 0xF0, *(run << 4 | size for run in range(16) for size in range(1, 11))])
_AC_CODES = {symbol: f"{index:08b}" for index, symbol in enumerate(_AC_SYMBOLS)}


def encode(width: int, height: int, light: bytes, blue: bytes, red: bytes) -> bytes:
    """The picture of three full-size planes; width and height must be multiples of 16."""
    return b"".join(
        [
            SOI,
            segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
            segment(0xDB, bytes([0, *_QUANTA])),
            segment(0xC0, struct.pack(">BHHB", 8, height, width, 3) + b"\1\x22\0\2\x11\0\3\x11\0"),
            segment(0xC4, b"\0" + _lengths(4, _DC_SYMBOLS)),
            segment(0xC4, b"\x10" + _lengths(8, _AC_SYMBOLS)),
            segment(0xDA, b"\3\1\0\2\0\3\0\0\x3f\0"),
            _scan(width, height, light, _halved(blue, width), _halved(red, width)),
            EOI,
        ]
    )


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def with_comments(picture: bytes, comments: list[bytes]) -> bytes:
    """The same picture with COM segments, which viewers skip, right after its start."""
    return SOI + b"".join(segment(COMMENT, comment) for comment in comments) + picture[len(SOI) :]


def _lengths(bits: int, symbols: bytes) -> bytes:
    """A Huffman table: how many symbols have codes of 1..16 bits, then the symbols."""
    return bytes(len(symbols) if length == bits else 0 for length in range(1, 17)) + symbols


def _halved(plane: bytes, width: int) -> bytes:
    return b"".join(plane[start : start + width : 2] for start in range(0, len(plane), 2 * width))


def _scan(width: int, height: int, light: bytes, blue: bytes, red: bytes) -> bytes:
    before = [0, 0, 0]
    bits: list[str] = []
    for y in range(0, height, 16):
        for x in range(0, width, 16):
            for component, block in _macroblock(width, (x, y), light, blue, red):
                dc, ac = _coded(block)
                bits += (_dc_bits(dc - before[component]), ac)
                before[component] = dc
    return _stuffed("".join(bits))


def _macroblock(width: int, at: tuple[int, int], light: bytes, blue: bytes, red: bytes) -> list[tuple[int, bytes]]:
    x, y = at
    lights = [(0, _block(light, width, x + right, y + down)) for down in (0, 8) for right in (0, 8)]
    return [*lights, (1, _block(blue, width // 2, x // 2, y // 2)), (2, _block(red, width // 2, x // 2, y // 2))]


def _block(plane: bytes, width: int, x: int, y: int) -> bytes:
    return b"".join(plane[row * width + x : row * width + x + 8] for row in range(y, y + 8))


@lru_cache(maxsize=8192)
def _coded(block: bytes) -> tuple[int, str]:
    """The block's mean and the bits of its other frequencies. Most blocks of a drawing repeat, hence the cache."""
    rows = [[sum(map(mul, wave, block[at : at + 8])) for wave in _COSINES] for at in range(0, 64, 8)]
    columns = [[sum(map(mul, wave, column)) for wave in _COSINES] for column in zip(*rows, strict=True)]
    columns[0][0] -= 1024  # samples are centred on 0: 128 less each
    values = [round(columns[column][row] / quantum) for (row, column), quantum in zip(_ZIGZAG, _QUANTA, strict=True)]
    return values[0], _ac_bits(values[1:])


def _ac_bits(values: list[int]) -> str:
    bits, zeros = [], 0
    for value in values:
        if value == 0:
            zeros += 1
            continue
        bits += [_AC_CODES[0xF0]] * (zeros // 16)
        bits += (_AC_CODES[zeros % 16 << 4 | abs(value).bit_length()], _amplitude(value))
        zeros = 0
    return "".join(bits) + (_AC_CODES[0x00] if zeros else "")


def _dc_bits(difference: int) -> str:
    return f"{abs(difference).bit_length():04b}" + _amplitude(difference)


def _amplitude(value: int) -> str:
    """JPEG's signed numbers: as many bits as the magnitude has, negatives as the complement."""
    size = abs(value).bit_length()
    return f"{value if value > 0 else value + (1 << size) - 1:0{size}b}" if size else ""


def _stuffed(bits: str) -> bytes:
    """Bits to bytes; a zero follows each FF, so that none looks like a marker."""
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
