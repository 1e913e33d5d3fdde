"""Small pictures of strangers' photos."""

import stat
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from market_photos import draw
from market_photos.browse import thumbs
from tests.archives import large_jpeg, opened, picture, progressive


def made(tmp_path: Path, body: bytes, edge: int = 100) -> Path:
    (tmp_path / "photo").write_bytes(body)
    with opened(tmp_path / "photo") as photo:
        return thumbs.Thumbnails().make(photo, thumbs.cached(tmp_path, "ab" * 32, edge), edge)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_thumbnails_keep_their_proportions_and_are_private(tmp_path: Path, kind: str) -> None:
    """In their proportions, as a JPEG, closed to others, kept by the photo's hash."""
    small = made(tmp_path, picture(kind, (400, 200)))
    with Image.open(small) as image:
        assert (image.format, image.size) == ("JPEG", (100, 50))
    assert small.is_relative_to(tmp_path / thumbs.FOLDER)
    assert stat.S_IMODE(small.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / thumbs.FOLDER).stat().st_mode) == 0o700


def test_a_thumbnail_is_made_once(tmp_path: Path) -> None:
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
        partial(progressive, 16_000, 12_000, scans=1),
        partial(progressive, 1_000, 1_000, scans=3_000),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"GIF89a" + b"\xff" * 50,
        b"RIFF\xff\xff\xff\xffWEBPVP8 " + b"\0" * 30,
    ],
    ids=[
        "empty",
        "broken",
        "cut",
        "cut-png",
        "bomb",
        "many-pixels",
        "much-memory",
        "many-scans",
        "svg",
        "eps",
        "gif",
        "webp",
    ],
)
def test_a_file_that_cannot_be_drawn_is_reported_with_the_reason(
    tmp_path: Path, body: bytes | Callable[[], bytes]
) -> None:
    with pytest.raises(draw.Unshowable):
        made(tmp_path, body() if callable(body) else body)
    assert not list(tmp_path.glob(f"{thumbs.FOLDER}/**/*.jpg"))
    assert not list(tmp_path.glob(f"{thumbs.FOLDER}/**/*.part"))


@pytest.mark.parametrize(
    "make",
    [
        partial(bomb, 30_000, 30_000),
        partial(progressive, 16_000, 12_000, scans=1),
        partial(progressive, 2_000, 1_000, scans=3_000),
    ],
    ids=["png", "much-memory", "many-scans"],
)
def test_a_picture_refused_by_its_headers_costs_neither_memory_nor_time(
    tmp_path: Path, make: Callable[[], bytes]
) -> None:
    """Peak memory and processor time of the whole process, most of them Python's own."""
    (tmp_path / "photo").write_bytes(make())
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "photo"), "480"]
    done = subprocess.run(command, capture_output=True, check=False)
    kilobytes, seconds = done.stderr.split()
    assert done.returncode == draw.UNSHOWABLE
    assert int(kilobytes) < 100_000
    assert float(seconds) < 2


#: ru_maxrss would tell the memory of this process, from before exec.
MEASURED = """
import re, sys, time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from market_photos import draw
status = draw.main(*sys.argv[1:])
peak = re.search(r"VmHWM:\\s*([0-9]+) kB", Path("/proc/self/status").read_text())[1]
print(peak, time.process_time(), file=sys.stderr)
sys.exit(status)
"""


def test_the_cost_of_a_jpeg_is_known_before_it_is_decoded() -> None:
    """Nothing is kept for one scan of all components; else two bytes a sample, and each scan visits each."""
    assert draw.jpeg_cost(picture(size=(640, 480))) == (0, 0)
    samples = 640 * 480 * 3 // 2
    assert draw.jpeg_cost(progressive(640, 480, scans=50)) == (2 * samples, 60 * samples)


@pytest.mark.parametrize("body", [b"", b"\xff\xd8", b"\xff\xd8\xff\xc0\x00\x04\x08\x00", b"\xff" * 1000])
def test_a_jpeg_without_a_frame_is_an_error(body: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        draw.jpeg_cost(body)


def test_a_photo_of_200_megapixels_is_shown(tmp_path: Path) -> None:
    """Phones write them with one scan; the JPEG is scaled down while it is decoded."""
    with Image.open(made(tmp_path, large_jpeg(16_320, 12_240), 480)) as image:
        assert image.size == (480, 360)


def test_a_photo_with_more_pictures_behind_it_is_drawn_as_a_jpeg(tmp_path: Path) -> None:
    """Phones add a gain map or a second view; decoded whole, it would be too large."""
    first, second = Image.new("L", (12_000, 9_000)), Image.new("L", (8, 8))
    first.save(tmp_path / "photo.mpo", "MPO", save_all=True, append_images=[second])
    with Image.open(made(tmp_path, (tmp_path / "photo.mpo").read_bytes())) as image:
        assert image.size == (100, 75)


def test_an_animation_is_shown_as_its_first_picture(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 20), color) for color in ("#ff0000", "#00ff00")]
    for kind in ("GIF", "WEBP", "PNG", "AVIF"):
        frames[0].save(tmp_path / "moving", kind, save_all=True, append_images=frames[1:])
        (tmp_path / kind).mkdir()
        with Image.open(made(tmp_path / kind, (tmp_path / "moving").read_bytes())) as image:
            red, green, blue = image.convert("RGB").getpixel((5, 5))  # type: ignore[misc]
        assert (red > 200, green < 60, blue < 60) == (True, True, True), kind


@pytest.mark.parametrize(
    ("name", "value", "told"), [("MAX_SECONDS", 1, "signal 24"), ("MAX_BYTES", 2**25, "MemoryError")]
)
def test_a_decoder_that_takes_too_much_is_ended_by_the_system(
    tmp_path: Path, name: str, value: int, told: str
) -> None:
    """A decoder that computes or allocates more than it may, whatever made it."""
    (tmp_path / "endless.py").write_text(ENDLESS.format(name=name, value=value, body=BODIES[name]))
    done = subprocess.run([sys.executable, tmp_path / "endless.py"], capture_output=True, text=True, check=False)
    assert told in (f"signal {-done.returncode}" if done.returncode < 0 else done.stdout)


ENDLESS = """
import sys
from market_photos import draw
def shrunk(photo, edge):
    {body}
draw.{name} = {value}
draw.shrunk = shrunk
sys.exit(draw.main("photo", "9"))
"""
BODIES = {"MAX_SECONDS": "while True: pass", "MAX_BYTES": "return bytes(2**27)"}


def test_a_picture_that_cannot_be_drawn_is_tried_once_until_it_changes(tmp_path: Path) -> None:
    """An attempt would leave its mark: the target appears as soon as the photo can be drawn."""
    photo, target = tmp_path / "photo", thumbs.cached(tmp_path, "ab" * 32, 100)
    photo.write_bytes(b"damaged")
    thumbnails = thumbs.Thumbnails()
    with opened(photo) as damaged:
        with pytest.raises(thumbs.NotDrawn):
            thumbnails.kept(damaged, target, 100)
        for look in (thumbnails.make, thumbnails.kept):
            with pytest.raises(draw.Unshowable):
                look(damaged, target, 100)
    photo.write_bytes(picture())
    with opened(photo) as mended:
        assert thumbnails.make(mended, target, 100) == target == thumbnails.kept(mended, target, 100)


def test_the_drawing_process_receives_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor anything else of the environment that it does not need."""
    seen = tmp_path / "seen"
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nenv > '{seen}'\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("MARKET_PHOTOS_MARKET__API_KEY", "ACMA:secret")
    made(tmp_path, picture())
    assert "PYTHONPATH" in seen.read_text()
    assert "ACMA" not in seen.read_text()
