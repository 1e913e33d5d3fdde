"""A catalogue that is lost, damaged, foreign, newer or locked is not opened, and the error names the next step."""

import json
import os
import resource
import shutil
import sqlite3
import stat
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.errors import OPEN_FILES, unusable
from market_photos.archive.catalog.photos import State, Tally
from market_photos.archive.catalog.reader import open_reader
from market_photos.archive.catalog.record_codec import unpack
from market_photos.archive.catalog.schema import APPLICATION_ID, VERSION
from market_photos.archive.layout import CATALOG_NAME
from market_photos.errors import ArchiveUnwritable, CatalogDamaged, CatalogUnusable, ExitCode
from tests.unit.worlds import CAMPAIGN, STORED, ToldClock, a_return


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store's folder with 300 photos in the catalogue, one of them archived, and its file."""
    folder = tmp_path / "7"
    (folder / "photos/2026-01/1-1").mkdir(parents=True)
    (folder / "photos/2026-01/1-1/10-h0.jpg").write_bytes(b"x" * 1000)
    shutil.move(folder / "photos", tmp_path / "photos")
    with Catalog(folder, CAMPAIGN, ToldClock()) as catalog:
        catalog.returns.record_page([a_return(n, *(f"h{m}" for m in range(10)), note="n" * 500) for n in range(30)])
        claim = catalog.photos.claim()
        assert claim is not None
        catalog.photos.record_archived(claim, STORED)
    shutil.move(tmp_path / "photos", folder / "photos")
    return folder


def count(folder: Path) -> int:
    """Open the catalogue and read all of it."""
    with Catalog(folder, CAMPAIGN, ToldClock(), busy_seconds=0.01) as catalog:
        photos = sum(tally.photos for tally in catalog.photos.tally().values())
        catalog.photos.claim()
        catalog.returns.outdated_records(1000)
        for row in range(1, 31):
            catalog.returns.unsaved_record(row)
        catalog.requests.past_requests()
        return photos


def overwritten(start: int, length: int | None = None) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        end = len(content) if length is None else start + length
        content[start:end] = b"garbage " * ((end - start) // 8)
        path.write_bytes(content)

    return damage


def cut_to(size: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.truncate(size)

    return damage


def halved(path: Path) -> None:
    cut_to(path.stat().st_size // 2)(path)


def foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photos(id)")
    connection.close()


def newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.execute("ALTER TABLE photos ADD COLUMN colour TEXT")
    connection.close()


def before_the_first_release(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA application_id = {0x4D504831}")
    connection.execute("PRAGMA user_version = 2")
    connection.close()


def misnumbered(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()


def another_stores(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = '8' WHERE key = 'campaign'")
    connection.commit()
    connection.close()


def without_a_table(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE requests")
    connection.close()


def damaged_records(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE returns SET record = x'00112233'")
    connection.commit()
    connection.close()


def emptied(path: Path) -> None:
    """Leave the file without its write-ahead log, as a careless copy does."""
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


@pytest.mark.parametrize(
    ("damage", "hint"),
    [
        (Path.unlink, "rebuild"),
        (emptied, "rebuild"),
        (cut_to(0), "rebuild"),
        (cut_to(10), "rebuild"),
        (cut_to(100), "rebuild"),
        (cut_to(4096), "rebuild"),
        (cut_to(5000), "rebuild"),
        (halved, "rebuild"),
        (overwritten(0), "rebuild"),
        (overwritten(0, 16), "rebuild"),
        (overwritten(104, 800), "rebuild"),
        (overwritten(4096, 4096 * 20), "rebuild"),
        (foreign, "rebuild"),
        (without_a_table, "rebuild"),
        (damaged_records, "rebuild"),
        (before_the_first_release, "rebuild"),
        (misnumbered, "rebuild"),
        (another_stores, "rebuild --campaign 7"),
        (newer, "Update market-photos"),
    ],
)
def test_a_lost_or_damaged_catalogue_is_refused(store: Path, damage: Callable[[Path], None], hint: str) -> None:
    """No photo is downloaded again: exit 9 names the file and the next step, and the file stays as it is."""
    path = store / CATALOG_NAME
    damage(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(CatalogUnusable) as caught:
        count(store)
    assert caught.value.exit_code is ExitCode.CATALOG
    assert str(path) in caught.value.message
    assert hint in caught.value.hint
    assert (path.read_bytes() if path.exists() else None) == before


def test_a_sound_catalogue_is_opened(store: Path) -> None:
    assert count(store) == 300


def test_a_new_store_gets_a_catalogue(tmp_path: Path) -> None:
    """Without photos a catalogue is begun, also where an earlier beginning was cut short."""
    assert count(tmp_path) == 0
    (tmp_path / CATALOG_NAME).unlink()
    (tmp_path / CATALOG_NAME).touch()
    assert count(tmp_path) == 0
    with pytest.raises(ArchiveUnwritable):
        count(tmp_path / "none")


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_catalogue_locked_by_another_program_can_be_read(store: Path, lock: str) -> None:
    """Reading works, writing names the next step; once it is unlocked, both work."""
    with Catalog(store, CAMPAIGN, ToldClock(), busy_seconds=0.01) as catalog:
        other = sqlite3.connect(store / CATALOG_NAME, isolation_level=None)
        other.execute(lock)
        assert catalog.photos.tally()[State.ARCHIVED] == Tally(1, 1000)
        with pytest.raises(CatalogUnusable, match="another program") as caught:
            catalog.returns.record_page([a_return(99, "new")])
        assert "Close the program" in caught.value.hint
        other.execute("ROLLBACK")
        other.close()
        assert catalog.returns.record_page([a_return(99, "new")])[:2] == (1, 1)


def test_an_old_sqlite_is_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STRICT tables would be a syntax error, and that would look like damage."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(CatalogUnusable, match="too old") as caught:
        count(store)
    assert "rebuild" not in caught.value.hint


def test_a_catalogue_locked_while_it_is_opened_is_reported(store: Path) -> None:
    """The other program holds an exclusive lock."""
    other = sqlite3.connect(store / CATALOG_NAME, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(CatalogUnusable, match="another program"):
        count(store)
    other.close()
    assert count(store) == 300


def test_other_users_cannot_read_the_catalogue(tmp_path: Path) -> None:
    """Buyers' words are in the log beside the file as well; an older file that was open is closed."""
    with Catalog(tmp_path, CAMPAIGN, ToldClock()) as catalog:
        catalog.returns.record_page([a_return(1, "a")])
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
        assert len(list(tmp_path.iterdir())) == 3
    (tmp_path / CATALOG_NAME).chmod(0o644)
    with Catalog(tmp_path, CAMPAIGN, ToldClock()) as catalog:
        catalog.returns.record_page([a_return(2, "a")])
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_reading_disturbs_nobody(store: Path) -> None:
    """A reader sees what a run beside it has recorded and writes nothing itself."""
    with (
        Catalog(store, CAMPAIGN, ToldClock()) as run,
        Catalog(store, CAMPAIGN, ToldClock(), read_only=True, busy_seconds=0.01) as reader,
    ):
        run.returns.record_page([a_return(99, "new")])
        assert reader.photos.tally()[State.PENDING].photos == 300
        with pytest.raises(ArchiveUnwritable):
            reader.returns.set_meta("a", "b")


def test_reading_before_the_first_run_makes_nothing(tmp_path: Path) -> None:
    """The error says that there is no catalogue yet, and no file is made."""
    with pytest.raises(CatalogUnusable, match="no catalogue yet") as caught:
        Catalog(tmp_path, CAMPAIGN, ToldClock(), read_only=True)
    assert "sync" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
    (tmp_path / CATALOG_NAME).touch()
    with pytest.raises(CatalogUnusable, match="no catalogue yet"):
        Catalog(tmp_path, CAMPAIGN, ToldClock(), read_only=True)
    (tmp_path / "photos/2026-01/1-1").mkdir(parents=True)
    with pytest.raises(CatalogUnusable, match="photos beside it"):
        Catalog(tmp_path, CAMPAIGN, ToldClock(), read_only=True)


def test_the_file_carries_its_application_id_and_format(store: Path) -> None:
    """Later versions need them. The journal mode is the one that survives a kill."""
    connection = sqlite3.connect(store / CATALOG_NAME)
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    connection.close()
    assert (found, mode) == ([APPLICATION_ID, VERSION], "wal")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("database is locked", CatalogUnusable),
        ("database table is locked", CatalogUnusable),
        ("database disk image is malformed", CatalogDamaged),
        ("file is not a database", CatalogDamaged),
        ("database or disk is full", ArchiveUnwritable),
        ("disk I/O error", ArchiveUnwritable),
        ("attempt to write a readonly database", ArchiveUnwritable),
        ("unable to open database file", ArchiveUnwritable),
    ],
)
def test_an_sqlite_error_names_who_must_act(text: str, kind: type[Exception]) -> None:
    """The disk's owner or the catalogue's, by SQLite's own words."""
    error = unusable(Path("/a/catalog.sqlite3"), sqlite3.OperationalError(text))
    assert type(error) is kind
    assert error.message.startswith("/a/catalog.sqlite3: ")
    assert error.hint


@pytest.mark.parametrize("free", range(OPEN_FILES))
def test_a_process_that_may_open_no_more_files_is_told_so(store: Path, free: int) -> None:
    """SQLite only says that it cannot open the file; nothing is wrong with the volume."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, hard))
    try:
        with (
            pytest.raises(ArchiveUnwritable, match=r"catalog\.sqlite3: ") as raised,
            open_reader(store.parent, CAMPAIGN),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "ulimit -n" in raised.value.hint


def do_one(catalog: Catalog, name: str, number: int) -> None:
    if name == "page":
        catalog.returns.record_page([a_return(number, "a", "b"), a_return(number + 1, str(number))])
    elif name == "requeue":
        catalog.photos.requeue(everything=True)
    elif claim := catalog.photos.claim():
        if name == "archived":
            catalog.photos.record_archived(claim, STORED)
        elif name == "gone":
            catalog.photos.record_gone(claim, "HTTP 404")
        else:
            catalog.photos.record_failed(claim, "cut off")


def test_a_record_packed_differently_is_not_a_change(store: Path) -> None:
    connection = sqlite3.connect(store / CATALOG_NAME)
    for row, packed in connection.execute("SELECT id, record FROM returns").fetchall():
        plain = zlib.compress(json.dumps(unpack(packed)).encode())
        connection.execute("UPDATE returns SET record = ? WHERE id = ?", (plain, row))
    connection.commit()
    connection.close()
    page = [a_return(number, *(f"h{index}" for index in range(10)), note="n" * 500) for number in range(30)]
    with Catalog(store, CAMPAIGN, ToldClock()) as catalog:
        for row in range(1, 31):
            catalog.returns.record_saved(row)
        assert catalog.returns.record_page(page, 5) == (0, 0, 30, 0, ())
        assert [catalog.returns.unsaved_record(row) for row in range(1, 31)] == [None] * 30
        catalog.returns.record_page([a_return(0, "h0", note="other")], 6)
        assert (catalog.returns.unsaved_record(1) or {})["note"] == "other"


def test_a_damaged_record_is_replaced(store: Path) -> None:
    """The next listing replaces it."""
    damaged_records(store / CATALOG_NAME)
    with Catalog(store, CAMPAIGN, ToldClock()) as catalog:
        catalog.returns.record_page([a_return(0, "h0", note="good")], 5)
        assert (catalog.returns.unsaved_record(1) or {})["note"] == "good"


@given(
    steps=st.lists(st.tuples(st.sampled_from(["page", "archived", "gone", "failed", "requeue"]), st.integers(1, 9)))
)
def test_the_tallies_are_what_counting_finds(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, Catalog(Path(folder), CAMPAIGN, ToldClock()) as catalog:
        for name, number in steps:
            do_one(catalog, name, number)
        connection = sqlite3.connect(catalog.path)
        connection.execute("DELETE FROM photos WHERE id = 3")
        connection.commit()
        counted = connection.execute(
            "SELECT state, count(*), coalesce(sum(size), 0) FROM photos GROUP BY state"
        ).fetchall()
        connection.close()
        found = {(state.value, *tally) for state, tally in catalog.photos.tally().items() if tally.photos}
        assert found == set(counted)
