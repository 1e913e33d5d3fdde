"""Packs of evidence: whole, checkable with tools of others, and safe to open."""

import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from market_photos.archive.catalog.reader import KnownReturn, returns_numbered
from market_photos.archive.places import open_archive
from market_photos.errors import EvidenceBroken, UsageError
from market_photos.export.bag import Bag
from market_photos.export.pack import Packed, require_photos, write_pack
from market_photos.export.selection import Selection
from market_photos.settings import Archive
from tests.archives import JPEG, ArchiveOf

MADE_AT = 1_780_100_000.0
HOSTILE = """<script>alert(1)</script> "><img src=x onerror=alert(1)> {{ 7*7 }} &amp; 'x'"""


@pytest.fixture
def store(tmp_path: Path) -> ArchiveOf:
    return ArchiveOf(tmp_path / "archive", name="")


def selected(store: ArchiveOf, selection: Selection) -> list[KnownReturn]:
    found = returns_numbered(store.archive, 101, *selection)
    require_photos(found, selection)
    return found


def packed(store: ArchiveOf, selection: Selection, language: str = "ru") -> tuple[zipfile.ZipFile, Packed, bytes]:
    stream = io.BytesIO()
    found = selected(store, selection)
    result = write_pack(
        stream, open_archive(Archive(directory=store.archive)), found, selection, language=language, made_at=MADE_AT
    )
    return zipfile.ZipFile(stream), result, stream.getvalue()


def page_of(pack: zipfile.ZipFile) -> str:
    return next(pack.read(name).decode() for name in pack.namelist() if name.endswith("/index.html"))


def test_bagit_finds_the_pack_valid_and_a_changed_byte_not(store: ArchiveOf, tmp_path: Path) -> None:
    """The reference implementation validates the unpacked folder, and refuses it after any change."""
    store.add_photos(500, 41, [{"hash": "aa"}, {"hash": "Ж/../%2e"}, {"hash": "cc", "state": "gone", "note": "404"}])
    pack, _, _ = packed(store, Selection(500, ()))
    pack.extractall(tmp_path)
    check = [sys.executable, "-m", "bagit", "--validate", str(tmp_path / "order-500")]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    assert (tmp_path / "order-500/data/101/500-41/70000001-aa.jpg").read_bytes() == JPEG
    for changed in ("data/101/500-41/70000001-aa.jpg", "index.html"):
        path = tmp_path / "order-500" / changed
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + b"X")
        assert subprocess.run(check, capture_output=True, check=False).returncode == 1, changed
        path.write_bytes(whole)


def test_names_unpack_everywhere(store: ArchiveOf) -> None:
    """Plain ASCII without what Windows forbids, whatever the hash; below one folder."""
    store.add_photos(500, 41, [{"hash": name} for name in ("Ж/..", "a:b*?", "CON", "x" * 300, "%2e%2e")])
    pack, result, _ = packed(store, Selection(500, ()))
    assert result.photos == 5
    for name in pack.namelist():
        assert re.fullmatch(r"order-500/[A-Za-z0-9_~./-]+", name), name
        assert ".." not in name
        assert len(name) < 200
    assert pack.testzip() is None


def test_the_same_archive_makes_the_same_bytes(store: ArchiveOf) -> None:
    store.add_photos(500, 42, [{"hash": "bb"}, {"hash": "aa"}])
    store.add_photos(500, 41, [{"hash": "cc"}])
    assert packed(store, Selection(500, ()))[2] == packed(store, Selection(500, ()))[2]


@pytest.mark.parametrize("language", ["ru", "en"])
def test_hostile_texts_appear_as_text(store: ArchiveOf, language: str) -> None:
    """Hostile words, hashes, notes and types appear on the page as text; it allows itself no script."""
    store.add_photos(
        500, 41,
        [{"hash": HOSTILE, "type": HOSTILE}, {"hash": HOSTILE + "2", "state": "failed", "note": HOSTILE}],
        comment=HOSTILE,
    )  # fmt: skip
    store.execute("UPDATE meta SET value = ? WHERE key = 'name'", (HOSTILE,))
    page = page_of(packed(store, Selection(500, ()), language)[0])
    assert "<script" not in page
    assert "<img src=x" not in page
    assert page.count("&lt;script&gt;") >= 5
    assert "default-src 'none'" in page
    assert not re.search(r'(src|href)="(https?:)?//', page)


@pytest.mark.parametrize(
    ("suffix", "body", "is_shown"),
    [
        (".jpg", JPEG, True),
        (".png", JPEG, True),
        (".svg", b"<svg onload='alert(1)'/>", False),
        (".jpg", b"<svg onload='alert(1)'/>", False),
        (".html", JPEG, False),
        (".heic", b"\0\0\0\x18ftypheic", False),
        (".bin", b"who knows", False),
    ],
)
def test_only_plain_pictures_are_shown(store: ArchiveOf, suffix: str, body: bytes, is_shown: bool) -> None:
    """Name and bytes must both say so; anything else is a link with a word of caution."""
    store.add_photos(500, 41, [{"hash": "aa", "suffix": suffix, "body": body}])
    page = page_of(packed(store, Selection(500, ()))[0])
    assert (f'<img src="data/101/500-41/70000001-aa{suffix}"' in page) is is_shown
    assert f'<a href="data/101/500-41/70000001-aa{suffix}">' in page


def test_the_page_lists_what_is_in_the_pack_and_what_is_missing(store: ArchiveOf) -> None:
    """Words, dates and SHA-256 of what is in the pack; each photo that is not stands there with its reason."""
    store.add_photos(500, 41, [
        {"hash": "aa"}, {"hash": "f1", "state": "failed", "note": "503 four times"},
        {"hash": "g1", "state": "gone", "note": "the API has it no longer"},
        {"hash": "p1", "state": "pending"}, {"hash": "n1", "state": "pruned", "note": "on request"},
    ])  # fmt: skip
    pack, result, _ = packed(store, Selection(500, ()), "en")
    page = page_of(pack)
    assert (result.photos, len(result.absent)) == (1, 4)
    for text in (
        "Царапина во всю крышку",
        "20 Sept 2026, 14:05",
        "21 Sept 2026, 10:00",
        "REFUNDED",
        "чайник-1.7л",
    ):
        assert text in page
    for text in ("503 four times", "the API has it no longer", "not downloaded yet", "on request"):
        assert text in page
    manifest = pack.read("order-500/manifest-sha256.txt").decode()
    assert f"SHA-256: <code>{manifest.split()[0]}</code>" in page


def test_a_pack_can_hold_selected_returns_only(store: ArchiveOf) -> None:
    store.add_photos(500, 41, [{"hash": "aa"}])
    store.add_photos(500, 42, [{"hash": "bb"}])
    store.add_photos(501, 43, [{"hash": "cc"}])
    pack, result, _ = packed(store, Selection(None, (41, 43)))
    assert result.photos == 2
    assert {name.split("/")[3] for name in pack.namelist() if "/data/" in name} == {"500-41", "501-43"}


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        (Selection(999, ()), "order 999"),
        (Selection(None, (41, 77)), "return 77"),
        (Selection(500, (43,)), "order 500, return 43"),
        (Selection(502, ()), "no photos"),
    ],
)
def test_a_return_that_is_not_in_the_archive_is_an_error(store: ArchiveOf, selection: Selection, said: str) -> None:
    """A pack that lacks a requested return would be taken for complete."""
    store.add_photos(500, 41, [{"hash": "aa"}])
    store.add_photos(501, 43, [{"hash": "cc"}])
    store.add_photos(502, 44)
    with pytest.raises(UsageError, match=said) as error:
        selected(store, selection)
    assert "market-photos" in error.value.hint


@pytest.mark.parametrize("fault", ["changed", "shorter", "missing", "folder", "link"])
def test_a_changed_photo_stops_the_pack(store: ArchiveOf, fault: str) -> None:
    """No pack is better than one with a wrong photo in it; the error names the file and the next step."""
    [path] = store.add_photos(500, 41, [{"hash": "aa"}])
    if fault == "changed":
        path.write_bytes(JPEG[:-1] + b"X")
    elif fault == "shorter":
        path.write_bytes(JPEG[:-1])
    else:
        path.unlink()
    if fault == "folder":
        path.mkdir()
    if fault == "link":
        copy = path.with_name("copy")
        copy.write_bytes(JPEG)
        path.symlink_to(copy)
    with pytest.raises(EvidenceBroken) as error:
        packed(store, Selection(500, ()))
    assert error.value.exit_code == 10
    assert "verify" in error.value.hint
    assert "aa" in error.value.message


def test_more_files_than_a_plain_zip_can_hold_make_a_zip64() -> None:
    """Zip64 from 65 536 entries on."""
    stream = io.BytesIO()
    bag = Bag(stream, "big", MADE_AT)
    for number in range(65_600):
        bag.add_photo(f"data/{number}", [], 0, MADE_AT)
    bag.seal({"About": "line\nbreaks"})
    with zipfile.ZipFile(stream) as pack:
        assert len(pack.namelist()) == 65_604
        assert b"About: line breaks\n" in pack.read("big/bag-info.txt")
        assert b"Payload-Oxum: 0.65600\n" in pack.read("big/bag-info.txt")


@pytest.mark.parametrize("moment", [0.0, -1.0, 1e11])
def test_any_date_fits_into_a_zip(moment: float) -> None:
    stream = io.BytesIO()
    bag = Bag(stream, "old", MADE_AT)
    bag.add_photo("data/a.jpg", [b"x"], 1, moment)
    bag.seal({})
    assert zipfile.ZipFile(stream).read("old/data/a.jpg") == b"x"
