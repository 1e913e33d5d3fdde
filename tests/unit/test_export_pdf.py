"""The page of a pack as a PDF: what it says, that its photos are those of the archive, and that it is small."""

import hashlib
import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from market_photos.archive.catalog.reader import KnownReturn, returns_numbered
from market_photos.archive.places import open_archive
from market_photos.errors import EvidenceBroken, NothingArchived, UsageError
from market_photos.export.output import output
from market_photos.export.pack import Packed, require_photos
from market_photos.export.pdf import write_pdf
from market_photos.export.selection import Selection
from market_photos.settings import Archive
from tests.archives import HOSTILE, ArchiveOf, large_jpeg, picture

MADE_AT = 1_780_100_000.0
ORDER = Selection(500, ())


@pytest.fixture
def store(tmp_path: Path) -> ArchiveOf:
    return ArchiveOf(tmp_path / "archive")


def selected(store: ArchiveOf, selection: Selection) -> list[KnownReturn]:
    found = returns_numbered(store.archive, 101, *selection)
    require_photos(found, selection)
    return found


def pdf_of(store: ArchiveOf, language: str = "ru") -> tuple[bytes, Packed]:
    stream = io.BytesIO()
    packed = write_pdf(
        stream,
        open_archive(Archive(directory=store.archive)),
        selected(store, ORDER),
        ORDER,
        language=language,
        made_at=MADE_AT,
    )
    return stream.getvalue(), packed


def text_of(content: bytes, tmp_path: Path) -> str:
    if not (program := shutil.which("pdftotext")):
        pytest.skip("no pdftotext on this machine (Debian: apt-get install poppler-utils)")
    (tmp_path / "read.pdf").write_bytes(content)
    words = [program, "-layout", str(tmp_path / "read.pdf"), "-"]
    return subprocess.run(words, capture_output=True, check=True, text=True).stdout


def test_the_pdf_says_what_the_page_says(store: ArchiveOf, tmp_path: Path) -> None:
    """Words in Cyrillic, the API's values beside them, each photo with its number and the SHA-256 of the original."""
    store.add_photos(
        500, 41,
        [{"hash": "aa", "body": picture()}, {"hash": "bb", "state": "failed", "note": "503 four times"}],
        refund="WAITING_FOR_DECISION",
    )  # fmt: skip
    content, packed = pdf_of(store)
    text = text_of(content, tmp_path)
    assert (packed.photos, len(packed.absent)) == (1, 1)
    for part in (
        "заказ 500",
        "Ждёт решения магазина (DBS)",
        "WAITING_FOR_DECISION",
        "20.09.2026 14:05",
        "Царапина во всю крышку",
        "Фото 1",
        "Фото 2. Нет в пакете: не удалось загрузить. 503 four times.",
    ):
        assert part in text
    assert hashlib.sha256(picture()).hexdigest() in text


def test_photos_are_scaled_down(store: ArchiveOf) -> None:
    body = large_jpeg(4000, 3008) + bytes(2_000_000)
    store.add_photos(500, 41, [{"hash": "aa", "body": body}])
    content, packed = pdf_of(store)
    assert packed.size == len(body)
    assert len(content) < 400_000


@pytest.mark.parametrize("body", [b"<svg onload='alert(1)'/>", b"", b"\xff\xd8\xff\xe0 no picture"])
def test_what_cannot_be_shown_is_named_with_its_hash(store: ArchiveOf, tmp_path: Path, body: bytes) -> None:
    store.add_photos(
        500, 41, [{"hash": "aa", "body": body}], comment=f"{HOSTILE} ok 😢 end{chr(10) * 200}{chr(120) * 3000}"
    )
    text = text_of(pdf_of(store, "en")[0], tmp_path)
    assert "Not shown here" in text
    assert "SHA-256:" in text
    assert "<script>alert(1)</script>" in text
    assert "ok ? end" in text


def test_a_changed_photo_stops_the_pdf(store: ArchiveOf) -> None:
    [path] = store.add_photos(500, 41, [{"hash": "aa", "body": picture()}])
    path.write_bytes(picture(color="#000000"))
    with pytest.raises(EvidenceBroken):
        pdf_of(store)


def test_an_order_without_a_photo_on_disk_is_exit_3(store: ArchiveOf) -> None:
    """It says how many photos are in which state; nothing is written."""
    store.add_photos(500, 41, [{"hash": "aa", "state": "gone", "note": "404"}, {"hash": "bb", "state": "pending"}])
    with pytest.raises(NothingArchived, match="1 gone, 1 pending") as error:
        selected(store, ORDER)
    assert error.value.exit_code == 3
    assert "sync" in error.value.hint


def test_the_same_archive_makes_the_same_pdf(store: ArchiveOf) -> None:
    store.add_photos(500, 41, [{"hash": "aa", "body": picture()}])
    assert pdf_of(store)[0] == pdf_of(store)[0]


def test_an_older_pdf_is_replaced_on_request(store: ArchiveOf, tmp_path: Path) -> None:
    store.add_photos(500, 41, [{"hash": "aa", "body": picture()}])
    target = tmp_path / "pack.pdf"
    target.write_bytes(pdf_of(store)[0])
    with output(target, store.archive, force=True) as stream:
        stream.write(b"new")
    other = tmp_path / "mine.pdf"
    other.write_bytes(b"%PDF-1.7 my only copy")
    with (
        pytest.raises(UsageError, match="no file that an export has written"),
        output(other, store.archive, force=True),
    ):
        pass


def test_a_pdf_without_its_library_says_what_to_install(store: ArchiveOf, monkeypatch: Any) -> None:
    store.add_photos(500, 41, [{"hash": "aa", "body": picture()}])
    monkeypatch.setitem(sys.modules, "fpdf", None)
    with pytest.raises(UsageError) as error:
        pdf_of(store)
    assert "pip install '.[pdf]'" in error.value.hint
