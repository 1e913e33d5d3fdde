"""The Content-Type decides the suffix and is checked against the first bytes; only images become files."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_photos.archive.image_type import HEAD_BYTES, UNKNOWN, choose, ends_well, is_garbled, sniff

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
GIF = b"GIF89a\1\0\1\0"
WEBP = b"RIFF\x24\0\0\0WEBPVP8 "
BMP = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0"
TIFF = b"II*\0\x08\0\0\0"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0mif1avifmiaf"
OTHER = b"\1\2\3\4 not known"


@pytest.mark.parametrize(
    ("content_type", "head", "suffix"),
    [
        ("image/jpeg", JPEG, ".jpg"),
        ("IMAGE/JPEG", JPEG, ".jpg"),
        (" image/jpeg ; charset=utf-8", JPEG, ".jpg"),
        ("image/jpeg;", JPEG, ".jpg"),
        ("image/jpg", JPEG, ".jpg"),
        ("image/pjpeg", JPEG, ".jpg"),
        ("image/x-jpeg", JPEG, ".jpg"),
        ("image/jfif", JPEG, ".jpg"),
        ("image/png", PNG, ".png"),
        ("image/x-png", PNG, ".png"),
        ("image/webp", WEBP, ".webp"),
        ("image/gif", GIF, ".gif"),
        ("image/gif", b"GIF87a", ".gif"),
        ("image/heic", HEIC, ".heic"),
        ("image/heif", b"\0\0\0\x14ftypmif1\0\0\0\0miaf", ".heif"),
        ("image/bmp", BMP, ".bmp"),
        ("image/x-ms-bmp", BMP, ".bmp"),
        ("image/tiff", TIFF, ".tiff"),
        ("image/tif", b"MM\0*\0\0\0\x08", ".tiff"),
        ("image/tiff", b"II+\0\x08\0\0\0", ".tiff"),
        ("image/avif", AVIF, ".avif"),
        ("image/svg+xml", b'<?xml version="1.0"?><svg/>', ".svg"),
        ("image/svg+xml", b"<svg/>", ".svg"),
        ("image/vnd.microsoft.icon", OTHER, ".ico"),
        ("image/x-icon", OTHER, ".ico"),
        ("image/jxl", b"\xff\x0a\xfa", ".jxl"),
        ("image/jxl", b"\0\0\0\x0cJXL \r\n\x87\n", ".jxl"),
        ("image/jp2", b"\0\0\0\x0cjP  \r\n\x87\n", ".jp2"),
        ("video/mp4", b"\0\0\0\x18ftypisom\0\0\0\0isom", ".mp4"),
        ("application/octet-stream", JPEG, ".jpg"),
        ("binary/octet-stream", PNG, ".png"),
        ("Application/Octet-Stream; x=y", AVIF, ".avif"),
    ],
)
def test_the_content_type_decides_the_suffix(content_type: str, head: bytes, suffix: str) -> None:
    """Parameters, case and odd spellings are ignored."""
    assert choose(content_type, head) == (suffix, "", "")


@pytest.mark.parametrize(
    ("content_type", "head", "suffix", "note"),
    [
        ("image/jpeg", PNG, ".jpg", "header says .jpg, bytes say .png"),
        ("image/png", JPEG, ".png", "header says .png, bytes say .jpg"),
        ("image/x-future", JPEG, ".jpg", "Content-Type was image/x-future"),
        (
            "image/x-future",
            OTHER,
            UNKNOWN,
            "neither Content-Type image/x-future nor the first bytes tell what it is",
        ),
        ("image/part", OTHER, UNKNOWN, "neither Content-Type image/part nor the first bytes tell what it is"),
        ("image/json", PNG, ".png", "Content-Type was image/json"),
        ("image/x-+", OTHER, UNKNOWN, "neither Content-Type image/x-+ nor the first bytes tell what it is"),
        ("video/x-new", OTHER, UNKNOWN, "neither Content-Type video/x-new nor the first bytes tell what it is"),
        ("image/jpeg", b"\0\0\0\x0cjP  \r\n\x87\n", ".jpg", "header says .jpg, bytes say .jp2"),
        ("image/heic", HEIC[:8], ".heic", "header says .heic, bytes say no image that is known"),
        ("image/avif", b"\0\0\0\x18ftypnew1", ".avif", "header says .avif, bytes say no image that is known"),
        ("image/bmp", b"BM\x46\0\0\0\1\0\0\0", ".bmp", "header says .bmp, bytes say no image that is known"),
        ("", JPEG, ".jpg", "Content-Type was missing or nonsense"),
        ("image/*", JPEG, ".jpg", "Content-Type was missing or nonsense"),
        ("image", JPEG, ".jpg", "Content-Type was missing or nonsense"),
        ("image/", JPEG, ".jpg", "Content-Type was missing or nonsense"),
        ('"image/png"', JPEG, ".jpg", "Content-Type was missing or nonsense"),
        ("image/png, image/png", PNG, ".png", "Content-Type was missing or nonsense"),
        ("../../etc", JPEG, ".jpg", "Content-Type was missing or nonsense"),
        ("картинка/png", JPEG, ".jpg", "Content-Type was missing or nonsense"),
        ("text/plain", JPEG, ".jpg", "Content-Type was text/plain"),
        ("text/html", PNG, ".png", "Content-Type was text/html"),
        ("", OTHER, UNKNOWN, "neither Content-Type nor the first bytes tell what it is"),
        ("application/octet-stream", OTHER, UNKNOWN, "neither Content-Type nor the first bytes tell what it is"),
    ],
)
def test_a_contradiction_between_type_and_bytes_is_noted(
    content_type: str, head: bytes, suffix: str, note: str
) -> None:
    """Where header and bytes disagree the header's suffix is kept; without a header the bytes tell."""
    assert choose(content_type, head) == (suffix, "", note)


@pytest.mark.parametrize(
    ("content_type", "head", "reason"),
    [
        ("image/jpeg", b"", "empty"),
        ("image/jpeg", b" \r\n\t", "empty"),
        ("image/jpeg", b"\xef\xbb\xbf", "empty"),
        ("image/jpeg", b'{"status":"ERROR"}', "JSON"),
        ("image/jpeg", b'\xef\xbb\xbf\n {"status":"ERROR"}', "JSON"),
        ("image/png", b"[]", "JSON"),
        ("image/jpeg", b"<!DOCTYPE html><html>", "HTML"),
        ("image/jpeg", b"\n<HTML>", "HTML"),
        ("image/svg+xml", b"<html>", "HTML"),
        ("image/jpeg", b"<?xml version='1.0'?><Error/>", "markup"),
        ("image/jpeg", b"<svg/>", "markup"),
        ("", b"<Error>", "markup"),
        ("text/html", OTHER, "text/html"),
        ("application/json; charset=utf-8", b"null", "application/json"),
        ("text/plain", b"Not found", "text/plain"),
        ("application/pdf", b"%PDF-1.7", "application/pdf"),
        ("image/jpeg", b"Internal error", "called image/jpeg but begins with b'Internal error'"),
        ("image/png", b"\x1f\x8b\x08gzip", r"called image/png but begins with b'\x1f\x8b\x08gzip'"),
        ("image/heic", b"\xff\xd8 and no more", "called image/heic but begins with"),
        ("image/tiff", b"\0" * 500, "called image/tiff but begins with"),
    ],
)
def test_an_answer_without_an_image_is_refused_with_the_reason(content_type: str, head: bytes, reason: str) -> None:
    """HTML, JSON, markup and nothing are failures with their reason, whatever the header says."""
    kind = choose(content_type, head)
    assert kind.suffix == ""
    assert reason in kind.not_a_photo


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", ".avif"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", ".heic"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0avi", ".heif"),
        (b"\0\0\0\x10ftypmif1\0\0\0\0avif", ".heif"),  # behind the box: no brand
        (b"\0\0\0\0ftypavif", ".avif"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", ""),
        (b"RIFF\x24\0\0\0WAVE", ""),
        (b"BM are the first letters of a text", ""),
        (b"\xff\xd8", ""),
        (b"", ""),
    ],
)
def test_first_bytes_identify_the_format(head: bytes, suffix: str) -> None:
    """The brands that a file is compatible with count where its own says no more than the family."""
    assert sniff(head) == suffix


PREVIEW = b"\xff\xe1Exif\xff\xd8..\xff\xda..\xff\xd9"


@pytest.mark.parametrize(
    ("suffix", "head", "tail", "size", "complete"),
    [
        (".jpg", JPEG, JPEG + b"\xff\xda data \xff\xd9", 99, True),
        (".jpg", JPEG, b"data \xff\xd9", 9_000_000, True),
        (".jpg", JPEG, b"data \xff\xd9 what phones append", 9_000_000, True),
        (".jpg", JPEG, JPEG + b"\xff\xda data", 99, False),
        (".jpg", JPEG, b"only data", 9_000_000, False),
        (".jpg", JPEG, JPEG + PREVIEW + b"\xff\xda data \xff\xd9", 99, True),
        (".jpg", JPEG, JPEG + PREVIEW + b"\xff\xda cut o", 99, False),
        (".png", PNG, b"..IEND\xaeB`\x82", 99, True),
        (".png", PNG, b"..IEND\xaeB`", 99, False),
        (".jpg", PNG, b"..IEND\xaeB`\x82", 99, True),  # the bytes say what it is
        (".png", JPEG, b"..IEND\xaeB`\x82", 99, False),
        (".webp", WEBP, b"", 0x24 + 8, True),
        (".webp", WEBP, b"", 0x24 + 7, False),
        (".gif", GIF, b"..;", 99, True),
        (".gif", GIF, b"..;\0\0", 99, True),
        (".gif", GIF, b"..", 99, False),
        (".heic", HEIC, b"..", 99, False),
        (".jpg", OTHER, b"..\xff\xd9", 99, True),
    ],
)
def test_a_cut_image_is_recognised_by_its_end(
    suffix: str, head: bytes, tail: bytes, size: int, complete: bool
) -> None:
    """A cut image is known where its format shows it; the end of a preview inside it proves nothing."""
    assert ends_well(suffix, tail, size, head) is complete


def test_only_garbled_bytes_are_worth_another_request() -> None:
    """HTML, JSON and nothing are answers; other bytes under an image's name may have been garbled on the way."""
    assert is_garbled("image/jpeg", b"Internal error")
    assert not any(is_garbled("image/jpeg", head) for head in (b"", b"{}", b"<html>", JPEG, PNG, HEIC))
    assert not any(is_garbled(kind, OTHER) for kind in ("", "image/x-future", "video/mp4", "text/plain"))


TYPES = st.text() | st.builds("{}/{}".format, st.sampled_from(["image", "video", "text", ""]), st.text())
HEADS = st.binary(max_size=HEAD_BYTES) | st.builds(
    lambda start, rest: (start + rest)[:HEAD_BYTES],
    st.sampled_from([JPEG, PNG, GIF, WEBP, BMP, TIFF, HEIC, AVIF, b"{", b"<", b"\0\0\0\x18ftyp", b"RIFF"]),
    st.binary(),
)


@given(TYPES, HEADS)
def test_any_answer_has_a_suffix_or_a_reason(content_type: str, head: bytes) -> None:
    """The suffix fits any file system."""
    kind = choose(content_type, head)
    assert bool(kind.suffix) != bool(kind.not_a_photo)
    assert not kind.suffix or re.fullmatch(r"\.[a-z0-9]{1,10}", kind.suffix)
    assert kind.suffix not in {".part", ".json"}


@given(HEADS, st.binary(), st.integers(0))
def test_any_end_is_judged(head: bytes, tail: bytes, size: int) -> None:
    """No bytes cause an error."""
    assert ends_well(".jpg", tail, size, head) in {True, False}
