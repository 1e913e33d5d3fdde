"""Determine the type of a photo from its Content-Type and its first bytes. Pure.

The suffix is, in this order:
1. that of its media type, if it is in `_SUFFIXES`;
2. that of its first bytes, if `sniff` knows them;
3. `.bin`.

A body whose media type has known first bytes (JPEG, PNG and so on), but that begins like no image at all, is refused.
A body of any other image type is never refused for its bytes.
"""

import re
from typing import NamedTuple

#: Bytes of the beginning that `choose` needs.
HEAD_BYTES = 512

_SUFFIXES = {
    f"image/{name}": suffix
    for suffix, names in {
        ".jpg": "jpeg jpg pjpeg x-jpeg jfif jpe",
        ".png": "png x-png apng",
        ".webp": "webp",
        ".gif": "gif",
        ".heic": "heic heic-sequence",
        ".heif": "heif heif-sequence",
        ".bmp": "bmp x-bmp x-ms-bmp",
        ".tiff": "tiff tif x-tiff",
        ".avif": "avif avif-sequence",
        ".jxl": "jxl",
        ".jp2": "jp2",
        ".svg": "svg+xml",
        ".ico": "vnd.microsoft.icon x-icon",
    }.items()
    for name in names.split()
} | {"video/mp4": ".mp4", "video/quicktime": ".mov", "video/webm": ".webm"}
#: Suffix by the brand of an ISO media file; `mif1` and `msf1` name only the family.
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis"), ".heic"),
    **dict.fromkeys((b"avif", b"avis"), ".avif"),
}
_FAMILY = (b"mif1", b"msf1")
_SIGNATURES = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG\r\n\x1a\n": ".png",
    **dict.fromkeys((b"GIF87a", b"GIF89a"), ".gif"),
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), ".tiff"),
    **dict.fromkeys((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"), ".jxl"),
    b"\0\0\0\x0cjP  \r\n\x87\n": ".jp2",
}
#: Formats whose first bytes `sniff` knows.
_SNIFFED = {".jpg", ".png", ".webp", ".gif", ".heic", ".heif", ".bmp", ".tiff", ".avif", ".jxl", ".jp2"}
#: First bytes shown in a message if they are those of no image.
_SHOWN_BYTES = 24
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_BYTES = {"application/octet-stream", "binary/octet-stream", "application/binary", "application/x-download"}
UNKNOWN = ".bin"


class ImageKind(NamedTuple):
    """The suffix of a body, or why it is no photo, and anything unusual about it."""

    suffix: str = ""
    not_a_photo: str = ""
    note: str = ""


def choose(content_type: str, head: bytes) -> ImageKind:
    """Return the kind of a body from its Content-Type header, unchanged or empty, and its first bytes.

    A media type in the list decides, even if the bytes are those of another image, which is noted. A body that is
    HTML, JSON or empty, or contradicts its media type, is no photo.
    """
    media = _media_type(content_type)
    if reason := _no_photo(head, media):
        return ImageKind(not_a_photo=reason)
    if is_garbled(content_type, head):
        return ImageKind(not_a_photo=f"it is called {media} but begins with {head[:_SHOWN_BYTES]!r}")
    seen = sniff(head)
    if suffix := _SUFFIXES.get(media):
        return ImageKind(suffix, note=_disagreement(suffix, seen))
    is_named = media and media not in _BYTES
    if seen:
        return ImageKind(seen, note="" if media in _BYTES else f"Content-Type was {media or 'missing or nonsense'}")
    if is_named and not media.startswith(("image/", "video/")):
        return ImageKind(not_a_photo=f"the answer is {media}, not a photo")
    return ImageKind(
        UNKNOWN, note=f"neither Content-Type{f' {media}' if is_named else ''} nor the first bytes tell what it is"
    )


def is_garbled(content_type: str, head: bytes) -> bool:
    """Return whether the first bytes are those of no image although the Content-Type names a known format.

    HTML, JSON and empty bodies are not garbled; see `choose`.
    """
    media = _media_type(content_type)
    is_known = _SUFFIXES.get(media) in _SNIFFED and not _no_photo(head, media)
    # A container of an unknown brand, or a bitmap with unusual reserved bytes, may be an image.
    return is_known and not (sniff(head) or head[4:8] == b"ftyp" or head[:2] in (b"BM", b"BA"))


def _disagreement(suffix: str, seen: str) -> str:
    if seen == suffix or not (seen or suffix in _SNIFFED):
        return ""
    return f"header says {suffix}, bytes say {seen or 'no image that is known'}"


def sniff(head: bytes) -> str:
    """Return the suffix of the image that begins with these bytes; empty if the format is unknown."""
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    if head[:4] == b"RIFF":
        return ".webp" if head[8:12] == b"WEBP" else ""
    if head[:2] == b"BM":
        return ".bmp" if head[6:10] == b"\0\0\0\0" else ""
    return next((suffix for start, suffix in _SIGNATURES.items() if head.startswith(start)), "")


def _by_brand(head: bytes) -> str:
    """Return the suffix of an ISO media file by its major brand, else by its compatible brands."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
    known = next((_BRANDS[brand] for brand in brands if brand in _BRANDS), "")
    return known or (".heif" if any(brand in _FAMILY for brand in brands) else "")


def ends_well(suffix: str, tail: bytes, size: int, head: bytes) -> bool:
    """Return whether the end of the file proves that the image is complete.

    `tail` has the last few KiB: phones append data of their own behind the end of a JPEG.
    """
    seen = sniff(head) or suffix
    if seen == ".jpg":
        # An embedded preview has an end marker too, but the scan of the image itself begins after it.
        return tail.rfind(b"\xff\xd9") > tail.rfind(b"\xff\xda")
    if seen == ".png":
        return b"IEND\xaeB`\x82" in tail
    if seen == ".webp":
        return size >= int.from_bytes(head[4:8], "little") + 8
    if seen == ".gif":
        return tail.rstrip(b"\0").endswith(b";")
    return False


def must_end_well(head: bytes) -> bool:
    """Return whether the first bytes are so clearly a JPEG or PNG that without an end marker it was cut off."""
    if sniff(head) == ".jpg":
        following = 4 + int.from_bytes(head[4:6], "big")
        is_plain = head[6:10] == b"Exif" or head[3:4] == b"\xfe"  # a long segment of its own, or a comment
        return is_plain or head[following : following + 1] == b"\xff"
    return sniff(head) == ".png" and head[12:16] == b"IHDR"


def _media_type(content_type: str) -> str:
    """Return the media type in lower case without parameters; empty if it is invalid."""
    media = content_type.partition(";")[0].strip().lower()
    return media if _TYPE.fullmatch(media) else ""


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
