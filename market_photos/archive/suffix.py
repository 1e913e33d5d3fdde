"""What a photo is: from its Content-Type, checked against its first bytes. Pure."""

import mimetypes
import re
from functools import cache
from typing import NamedTuple

#: Bytes of the beginning that `choose` wants to see.
HEAD_BYTES = 512

_SUFFIXES = {
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/pjpeg": ".jpg",
    "image/x-jpeg": ".jpg",
    "image/jfif": ".jpg",
    "image/jpe": ".jpg",
    "image/png": ".png",
    "image/x-png": ".png",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/heic": ".heic",
    "image/heic-sequence": ".heic",
    "image/heif": ".heif",
    "image/heif-sequence": ".heif",
    "image/bmp": ".bmp",
    "image/x-bmp": ".bmp",
    "image/x-ms-bmp": ".bmp",
    "image/tiff": ".tiff",
    "image/tif": ".tiff",
    "image/x-tiff": ".tiff",
    "image/avif": ".avif",
    "image/avif-sequence": ".avif",
}
#: Suffix by the brand of an ISO media file; `mif1` and `msf1` say only that it is one of the family.
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"), ".heic"),
    **dict.fromkeys((b"avif", b"avis"), ".avif"),
}
_FAMILY = (b"mif1", b"msf1")
#: Formats whose first bytes `sniff` knows.
_SNIFFED = {".jpg", ".png", ".webp", ".gif", ".heic", ".heif", ".bmp", ".tiff", ".avif"}
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_BYTES = {"application/octet-stream", "binary/octet-stream", "application/binary", "application/x-download"}
UNKNOWN = ".bin"


class Kind(NamedTuple):
    """What to do with a body: a suffix, or a reason why it is no photo; and what is odd about it."""

    suffix: str = ""
    not_a_photo: str = ""
    note: str = ""


def choose(content_type: str, head: bytes) -> Kind:
    """The suffix of a photo by its Content-Type header (as it came, may be empty) and its first bytes.

    The header decides where it names an image, even when the bytes disagree (that is noted). A body that is HTML,
    JSON or empty is no photo, whatever the header says.
    """
    media = _media_type(content_type)
    if reason := _no_photo(head, media):
        return Kind(not_a_photo=reason)
    seen = sniff(head)
    if media.startswith(("image/", "video/")):
        suffix = _registered(media)
        return Kind(suffix, note=_disagreement(suffix, seen))
    if seen:
        return Kind(seen, note="" if media in _BYTES else f"Content-Type was {media or 'missing or nonsense'}")
    if media and media not in _BYTES:
        return Kind(not_a_photo=f"the answer is {media}, not a photo")
    return Kind(UNKNOWN, note="neither Content-Type nor the first bytes tell what it is")


def _disagreement(suffix: str, seen: str) -> str:
    if seen == suffix or not (seen or suffix in _SNIFFED):
        return ""
    return f"header says {suffix}, bytes say {seen or 'no image that is known'}"


def sniff(head: bytes) -> str:
    """The suffix of the image that begins with these bytes; empty where it is none that we know."""
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head[:4] == b"RIFF":
        return ".webp" if head[8:12] == b"WEBP" else ""
    if head[:2] == b"BM":
        return ".bmp" if head[6:10] == b"\0\0\0\0" else ""
    signatures = {
        b"\xff\xd8\xff": ".jpg",
        b"\x89PNG\r\n\x1a\n": ".png",
        b"GIF87a": ".gif",
        b"GIF89a": ".gif",
        b"II*\0": ".tiff",
        b"MM\0*": ".tiff",
        b"II+\0": ".tiff",
        b"MM\0+": ".tiff",
    }
    return next((suffix for start, suffix in signatures.items() if head.startswith(start)), "")


def _by_brand(head: bytes) -> str:
    """The major brand of an ISO media file, then those that it is compatible with."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
    known = next((_BRANDS[brand] for brand in brands if brand in _BRANDS), "")
    return known or (".heif" if any(brand in _FAMILY for brand in brands) else "")


def ends_well(suffix: str, tail: bytes, size: int, head: bytes) -> bool:
    """Whether the end of the file shows that the image is complete, where its format can show it.

    `tail`: the last bytes (a few KiB: phones append data of their own behind a JPEG's end).
    """
    seen = sniff(head) or suffix
    if seen == ".jpg":
        # The preview inside an image has an end as well, but the image's own scan begins after it.
        return tail.rfind(b"\xff\xd9") > tail.rfind(b"\xff\xda")
    if seen == ".png":
        return b"IEND\xaeB`\x82" in tail
    if seen == ".webp":
        return size >= int.from_bytes(head[4:8], "little") + 8
    if seen == ".gif":
        return tail.rstrip(b"\0").endswith(b";")
    return False


def must_end_well(head: bytes) -> bool:
    """Whether it is so plainly a JPEG or PNG, by its first bytes, that without its end marker it has been cut off."""
    if sniff(head) == ".jpg":
        following = 4 + int.from_bytes(head[4:6], "big")
        is_plain = head[6:10] == b"Exif" or head[3:4] == b"\xfe"  # a long segment of its own, or a comment
        return is_plain or head[following : following + 1] == b"\xff"
    return sniff(head) == ".png" and head[12:16] == b"IHDR"


def _media_type(content_type: str) -> str:
    """Lower case, without parameters; empty for nonsense."""
    media = content_type.partition(";")[0].strip().lower()
    return media if _TYPE.fullmatch(media) else ""


def _registered(media: str) -> str:
    known = _SUFFIXES.get(media) or _registry().guess_extension(media, strict=False)
    subtype = re.sub(r"[^a-z0-9]", "", media.partition("/")[2].rpartition(".")[2].removeprefix("x-"))[:10]
    return known or (f".{subtype}" if subtype else UNKNOWN)


@cache
def _registry() -> mimetypes.MimeTypes:
    """The standard library's own table: the machine's mime.types must not change where a photo lives."""
    return mimetypes.MimeTypes(filenames=())


def _no_photo(head: bytes, media: str) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not text:
        return "the answer is empty"
    if text.startswith((b"{", b"[")):
        return "the answer is JSON, not a photo"
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "the answer is HTML, not a photo"
    if text.startswith(b"<") and media != "image/svg+xml":
        return "the answer is markup, not a photo"
    return ""
