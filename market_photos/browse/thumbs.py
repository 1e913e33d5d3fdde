"""Small pictures of photos, made when first asked for.

Photos come from strangers: only formats that Pillow decodes by itself, a limit on pixels before anything is decoded,
in threads of their own. What was made is kept beside the catalogue, named by the photo's SHA-256.
"""

import os
import tempfile
import warnings
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from market_photos.archive.layout import THUMBNAILS

if TYPE_CHECKING:
    from PIL import Image

FOLDER = THUMBNAILS
#: Longest edge, pixels: of a picture in a list, and of the large one on a photo's page.
THUMB, LARGE = 480, 1800
#: Pixels of a JPEG, which is scaled down while it is decoded; and of anything that is decoded whole.
MOST_JPEG_PIXELS = 220_000_000
MOST_PIXELS = 50_000_000
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")


class Unshowable(Exception):
    """No picture can be made of it: damaged, too large, or of another kind."""


def cached(store_folder: Path, sha256: str, edge: int) -> Path:
    """Where the small picture of a photo is kept."""
    return store_folder / FOLDER / sha256[:2] / f"{sha256}-{edge}.jpg"


def make(photo: Path, target: Path, edge: int) -> Path:
    """The small picture at `target`, made where it is not there. Blocks. Raises Unshowable, OSError."""
    if target.exists():
        return target
    content = _shrunk(photo, edge)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target.parent.parent.chmod(0o700)
    _write(target, content)
    return target


def _write(target: Path, content: bytes) -> None:
    """Whole or not at all; two that make the same at once do not meet."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, suffix=".part")  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _shrunk(photo: Path, edge: int) -> bytes:
    from PIL import Image, ImageOps  # noqa: PLC0415 - takes its time, and is needed only here

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow finds odd about a stranger's picture
        try:
            with Image.open(photo, formats=_FORMATS) as image:
                _require_few_pixels(image.size, MOST_JPEG_PIXELS if image.format == "JPEG" else MOST_PIXELS)
                image.draft("RGB", (edge * 2, edge * 2))
                _require_few_pixels(image.size, MOST_PIXELS)
                image.thumbnail((edge * 2, edge * 2))
                upright = _on_white(ImageOps.exif_transpose(image))
                upright.thumbnail((edge, edge))
                out = BytesIO()
                upright.save(out, "JPEG", quality=82, progressive=True)
                return out.getvalue()
        except FileNotFoundError:
            raise
        except (OSError, ValueError, TypeError, SyntaxError, EOFError, KeyError, IndexError, MemoryError) as error:
            raise Unshowable(str(error)) from error
        except (Image.DecompressionBombError, ArithmeticError, AttributeError, RuntimeError) as error:
            raise Unshowable(str(error)) from error


def _require_few_pixels(size: tuple[int, int], most: int) -> None:
    if size[0] * size[1] > most:
        raise Unshowable(f"{size[0]} × {size[1]} pixels are too many")


def _on_white(image: "Image.Image") -> "Image.Image":
    """JPEG knows neither palettes nor transparency."""
    from PIL import Image  # noqa: PLC0415

    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image.convert("RGBA"))
    return ground.convert("RGB")
