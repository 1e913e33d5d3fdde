"""The index: what a spreadsheet, pandas or DuckDB get to read."""

import csv
import datetime as dt
import io
import json
import sys
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from market_photos.archive.catalog.reader import snapshot
from market_photos.errors import CatalogUnusable, UsageError
from market_photos.export.rows import COLUMNS, NAMES, Days, Row, index
from market_photos.export.style import Style, defused
from market_photos.export.table import GROUP_ROWS, WRITERS, write_csv, write_jsonl, write_parquet
from market_photos.model import PhotoKey, Return
from market_photos.pages import Wording
from tests.archives import ArchiveOf

EVERYTHING = Days()
PLAIN = Style()
USUAL = Row(
    store=1,
    order=2,
    return_id=3,
    created="2026-11-26T06:30:00.5+03:00",
    updated="",
    status="WAITING_FOR_DECISION",
    shipment_status="READY_FOR_PICKUP",
    amount=Decimal("1879.50"),
    currency="RUR",
    sku="0007",
    reason="BAD_QUALITY",
    subreason="A_VALUE_OF_TOMORROW",
    decision="",
    comment="",
    item=4,
    photo=1,
    pending=0,
    image_hash="h",
    state="archived",
    path="1/p.jpg",
    content_type="image/jpeg",
    size=5,
    sha256="ab",
    fetched_at="2026-11-26T22:15:00Z",
    note="",
)


def row(**changes: Any) -> Row:
    return USUAL._replace(**changes)


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
    assert write_csv(stream, [row(comment='Плёнки; нет "совсем"\nи коробки', size=None)], PLAIN) == 1
    assert stream.getvalue().startswith(b"\xef\xbb\xbfstore;order;return;")
    [head, cells] = csv.reader(io.StringIO(stream.getvalue().decode("utf-8-sig"), newline=""), delimiter=";")
    assert tuple(head) == NAMES
    found = dict(zip(head, cells, strict=True))
    assert (found["comment"], found["size"], found["amount"]) == ('Плёнки; нет "совсем"\nи коробки', "", "1879.50")
    assert (found["created"], found["status"]) == ("2026-11-26T06:30:00.5+03:00", "WAITING_FOR_DECISION")


@pytest.mark.parametrize(
    ("language", "shown"),
    [
        ("ru", ["26.11.2026 06:30", "Ждёт решения магазина (DBS)", "1879,5", "Брак", "27.11.2026 01:15"]),
        ("en", ["26 Nov 2026, 06:30", "Waits for the store's decision (DBS)", "1879.5", "Defective"]),
    ],
)
def test_csv_in_words_is_written_for_people(language: str, shown: list[str]) -> None:
    """Headings, values, dates and amounts in the language; what has no words stays as it is."""
    stream, style = io.BytesIO(), Style(Wording(language))
    write_csv(stream, [row(comment="=1+1", amount=Decimal("1879.50"))], style)
    [head, cells] = csv.reader(io.StringIO(stream.getvalue().decode("utf-8-sig"), newline=""), delimiter=";")
    assert head == style.headings()
    assert {"ru": "Статус возврата денег", "en": "Refund status"}[language] in head
    assert len(set(head)) == len(COLUMNS)
    assert {*shown, "A_VALUE_OF_TOMORROW", "'=1+1", "0007"} <= set(cells)


def sheets_of(stream: io.BytesIO) -> Any:
    return openpyxl.load_workbook(io.BytesIO(stream.getvalue()))


def test_xlsx_has_numbers_dates_and_texts() -> None:
    """Dates are dates in Moscow time, ids and amounts are numbers, a SKU of digits stays a text."""
    stream, style = io.BytesIO(), Style(Wording("ru"))
    assert WRITERS["xlsx"](stream, [row(), row(photo=None, amount=None, created="yesterday")], style) == 2
    sheet = sheets_of(stream).active
    head, first, second = ([cell.value for cell in cells] for cells in sheet.iter_rows())
    assert head == style.headings()
    found = dict(zip(NAMES, first, strict=True))
    assert found["created"] == dt.datetime(2026, 11, 26, 6, 30, 0, 500_000)  # noqa: DTZ001 - Excel has no time zones
    assert found["fetched_at"] == dt.datetime(2026, 11, 27, 1, 15)  # noqa: DTZ001
    assert (found["order"], found["amount"], found["sku"]) == (2, 1879.5, "0007")
    assert (found["status"], found["reason"]) == ("Ждёт решения магазина (DBS)", "Брак")
    lacking = dict(zip(NAMES, second, strict=True))
    assert (lacking["photo"], lacking["amount"], lacking["created"]) == (None, None, "yesterday")
    assert sheet.freeze_panes == "D2"


HOSTILE_CELLS = ["=1+1", "+7 900", "@SUM(A1)", "{=1}", "http://x.example", "_x003D_1", "\x01=1", "a" * 40_000]


@pytest.mark.parametrize("text", HOSTILE_CELLS)
def test_no_cell_of_an_xlsx_is_a_formula_or_a_link(text: str) -> None:
    """Whatever a buyer writes stands there as text, and stays text where a person edits the cell."""
    stream = io.BytesIO()
    WRITERS["xlsx"](stream, [row(comment=text, sku=text, note=text, status=text, updated=text)], PLAIN)
    with zipfile.ZipFile(io.BytesIO(stream.getvalue())) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet
    cells = [cell for cells in sheets_of(stream).active.iter_rows(min_row=2) for cell in cells]
    assert {cell.data_type for cell in cells} <= {"s", "n", "d", "inlineStr"}
    # openpyxl does not undo Excel's escape, with which a text that looks like one begins.
    expected = text.replace("\x01", "").replace("_x003D", "_x005F_x003D")[:32_767]
    shown = [cell for cell in cells if cell.value == expected]
    assert len(shown) == 5
    if defused(text) != text and "\x01" not in text:
        assert all(cell.quotePrefix for cell in shown)


def test_numbers_that_excel_cannot_keep_are_texts() -> None:
    stream = io.BytesIO()
    WRITERS["xlsx"](stream, [row(order=2**62, created="1812-09-07T10:00:00+03:00")], PLAIN)
    cells = dict(zip(NAMES, next(sheets_of(stream).active.iter_rows(min_row=2, values_only=True)), strict=True))
    assert (cells["order"], cells["created"]) == (str(2**62), "1812-09-07T10:00:00+03:00")


def test_xlsx_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(UsageError) as error:
        WRITERS["xlsx"](io.BytesIO(), [], PLAIN)
    assert "pip install '.[xlsx]'" in error.value.hint


def test_parquet_has_real_timestamps_and_amounts() -> None:
    """In UTC; a text that is no date is null."""
    pyarrow = pytest.importorskip("pyarrow.parquet")
    stream = io.BytesIO()
    write_parquet(stream, [row(), row(created="yesterday", amount=None)], PLAIN)
    table = pyarrow.read_table(io.BytesIO(stream.getvalue()))
    assert str(table.schema.field("created").type) == "timestamp[us, tz=UTC]"
    created, broken = table.column("created").to_pylist()
    assert created == dt.datetime(2026, 11, 26, 3, 30, 0, 500_000, tzinfo=dt.UTC)
    assert broken is None
    assert table.column("amount").to_pylist() == [1879.5, None]


def test_csv_takes_another_delimiter() -> None:
    stream = io.BytesIO()
    write_csv(stream, [], Style(delimiter=","))
    assert stream.getvalue().decode("utf-8-sig") == ",".join(NAMES) + "\r\n"


def test_jsonl_leaves_texts_as_they_are() -> None:
    """One object a line, whatever the text; nothing is defused for programs."""
    stream = io.BytesIO()
    assert write_jsonl(stream, [row(comment="=1\n2\u2028"), row()], PLAIN) == 2
    lines = stream.getvalue().decode().split("\n")
    assert len(lines) == 3
    assert json.loads(lines[0]) == dict(zip(NAMES, row(comment="=1\n2\u2028", amount=1879.5), strict=True))


def test_parquet_comes_in_row_groups() -> None:
    """Rows are written group by group; numbers are numbers, and what is unknown is null."""
    pyarrow = pytest.importorskip("pyarrow.parquet")
    stream = io.BytesIO()
    rows = (row(item=number, size=None if number == 0 else number) for number in range(GROUP_ROWS + 1))
    assert write_parquet(stream, rows, PLAIN) == GROUP_ROWS + 1
    file = pyarrow.ParquetFile(io.BytesIO(stream.getvalue()))
    assert file.num_row_groups == 2
    table = file.read()
    assert tuple(table.column_names) == NAMES
    assert table.column("item").to_pylist() == list(range(GROUP_ROWS + 1))
    assert table.column("size").to_pylist()[:2] == [None, 1]


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError) as error:
        write_parquet(io.BytesIO(), [], PLAIN)
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


def test_photos_are_numbered_in_the_order_of_the_record(tmp_path: Path) -> None:
    """A photo that the API lists first has the number 1, also where it became known last."""
    store = ArchiveOf(tmp_path)
    decision = {"returnItemId": 7, "amount": {"value": 500, "currencyId": "RUR"}}
    for images in (["bb"], ["aa", "bb"]):
        items = [{"decisions": [{**decision, "images": images}]}]
        back = Return(101, 1, 2, "", 5, "", {"items": items}, tuple(PhotoKey(101, 1, 2, 7, name) for name in images))
        with store.catalog() as catalog:
            catalog.returns.record_page([back])
    rows = list(index(tmp_path, [101], EVERYTHING))
    assert [(found.photo, found.image_hash, found.pending) for found in rows] == [(1, "aa", 2), (2, "bb", 2)]
    assert {(found.amount, found.currency) for found in rows} == {(Decimal(500), "RUR")}


def test_returns_without_photos_are_listed_on_request(tmp_path: Path) -> None:
    """The archive keeps no record of them: numbers, date and refund status are known."""
    store = ArchiveOf(tmp_path)
    store.add(0, order=500, return_id=41, created_at=86_400, refund="REFUNDED")
    store.add_photos(501, 42, [{"hash": "aa"}], created_at=1000)
    assert [found.return_id for found in index(tmp_path, [101], EVERYTHING)] == [42]
    lacking, _ = index(tmp_path, [101], EVERYTHING, all_returns=True)
    assert (lacking.order, lacking.return_id, lacking.created) == (500, 41, "1970-01-02T00:00:00Z")
    assert (lacking.status, lacking.state, lacking.photo, lacking.path) == ("REFUNDED", "none", None, "")


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
    """Half a million rows take a while: all rows of a store are of the moment of its first one."""
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
    write_csv(stream, index(tmp_path, [101], EVERYTHING), PLAIN)
    assert rb"\ud83d broken" in stream.getvalue()


def test_a_store_without_a_catalogue_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogUnusable, match="no catalogue of store 7"), snapshot(tmp_path, 7):
        pass
