"""Every reader raises CatalogDamaged and names the row; the full check finds every damage."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import Archived, State
from market_photos.archive.catalog.reader import snapshot
from market_photos.archive.catalog.record_codec import pack
from market_photos.archive.catalog.rules import STATES
from market_photos.archive.layout import CATALOG_NAME
from market_photos.errors import CatalogDamaged, ExitCode
from market_photos.market.requests import Endpoint
from tests.unit.worlds import CAMPAIGN, STORED, ToldClock, a_return


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Make an archive of one store with a photo in each state, a run, a window, a watermark and a request."""
    folder = tmp_path / str(CAMPAIGN)
    folder.mkdir()
    with Catalog(folder, CAMPAIGN, ToldClock(server=1_795_000_000.0)) as catalog:
        catalog.returns.record_page([a_return(n, f"h{n}", created_at=1_700_000_000 + n) for n in range(5)])
        archived, failed, gone = (claim for _ in range(3) if (claim := catalog.photos.claim()))
        catalog.photos.record_archived(archived, STORED)
        catalog.photos.record_failed(failed, "HTTP 500")
        catalog.photos.record_gone(gone, "HTTP 404")
        catalog.pruning.tombstone(2)
        catalog.returns.move_watermark(1_700_000_000)
        catalog.returns.finish_window("2024-01-01", "2024-01-31")
        catalog.runs.end(catalog.runs.begin("sync"), ExitCode.COMPLETE, {"downloaded": 1})
        catalog.requests.answered(catalog.requests.sent("photo", 1), ToldClock(server=1_795_000_000.0).now())
    return tmp_path


def read_everything(archive: Path) -> None:
    """Read all tables as the commands do."""
    with Catalog(archive / str(CAMPAIGN), CAMPAIGN, ToldClock(), read_only=True) as catalog:
        catalog.photos.tally()
        catalog.photos.claim()
        catalog.photos.failures(10)
        catalog.photos.unfinished()
        catalog.returns.watermark()
        catalog.returns.finished_windows()
        catalog.runs.last(5)
        catalog.runs.last_complete("sync")
        catalog.requests.past_requests()
        list(catalog.pruning.candidates(2_000_000_000, ["REFUNDED"]))
        for row in range(1, 6):
            catalog.reader.get(row)
        for number in range(5):
            catalog.reader.find(1, number)
            catalog.returns.unsaved_record(number + 1)
    with snapshot(archive, CAMPAIGN) as now:
        list(now.created(0, 2**62))


def test_a_sound_catalogue_is_read(archive: Path) -> None:
    read_everything(archive)
    with Catalog(archive / str(CAMPAIGN), CAMPAIGN, ToldClock()) as catalog:
        catalog.check()


#: Table, a column of it, and a value that it never has.
CELLS = [
    ("photos", "state", "'arciived'"),
    ("photos", "state", "''"),
    ("photos", "sha256", "x'00'"),
    ("photos", "suffix", "'.jpg/../../x'"),
    ("photos", "suffix", "'jpg'"),
    ("photos", "size", "-1"),
    ("photos", "item", "-7"),
    ("photos", "image_hash", "''"),
    ("photos", "created_at", "9000000000000000000"),
    ("photos", "changed_at", "-9000000000000000000"),
    ("photos", "not_before", "9000000000000000000"),
    ("photos", "failures", "-1"),
    ("photos", "note", "CAST(x'c3' AS TEXT)"),
    ("photos", "return_row", "77"),
    ("returns", "month", "'2026-13'"),
    ("returns", "month", "'../../..'"),
    ("returns", "created_at", "9000000000000000000"),
    ("returns", "return_id", "-1"),
    ("returns", "order_id", "-1"),
    ("returns", "saved", "5"),
    ("returns", "pruning", "-1"),
    ("returns", "held_at", "9000000000000000000"),
    ("returns", "record", "x''"),
    ("returns", "record", "x'00112233'"),
    ("meta", "value", "'soon'"),
    ("meta", "value", "'99999999999999999999'"),
    ("windows", "first", "'yesterday'"),
    ("windows", "done_at", "9000000000000000000"),
    ("runs", "exit_code", "77"),
    ("runs", "summary", "'{'"),
    ("runs", "summary", "'[]'"),
    ("runs", "ended_at", "NULL"),
    ("runs", "started_at", "9000000000000000000"),
    ("requests", "method", "'phoot'"),
    ("requests", "sent", "9e999"),
    ("requests", "answered", "-9e999"),
    ("requests", "answered_uptime", "NULL"),
    ("tallies", "photos", "photos + 1"),
    ("tallies", "size", "size - 1"),
]


def set_cell(table: str, column: str, value: str) -> Callable[[sqlite3.Connection], None]:
    def damage(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        where = {"meta": "key = 'watermark'", "tallies": "state = 'archived'", "photos": "id != 2"}.get(table, "1")
        if (table, column) in {("returns", "return_id"), ("photos", "return_row")}:
            where = "id = 1"
        connection.execute(f"UPDATE {table} SET {column} = {value} WHERE {where}")

    return damage


def edit(script: str) -> Callable[[sqlite3.Connection], None]:
    def damage(connection: sqlite3.Connection) -> None:
        connection.executescript(script)

    return damage


#: Damage to the whole catalogue.
EDITS = [
    *(f"DROP TRIGGER photo_{name}" for name in ("added", "changed", "removed")),
    *(f"DROP INDEX {name}" for name in ("photo_queue", "photo_counts", "returns_to_save", "returns_to_prune")),
    *(f"DROP TABLE {name}" for name in ("tallies", "windows", "runs", "requests", "meta", "photos", "returns")),
    "ALTER TABLE photos DROP COLUMN content_type",
    "ALTER TABLE runs RENAME COLUMN summary TO told",
    "DELETE FROM tallies WHERE state = 'gone'",
    "DELETE FROM tallies",
    "DELETE FROM meta WHERE key = 'campaign'",
    "PRAGMA user_version = 99",
    "PRAGMA user_version = -1",
    "PRAGMA application_id = 0",
]
ALL_DAMAGE = [
    *(pytest.param(set_cell(*cell), id=" ".join(cell)) for cell in CELLS),
    *(pytest.param(edit(script), id=script) for script in EDITS),
]


def harm(archive: Path, damage: Callable[[sqlite3.Connection], None]) -> None:
    with closing(sqlite3.connect(archive / str(CAMPAIGN) / CATALOG_NAME)) as connection, connection:
        damage(connection)


@pytest.mark.parametrize("damage", ALL_DAMAGE)
def test_damage_is_named_and_never_a_traceback(archive: Path, damage: Callable[[sqlite3.Connection], None]) -> None:
    """A reader that meets the damage raises CatalogDamaged; the full check always does."""
    harm(archive, damage)
    with suppress(CatalogDamaged):
        read_everything(archive)
    with (
        pytest.raises(CatalogDamaged) as caught,
        Catalog(archive / str(CAMPAIGN), CAMPAIGN, ToldClock(), read_only=True) as catalog,
    ):
        catalog.check()
    assert CATALOG_NAME in caught.value.message
    assert "market-photos rebuild" in caught.value.hint


@pytest.mark.parametrize(("table", "column", "value"), [cell for cell in CELLS if cell[1] != "return_row"])
def test_a_row_that_breaks_the_rules_is_named(archive: Path, table: str, column: str, value: str) -> None:
    """Readers refuse it and name the row and table, or the column."""
    harm(archive, set_cell(table, column, value))
    with pytest.raises(CatalogDamaged) as caught:
        read_everything(archive)
    said = caught.value.message
    assert table in said or column in said or "record" in said or "tallies" in said or "photo has the state" in said


def test_a_state_that_does_not_exist_is_seen_at_once(archive: Path) -> None:
    """Without the triggers too: otherwise the photo is in no count, and status says that all is well."""
    path = archive / str(CAMPAIGN) / CATALOG_NAME
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE photos SET state = 'arciived' WHERE state = 'archived'")
        for _, text in triggers:
            connection.execute(text)
    with pytest.raises(CatalogDamaged, match="arciived"):
        Catalog(archive / str(CAMPAIGN), CAMPAIGN, ToldClock(), read_only=True)


def test_a_wrong_type_cannot_be_stored(archive: Path) -> None:
    """STRICT holds where the CHECKs are turned off."""
    with closing(sqlite3.connect(archive / str(CAMPAIGN) / CATALOG_NAME)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for table, column in (
            ("photos", "size"),
            ("returns", "created_at"),
            ("requests", "sent"),
            ("runs", "exit_code"),
        ):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(f"UPDATE {table} SET {column} = 'text'")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("UPDATE photos SET sha256 = 'text'")


def test_an_index_that_lost_a_row_is_seen_by_the_full_check(archive: Path) -> None:
    """Its table was changed behind its back."""
    path = archive / str(CAMPAIGN) / CATALOG_NAME
    with closing(sqlite3.connect(path)) as connection, connection:
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'photo_queue'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    start = (root - 1) * size
    content[start + 3 : start + 5] = b"\0\0"  # an index page of no cells
    path.write_bytes(content)
    with (
        Catalog(archive / str(CAMPAIGN), CAMPAIGN, ToldClock(), read_only=True) as catalog,
        pytest.raises(CatalogDamaged),
    ):
        catalog.check()


def test_a_row_that_we_write_wrong_is_no_damage(archive: Path) -> None:
    """`rebuild` could not mend it: an internal error, not exit 9."""
    with Catalog(archive / str(CAMPAIGN), CAMPAIGN, ToldClock()) as catalog:
        claim = catalog.photos.claim()
        assert claim is not None
        with pytest.raises(sqlite3.IntegrityError):
            catalog.photos.record_archived(claim, Archived(".jpg", 1, b"short", "", ""))
        catalog.check()


def test_the_rules_name_every_state() -> None:
    """The states are written out in the rules: they are part of the format."""
    assert set(STATES) == set(State)


@pytest.mark.parametrize("code", list(ExitCode))
def test_a_run_may_end_with_any_exit_code(tmp_path: Path, code: ExitCode) -> None:
    with Catalog(tmp_path, CAMPAIGN, ToldClock()) as catalog:
        catalog.runs.end(catalog.runs.begin("sync"), code, {})
        assert catalog.runs.last()[0].exit_code is code


@pytest.mark.parametrize("method", list(Endpoint))
def test_any_endpoint_may_be_on_record(tmp_path: Path, method: Endpoint) -> None:
    with Catalog(tmp_path, CAMPAIGN, ToldClock()) as catalog:
        catalog.requests.sent(method, None)
        assert catalog.requests.past_requests()[0].method == method


def test_a_record_that_is_no_object_is_damage(archive: Path) -> None:
    """It can be unpacked, but no listing brings such a record."""
    content = pack([1])  # type: ignore[arg-type]
    with closing(sqlite3.connect(archive / str(CAMPAIGN) / CATALOG_NAME)) as connection, connection:
        connection.execute("UPDATE returns SET record = ? WHERE id = 1", (content,))
    with (
        Catalog(archive / str(CAMPAIGN), CAMPAIGN, ToldClock(), read_only=True) as catalog,
        pytest.raises(CatalogDamaged, match="row 1 of returns"),
    ):
        catalog.check()
