"""The Python interface: what it promises to scripts is small, typed, lazy, and as its documentation says."""

import asyncio
import datetime as dt
import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import market_photos
from market_photos import Archive, MarketPhotosError, State, api
from tests.archives import DAY, JPEG, NOW, ArchiveOf


@pytest.fixture
def store(tmp_path: Path) -> ArchiveOf:
    """Two returns with three photos, one of them gone; as the doctest tells them."""
    made = ArchiveOf(tmp_path)
    first = {"created_at": NOW - 3 * DAY, "refund": "REFUNDED"}
    made.add_photos(
        500_000_001, 40_000_001, [{"hash": "aa"}, {"hash": "bb", "state": "gone", "note": "404"}], **first
    )
    made.add_photos(500_000_002, 40_000_002, [{"hash": "cc"}], created_at=NOW - 2 * DAY)
    return made


def test_the_examples_in_the_documentation_are_true(store: ArchiveOf) -> None:
    finder = doctest.DocTestFinder(recurse=True)
    runner = doctest.DocTestRunner()
    for test in finder.find(api.Archive, "Archive", globs={"directory": store.archive}):
        runner.run(test)
    assert runner.tries > 3
    assert runner.failures == 0


def test_photos_have_typed_fields_and_files(store: ArchiveOf) -> None:
    (newest, older) = Archive(store.archive).returns()
    assert (newest.campaign, newest.store, newest.order) == (101, "Чайная лавка", 500_000_002)
    assert newest.created == dt.datetime.fromtimestamp(NOW - 2 * DAY, dt.UTC)
    assert newest.record["orderId"] == 500_000_002
    kept, gone = older.photos
    assert kept.path
    assert kept.path.read_bytes() == JPEG
    assert kept.path.parent == older.folder
    assert (kept.size, len(kept.sha256), kept.reason) == (len(JPEG), 64, "BAD_QUALITY")
    assert (gone.state, gone.path, gone.note) == (State.GONE, None, "404")


def test_returns_are_chosen_by_store_and_time(store: ArchiveOf, tmp_path: Path) -> None:
    ArchiveOf(tmp_path, 102, "Дом и сад").add_photos(7, 8, [{"hash": "dd"}])
    archive = Archive(str(tmp_path))
    assert archive.stores() == [101, 102]
    assert [found.order for found in archive.returns(102)] == [7]
    moment = dt.datetime.fromtimestamp(NOW - 2 * DAY, dt.UTC)
    assert [found.order for found in archive.returns(101, since=moment)] == [500_000_002]
    assert [found.order for found in archive.returns(101, until=moment)] == [500_000_001]
    with pytest.raises(MarketPhotosError, match="no store 103"):
        next(archive.returns(103))


def test_reading_creates_nothing(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "none")
    assert archive.stores() == []
    with pytest.raises(MarketPhotosError, match="no archive yet"):
        next(archive.returns())
    assert list(tmp_path.iterdir()) == []


def test_a_sync_without_a_key_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MARKET_PHOTOS_API_KEY", raising=False)
    with pytest.raises(MarketPhotosError, match="No API key"):
        asyncio.run(Archive(tmp_path).sync())


def test_everything_that_is_promised_exists_and_nothing_is_loaded_before_it_is_used() -> None:
    assert set(api.__all__) == set(market_photos.__all__) <= set(dir(market_photos))
    assert all(getattr(market_photos, name) is getattr(api, name) for name in market_photos.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        market_photos.Nothing  # noqa: B018
    code = "import sys, market_photos; print(*(name for name in sys.modules if name.startswith('market_photos.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_archive_in_object_storage_is_not_taken_for_an_empty_folder(tmp_path: Path) -> None:
    section = '[archive]\nurl = "s3://returns/market"\nendpoint = "http://127.0.0.1:1"\n'
    (tmp_path / "config.toml").write_text(section)
    with pytest.raises(MarketPhotosError, match="s3://returns/market"):
        Archive.from_config(tmp_path / "config.toml").stores()


def test_a_photo_is_opened_unless_there_is_no_file(store: ArchiveOf) -> None:
    archive = Archive(store.archive)
    kept, gone = list(archive.returns())[1].photos
    with archive.open(kept) as file:
        assert (file.read(2), file.seek(-2, 2), file.read()) == (JPEG[:2], len(JPEG) - 2, JPEG[-2:])
    with pytest.raises(MarketPhotosError, match="is gone: there is no file"):
        archive.open(gone)
    assert kept.path
    kept.path.unlink()
    with pytest.raises(FileNotFoundError):
        archive.open(kept)
