"""Draw a preview of one photo, in a separate process.

    python -m market_photos.draw PHOTO EDGE

Write a JPEG to standard output and exit with 0, or write the reason for a failure and exit with 3 or 4.

Photos come from strangers, and decoding a few kilobytes can take gigabytes or minutes. The cost is computed from the
headers before anything is decoded; for what they do not show, the operating system limits the process.
"""

import os
import re
import resource
import subprocess
import sys
import warnings
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

#: Memory in bytes that decoding may take according to the headers. The whole process gets half as much again.
MAX_BYTES = 512 * 2**20
#: Samples that all scans of a JPEG may visit together: 1.5 s at 0.6 ns each, enough for ten scans of a progressive
#: photo of 160 megapixels.
MAX_VISITS = 2_500_000_000
#: Pixels of a JPEG; it is scaled down while it is decoded.
MAX_JPEG_PIXELS = 220_000_000
#: Processor time of the process in seconds.
MAX_SECONDS = 10
#: Peak memory measured with Pillow 13: WebP 17.1 bytes per pixel, other formats at most 9.8.
_BYTES_PER_PIXEL = {"WEBP": 17}
_OTHER_BYTES_PER_PIXEL = 10
#: Seconds that the process may take, on a slow disk or a busy machine too.
MAX_WAIT = 60
#: The environment of the process: what a program needs to start, without the key.
_ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
_MODULE = "market_photos.draw"
#: Exit codes. Python itself exits with 1.
UNSHOWABLE, DISK_ERROR = 3, 4
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])", re.DOTALL)
_EOI, _SOS = 0xD9, 0xDA
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}


class Unshowable(Exception):
    """The photo cannot be drawn: it is damaged, too costly, or of another kind."""


class TooCostly(ValueError):
    """Decoding would take too much memory or time."""


class JpegCost(NamedTuple):
    """The cost of decoding a JPEG (ITU-T T.81, annex B; libjpeg-turbo, `jdmaster.c`).

    Both numbers are 0 if the first scan contains all components, which are then decoded row by row.
    """

    coefficients: int
    """Bytes of memory for the coefficients."""
    visits: int
    """Samples that all scans visit."""


def jpeg_cost(content: bytes) -> JpegCost:
    """Return the cost of a JPEG. Raises ValueError or IndexError where its markers are damaged."""
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
    """Return the number of samples in all components of a frame (a SOF segment without its marker)."""
    if len(frame) < 8:
        raise ValueError("no frame")
    height, width = int.from_bytes(frame[3:5]), int.from_bytes(frame[5:7])
    factors = [(frame[9 + 3 * n] >> 4, frame[9 + 3 * n] & 15) for n in range(frame[7])]
    largest = max(across for across, _ in factors) * max(down for _, down in factors)
    if not largest:
        raise ValueError("a sampling factor of 0")
    return sum(width * height * across * down // largest for across, down in factors)


def _require_affordable(image: "Image.Image") -> None:
    """Raise TooCostly where decoding the whole picture would take too much memory."""
    if image.width * image.height * _BYTES_PER_PIXEL.get(image.format or "", _OTHER_BYTES_PER_PIXEL) > MAX_BYTES:
        raise TooCostly(f"{image.width} × {image.height} pixels are too many")


def _require_affordable_jpeg(image: "Image.Image", content: bytes) -> None:
    """Raise TooCostly where decoding a JPEG, scaled down, would take too much memory or time."""
    cost, pixels = jpeg_cost(content), image.width * image.height
    if pixels > MAX_JPEG_PIXELS or cost.coefficients > MAX_BYTES or cost.visits > MAX_VISITS:
        raise TooCostly(f"{image.width} × {image.height} pixels, {cost.visits:,} samples in all scans, are too many")


def shrunk(photo: Path, edge: int) -> bytes:
    """Return the photo, or the first frame of an animation, as a JPEG of at most `edge` pixels in each direction.

    Raises TooCostly, MemoryError, OSError, and what Pillow raises for a damaged picture.
    """
    from PIL import Image, ImageOps, JpegImagePlugin  # noqa: PLC0415 - after the limits are set

    Image.MAX_IMAGE_PIXELS = None  # replaced by _require_affordable
    with Image.open(photo, formats=_FORMATS) as image:
        if isinstance(image, JpegImagePlugin.JpegImageFile):  # or a phone's MPO, which has more pictures
            _require_affordable_jpeg(image, photo.read_bytes())
            image.draft("RGB", (edge * 2, edge * 2))
        _require_affordable(image)
        image.thumbnail((edge * 2, edge * 2))
        upright = _on_white(ImageOps.exif_transpose(image))
        upright.thumbnail((edge, edge))
        out = BytesIO()
        upright.save(out, "JPEG", quality=82, progressive=True)
        return out.getvalue()


def _on_white(image: "Image.Image") -> "Image.Image":
    """Return the picture as JPEG can store it, without palette and transparency."""
    from PIL import Image  # noqa: PLC0415

    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image.convert("RGBA"))
    return ground.convert("RGB")


def _limit_process() -> None:
    """Limit the memory and processor time of this process, and let it leave no core file with a buyer's photo."""
    limits = (
        (resource.RLIMIT_AS, MAX_BYTES * 3 // 2),
        (resource.RLIMIT_CPU, MAX_SECONDS),
        (resource.RLIMIT_CORE, 0),
    )
    for name, limit in limits:
        hard = resource.getrlimit(name)[1]
        with suppress(ValueError, OSError):  # macOS has no RLIMIT_AS
            resource.setrlimit(name, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def drawn(photo: Path, edge: int) -> bytes:
    """Return what `shrunk` does, from a process of its own. Blocks. Raises Unshowable, OSError."""
    command = [sys.executable, "-P", "-m", _MODULE, str(photo.absolute()), str(edge)]
    try:
        process = subprocess.run(
            command,
            env={**_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=MAX_WAIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unshowable(f"drawing took more than {MAX_WAIT} s") from error
    code = process.returncode
    if not code:
        return process.stdout
    if code < 0:
        raise Unshowable(f"drawing was ended by signal {-code}: too much memory or time")
    reason = process.stdout.decode("utf-8", "replace")
    if code == UNSHOWABLE and reason:
        raise Unshowable(reason)
    raise OSError(f"drawing failed: {reason or f'exit {code}'}")


def main(photo: str, edge: str) -> int:
    """Write the preview, or the reason for a failure, to standard output, and return the exit code."""
    _limit_process()
    warnings.simplefilter("ignore")  # about odd pictures, from Pillow
    try:
        content, status = shrunk(Path(photo), int(edge)), 0
    except Exception as error:
        is_disk = isinstance(error, OSError) and error.errno  # errors of Pillow have no number
        content = f"{type(error).__name__}: {error}".encode("utf-8", "replace")
        status = DISK_ERROR if is_disk else UNSHOWABLE
    sys.stdout.buffer.write(content)
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
