"""The index: what a spreadsheet, pandas or DuckDB get to read."""

import csv
import datetime as dt
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from market_photos.archive.catalog.reader import snapshot
from market_photos.errors import CatalogUnusable, UsageError
from market_photos.export.rows import COLUMNS, Days, Row, index
from market_photos.export.table import GROUP_ROWS, defused, write_csv, write_jsonl, write_parquet
from tests.archives import ArchiveOf

EVERYTHING = Days()


def row(**changes: Any) -> Row:
    usual = Row(1, 2, 3, "", "", "", "", "", "", "", "", 4, "h", "archived", "1/p.jpg", "image/jpeg", 5, "ab", "", "")
    return usual._replace(**changes)


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+7 900", "-2", "@SUM(A1)", "\tx", "\rx", "\n=1", "  =cmd|' /C calc'!A0", "＝1", "\0=1"],
)
def test_formulas_are_defused(text: str) -> None:
    """A buyer's comment never runs as a formula in the seller's spreadsheet."""
    assert defused(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "мятая", "a=b", "2-1", "'quoted", " space", "5 > 3"])
def test_harmless_texts_are_left_as_they_are(text: str) -> None:
    assert defused(text) == text


def test_csv_opens_in_russian_excel() -> None:
    """A byte order mark, semicolons, quotes where they are needed; texts come back as they were."""
    stream = io.BytesIO()
    assert write_csv(stream, [row(comment='Плёнки; нет "совсем"\nи коробки', size=None)]) == 1
    assert stream.getvalue().startswith(b"\xef\xbb\xbfstore;order;return;")
    [head, cells] = csv.reader(io.StringIO(stream.getvalue().decode("utf-8-sig"), newline=""), delimiter=";")
    assert tuple(head) == COLUMNS
    assert cells[COLUMNS.index("comment")] == 'Плёнки; нет "совсем"\nи коробки'
    assert cells[COLUMNS.index("size")] == ""


def test_csv_takes_another_delimiter() -> None:
    stream = io.BytesIO()
    write_csv(stream, [], ",")
    assert stream.getvalue().decode("utf-8-sig") == ",".join(COLUMNS) + "\r\n"


def test_jsonl_leaves_texts_as_they_are() -> None:
    """One object a line, whatever the text; nothing is defused for programs."""
    stream = io.BytesIO()
    assert write_jsonl(stream, [row(comment="=1\n2\u2028"), row()]) == 2
    lines = stream.getvalue().decode().split("\n")
    assert len(lines) == 3
    assert json.loads(lines[0]) == dict(zip(COLUMNS, row(comment="=1\n2\u2028"), strict=True))


def test_parquet_comes_in_row_groups() -> None:
    """Rows are written group by group; numbers are numbers, and what is unknown is null."""
    pyarrow = pytest.importorskip("pyarrow.parquet")
    stream = io.BytesIO()
    rows = (row(item=number, size=None if number == 0 else number) for number in range(GROUP_ROWS + 1))
    assert write_parquet(stream, rows) == GROUP_ROWS + 1
    file = pyarrow.ParquetFile(io.BytesIO(stream.getvalue()))
    assert file.num_row_groups == 2
    table = file.read()
    assert tuple(table.column_names) == COLUMNS
    assert table.column("item").to_pylist() == list(range(GROUP_ROWS + 1))
    assert table.column("size").to_pylist()[:2] == [None, 1]


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError) as error:
        write_parquet(io.BytesIO(), [])
    assert "pip install '.[parquet]'" in error.value.hint


def test_every_photo_is_a_row_whatever_its_state(tmp_path: Path) -> None:
    """Newest return first, each photo once, paths only for what is on disk, unknown states as they are."""
    store = ArchiveOf(tmp_path)
    store.add_photos(500, 41, [{"hash": "aa"}], created_at=1000)
    store.add_photos(
        501, 42, [{"hash": "x/Y", "state": "gone", "note": "404"}, {"hash": "bb", "state": "pruned"}], created_at=2000
    )
    store.add_photos(502, 43, created_at=3000)
    rows = list(index(tmp_path, [101], EVERYTHING))
    assert [(found.return_id, found.image_hash, found.state) for found in rows] == [
        (42, "x/Y", "gone"),
        (42, "bb", "pruned"),
        (41, "aa", "archived"),
    ]
    assert [found.path for found in rows] == ["", "", "101/photos/2026-09/500-41/70000001-aa.jpg"]
    assert (tmp_path / rows[2].path).exists()
    assert (rows[0].comment, rows[0].sku, rows[0].reason) == ("Царапина во всю крышку", "чайник-1.7л", "BAD_QUALITY")


def test_days_are_the_markets_and_both_ends_count(tmp_path: Path) -> None:
    """A day begins at 00:00 +03:00, which is 21:00 UTC of the day before."""
    day = dt.date(2026, 5, 28)
    midnight = int(dt.datetime(2026, 5, 27, 21, tzinfo=dt.UTC).timestamp())
    store = ArchiveOf(tmp_path)
    for number, moment in enumerate([midnight - 1, midnight, midnight + 86_399, midnight + 86_400]):
        store.add_photos(number, number, [{"hash": "aa"}], created_at=moment)

    def orders(days: Days) -> list[int]:
        return sorted(found.order for found in index(tmp_path, [101], days))

    assert orders(Days(day, day)) == [1, 2]
    assert orders(Days(first=day)) == [1, 2, 3]
    assert orders(Days(last=day)) == [0, 1, 2]


def test_a_run_that_writes_meanwhile_is_not_seen(tmp_path: Path) -> None:
    """Half a million rows take a while: all of them are of the moment at which the export began."""
    store = ArchiveOf(tmp_path)
    for number in range(3):
        store.add_photos(number, number, [{"hash": "aa"}], created_at=number)
    rows = index(tmp_path, [101], EVERYTHING)
    seen = [next(rows).return_id]
    store.add_photos(9, 9, [{"hash": "zz"}], created_at=0)
    store.execute("UPDATE photos SET state = 'failed', note = '', failures = ?", (1,))
    rest = list(rows)
    assert seen + [found.return_id for found in rest] == [2, 1, 0]
    assert {found.state for found in rest} == {"archived"}


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"items": None},
        {"items": [None, 5, {"decisions": None}, {"decisions": [None, {"images": "x"}]}]},
        {"items": [{"shopSku": 5, "decisions": [{"returnItemId": [1], "images": [{}, None]}]}], "creationDate": 7},
    ],
)
def test_any_record_makes_a_row(tmp_path: Path, record: dict[str, Any]) -> None:
    """The API's fields may be missing, null or of another kind tomorrow; the photo is still in the index."""
    store = ArchiveOf(tmp_path)
    store.add_photos(1, 2, [{"hash": "aa"}], record=record)
    [found] = index(tmp_path, [101], EVERYTHING)
    assert (found.order, found.comment, found.path != "") == (1, "", True)


def test_lone_surrogates_can_be_written(tmp_path: Path) -> None:
    store = ArchiveOf(tmp_path)
    store.add_photos(1, 2, [{"hash": "aa"}], comment="\ud83d broken")
    stream = io.BytesIO()
    write_csv(stream, index(tmp_path, [101], EVERYTHING))
    assert rb"\ud83d broken" in stream.getvalue()


def test_a_store_without_a_catalogue_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogUnusable, match="no catalogue of store 7"), snapshot(tmp_path, 7):
        pass
