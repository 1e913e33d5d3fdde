"""Small pictures of strangers' photos."""

import stat
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from market_photos.browse import thumbs
from tests.browsing import picture


def made(tmp_path: Path, body: bytes, edge: int = 100) -> Path:
    (tmp_path / "photo").write_bytes(body)
    return thumbs.make(tmp_path / "photo", thumbs.cached(tmp_path, "ab" * 32, edge), edge)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_pictures_are_made_small(tmp_path: Path, kind: str) -> None:
    """In their proportions, as a JPEG, closed to others, kept by the photo's hash."""
    small = made(tmp_path, picture(kind, (400, 200)))
    with Image.open(small) as image:
        assert (image.format, image.size) == ("JPEG", (100, 50))
    assert small.is_relative_to(tmp_path / thumbs.FOLDER)
    assert stat.S_IMODE(small.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / thumbs.FOLDER).stat().st_mode) == 0o700


def test_a_picture_is_made_once(tmp_path: Path) -> None:
    small = made(tmp_path, picture())
    before = small.stat().st_ino
    assert made(tmp_path, b"changed").stat().st_ino == before


def test_a_turned_photo_stands_upright(tmp_path: Path) -> None:
    """Phones store how they were held."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40)).save(tmp_path / "turned.jpg", exif=exif)
    small = made(tmp_path, (tmp_path / "turned.jpg").read_bytes(), 40)
    with Image.open(small) as image:
        assert image.size == (20, 40)


def test_transparency_becomes_white(tmp_path: Path) -> None:
    Image.new("RGBA", (10, 10), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    with Image.open(made(tmp_path, (tmp_path / "clear.png").read_bytes())) as image:
        assert image.getpixel((5, 5)) == (255, 255, 255)


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that says it has that many pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 10_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xd8\xff\xe0 no jpeg",
        picture(size=(800, 800))[:600],
        picture("PNG")[:60],
        bomb(60_000, 60_000),
        bomb(8_000, 8_000),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"GIF89a" + b"\xff" * 50,
        b"RIFF\xff\xff\xff\xffWEBPVP8 " + b"\0" * 30,
    ],
    ids=["empty", "broken", "cut", "cut-png", "bomb", "many-pixels", "svg", "eps", "gif", "webp"],
)
def test_what_cannot_be_shown_is_told(tmp_path: Path, body: bytes) -> None:
    """And leaves nothing behind."""
    with pytest.raises(thumbs.Unshowable):
        made(tmp_path, body)
    assert not list(tmp_path.glob(f"{thumbs.FOLDER}/**/*.jpg"))
    assert not list(tmp_path.glob(f"{thumbs.FOLDER}/**/*.part"))
