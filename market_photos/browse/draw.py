"""Draw one photo small, in a process of its own.

    python -m market_photos.browse.draw PHOTO EDGE

Write a JPEG to standard output and exit 0; or write the reason why there is none and exit 3 or 4.

Photos come from strangers, and a picture of a few kilobytes can ask its decoder for gigabytes or for minutes. So the
cost is computed from the headers before anything is decoded, and limits of the operating system hold for whatever the
headers do not show: a decoder that exceeds them dies alone.
"""

import re
import resource
import sys
import warnings
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

#: Memory that decoding may need by the headers, bytes; the process gets half as much again for itself.
MOST_BYTES = 512 * 2**20
#: Samples that the scans of a JPEG may visit, all scans together: at 0.6 ns each 1.5 s, and enough for ten scans of a
#: progressive photo of 160 megapixels.
MOST_VISITS = 2_500_000_000
#: Pixels of a JPEG, which is scaled down while it is decoded.
MOST_JPEG_PIXELS = 220_000_000
#: Processor time of the whole process, seconds.
MOST_SECONDS = 10
#: Measured peaks of Pillow 13: WebP 17.1 bytes per pixel, all others at most 9.8.
_BYTES_PER_PIXEL = {"WEBP": 17}
_OTHER_BYTES_PER_PIXEL = 10
#: Exit codes; 0 is a picture. (Python itself exits with 1.)
UNSHOWABLE, DISK_ERROR = 3, 4
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])", re.DOTALL)
_EOI, _SOS = 0xD9, 0xDA
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}


class TooCostly(ValueError):
    """Decoding would take too much memory or time."""


class JpegCost(NamedTuple):
    """What decoding a JPEG takes: ITU-T T.81, annex B; libjpeg-turbo, `jdmaster.c`."""

    coefficients: int
    """Bytes of the coefficients, which are kept whole unless one scan holds all components."""
    visits: int
    """Samples that the scans visit, where the coefficients are kept."""


def jpeg_cost(content: bytes) -> JpegCost:
    """Return the cost of a JPEG from its markers. Raises ValueError, IndexError where they are damaged."""
    frame, progressive, scans, at = b"", False, 0, 2
    while (found := _MARKER.search(content, at)) and found[1][0] != _EOI:
        marker, at = found[1][0], found.end()
        segment = content[at : at + int.from_bytes(content[at : at + 2])]
        at += max(2, len(segment))
        if marker in _FRAMES:
            frame, progressive = segment, marker in _PROGRESSIVE
        elif marker == _SOS:
            scans += 1
            if not progressive and frame and segment[2] == frame[7]:
                return JpegCost(0, 0)
    samples = _samples(frame)
    return JpegCost(2 * samples, scans * samples)


def _samples(frame: bytes) -> int:
    """Return the number of samples of all components of a frame (a SOF segment without its marker)."""
    if len(frame) < 8:
        raise ValueError("no frame")
    height, width = int.from_bytes(frame[3:5]), int.from_bytes(frame[5:7])
    factors = [(frame[9 + 3 * n] >> 4, frame[9 + 3 * n] & 15) for n in range(frame[7])]
    largest = max(across for across, _ in factors) * max(down for _, down in factors)
    if not largest:
        raise ValueError("a sampling factor of 0")
    return sum(width * height * across * down // largest for across, down in factors)


def require_affordable(size: tuple[int, int], bytes_per_pixel: int) -> None:
    """Raise TooCostly where a picture of this size, decoded whole, would take too much memory."""
    if size[0] * size[1] * bytes_per_pixel > MOST_BYTES:
        raise TooCostly(f"{size[0]} × {size[1]} pixels are too many")


def require_affordable_jpeg(size: tuple[int, int], content: bytes) -> None:
    """Raise TooCostly where decoding a JPEG, scaled down, would take too much memory or time."""
    cost = jpeg_cost(content)
    if size[0] * size[1] > MOST_JPEG_PIXELS or cost.coefficients > MOST_BYTES or cost.visits > MOST_VISITS:
        raise TooCostly(f"{size[0]} × {size[1]} pixels, {cost.visits:,} samples in all scans, are too many")


def shrunk(photo: Path, edge: int) -> bytes:
    """Return the photo as a JPEG whose longest edge is at most `edge` pixels; of an animation, the first frame.

    Raises whatever Pillow raises for a damaged picture, TooCostly, MemoryError, OSError.
    """
    from PIL import Image, ImageOps, JpegImagePlugin  # noqa: PLC0415 - after the limits are set

    Image.MAX_IMAGE_PIXELS = None  # require_affordable decides, before anything is decoded
    with Image.open(photo, formats=_FORMATS) as image:
        if isinstance(image, JpegImagePlugin.JpegImageFile):  # a phone's MPO is one, with more pictures behind
            require_affordable_jpeg(image.size, photo.read_bytes())
            image.draft("RGB", (edge * 2, edge * 2))
        require_affordable(image.size, _BYTES_PER_PIXEL.get(image.format or "", _OTHER_BYTES_PER_PIXEL))
        image.thumbnail((edge * 2, edge * 2))
        upright = _on_white(ImageOps.exif_transpose(image))
        upright.thumbnail((edge, edge))
        out = BytesIO()
        upright.save(out, "JPEG", quality=82, progressive=True)
        return out.getvalue()


def _on_white(image: "Image.Image") -> "Image.Image":
    """JPEG knows neither palettes nor transparency."""
    from PIL import Image  # noqa: PLC0415

    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image.convert("RGBA"))
    return ground.convert("RGB")


def limit_process() -> None:
    """Limit this process: memory, processor time, and no core file of a buyer's photo."""
    limits = (
        (resource.RLIMIT_AS, MOST_BYTES * 3 // 2),
        (resource.RLIMIT_CPU, MOST_SECONDS),
        (resource.RLIMIT_CORE, 0),
    )
    for name, most in limits:
        hard = resource.getrlimit(name)[1]
        with suppress(ValueError, OSError):  # macOS knows no RLIMIT_AS
            resource.setrlimit(name, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main(photo: str, edge: str) -> int:
    limit_process()
    warnings.simplefilter("ignore")  # what Pillow finds odd about a stranger's picture
    try:
        content, status = shrunk(Path(photo), int(edge)), 0
    except Exception as error:
        is_disk = isinstance(error, OSError) and error.errno  # Pillow's own have no number
        content = f"{type(error).__name__}: {error}".encode("utf-8", "replace")
        status = DISK_ERROR if is_disk else UNSHOWABLE
    sys.stdout.buffer.write(content)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
