"""The index beside a catalogue: made from it, kept up to date, thrown away and made again."""

import asyncio
import copy
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from market_photos.browse import index, indexer
from market_photos.browse.index_refresher import IndexRefresher
from market_photos.browse.query import Query, parse
from market_photos.browse.stores import Stores
from market_photos.errors import CatalogUnusable
from market_photos.model import Return
from tests.archives import DAY, NOW, ArchiveOf, folder_at


def update(store: ArchiveOf, *, everything: bool = False) -> int:
    return indexer.update(
        store.folder, store.folder, everything=everything, progress=lambda _: None, stopped=lambda: False
    )


def orders(archive: Path, **given: str) -> list[int]:
    return [back.order for back in Stores(folder_at(archive)).page(parse(given), 100).returns]


def every_page(archive: Path, most: int) -> list[tuple[int, int]]:
    """(store, order) from the newest to the oldest, page by page."""
    found: list[tuple[int, int]] = []
    stores, query = Stores(folder_at(archive)), Query()
    for _ in range(100):
        page = stores.page(query, most)
        assert (page.total, page.before) == (21, len(found))
        found += [(back.campaign, back.order) for back in page.returns]
        if page.after is None:
            return found
        query = Query(after=page.after)
    raise AssertionError("pages without end")


def test_returns_are_found_newest_first(tmp_path: Path) -> None:
    store = ArchiveOf(tmp_path)
    made = [store.add() for _ in range(5)]
    update(store)
    assert orders(tmp_path) == [back.order for back in made]


def test_pages_hold_each_return_once(tmp_path: Path) -> None:
    """Over three stores with returns of the same seconds, whatever the length of a page."""
    stores = [ArchiveOf(tmp_path, campaign) for campaign in (103, 101, 102)]
    for store in stores:
        for number in range(7):
            store.add(created_at=NOW - number // 3)
        update(store)
    whole = every_page(tmp_path, 100)
    assert len(set(whole)) == len(whole) == 21
    for most in (1, 2, 5, 20, 21):
        assert every_page(tmp_path, most) == whole


def test_filters_find_matching_returns(tmp_path: Path) -> None:
    store = ArchiveOf(tmp_path)
    archived = store.add(reason="WRONG_ITEM", created_at=NOW)
    store.bring(archived)
    failed = store.add(decision="REPAIR", refund="REJECTED", created_at=NOW - 40 * DAY)
    store.fail(failed, "cut off")
    without = store.add(photos=0, created_at=NOW - DAY)
    update(store)
    both = [archived.order, failed.order]
    for given, expected in (
        ({}, both),
        ({"store": "101"}, both),
        ({"store": "999"}, []),
        ({"reason": "WRONG_ITEM"}, [archived.order]),
        ({"decision": "REPAIR"}, [failed.order]),
        ({"refund": "REJECTED"}, [failed.order]),
        ({"state": "failed"}, [failed.order]),
        ({"state": "none"}, [without.order]),
        ({"state": "archived", "decision": "REPAIR"}, []),
        ({"from": "2026-09-01"}, [archived.order]),
        ({"to": "2026-09-01"}, [failed.order]),
        ({"q": str(without.order)}, [without.order]),
        ({"q": str(failed.photos[0].item)}, [failed.order]),
        ({"q": "царапины", "reason": "WRONG_ITEM"}, [archived.order]),
    ):
        assert orders(tmp_path, **given) == expected, given


def test_changes_of_a_sync_are_found_at_the_next_refresh(tmp_path: Path) -> None:
    """A new return, a new state, a changed record; and what did not change is not written again."""
    store = ArchiveOf(tmp_path)
    first, second = store.add(), store.add()
    assert update(store) == 2
    assert (update(store), update(store, everything=True)) == (0, 0)

    store.clock.wall += 100
    store.bring(first)
    third = store.add(created_at=NOW + DAY)
    assert update(store) == 2
    assert orders(tmp_path, state="archived") == [first.order]
    assert orders(tmp_path) == [third.order, first.order, second.order]

    with store.catalog() as catalog:
        catalog.returns.record_page([with_comment(second, "скол на углу")])
    update(store, everything=True)
    assert orders(tmp_path, q="скол") == [second.order]
    assert orders(tmp_path, q="царапина", state="pending") == [third.order]


def with_comment(back: Return, comment: str) -> Return:
    record = copy.deepcopy(back.record)
    record["items"][0]["decisions"][0]["comment"] = comment
    return back._replace(record=record)


def test_filters_count_the_returns_of_the_present_query(tmp_path: Path) -> None:
    """A value counts what would be found with it in place of the filter's present one; all else stays."""
    first, second = ArchiveOf(tmp_path, 101), ArchiveOf(tmp_path, 102)
    first.bring(first.add(comment="скол"))
    first.add(comment="скол", reason="WRONG_ITEM", created_at=NOW - 40 * DAY)
    first.add(comment="мятая коробка", photos=0)
    second.add(comment="скол", decision="REPAIR")
    for store in (first, second):
        update(store)
    stores = Stores(folder_at(tmp_path))

    def counts(**given: str) -> tuple[int, dict[int, int], dict[str, int], dict[str, int]]:
        page = stores.page(parse(given), 10)
        return page.total, dict(page.stores), dict(page.values["reason"]), dict(page.values["state"])

    every = {"archived": 1, "pending": 2, "none": 1}
    assert counts() == (3, {101: 2, 102: 1}, {"BAD_QUALITY": 2, "WRONG_ITEM": 1}, every)
    assert counts(q="скол", reason="WRONG_ITEM") == (
        1,
        {101: 1, 102: 0},
        {"BAD_QUALITY": 2, "WRONG_ITEM": 1},
        {"pending": 1},
    )
    assert counts(store="102", q="скол") == (1, {101: 2, 102: 1}, {"BAD_QUALITY": 1}, {"pending": 1})
    assert counts(decision="REPAIR", state="none")[0] == 0
    assert counts(**{"from": "2026-09-01", "state": "pending"})[:2] == (1, {101: 0, 102: 1})


def test_counts_follow_what_changes(tmp_path: Path) -> None:
    store = ArchiveOf(tmp_path)
    back = store.add(photos=2)
    store.add(reason="A NEW ONE")
    update(store)
    stores = Stores(folder_at(tmp_path))
    assert stores.page(Query(), 10).values["reason"] == {"A NEW ONE": 1, "BAD_QUALITY": 1}
    assert stores.page(Query(), 10).values["state"] == {"pending": 2}
    store.clock.wall += 100
    store.bring(back)
    update(store)
    assert stores.page(Query(), 10).values["state"] == {"archived": 1, "pending": 1}


@pytest.mark.parametrize("damage", ["garbage", "version", "empty", "gone"])
def test_a_damaged_index_is_rebuilt(tmp_path: Path, damage: str) -> None:
    store = ArchiveOf(tmp_path)
    back = store.add()
    update(store)
    path = store.folder / index.INDEX_NAME
    if damage == "garbage":
        path.write_bytes(b"garbage" * 2000)
    elif damage == "version":
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 77")
        connection.close()
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    assert update(store) == 1
    assert orders(tmp_path) == [back.order]


def test_a_replaced_catalogue_is_noticed(tmp_path: Path) -> None:
    """A restored or rebuilt catalogue has other rows."""
    store, other = ArchiveOf(tmp_path), ArchiveOf(tmp_path / "other")
    for _ in range(3):
        store.add()
    back = other.add(order=777)
    update(store)
    shutil.copy(other.folder / "catalog.sqlite3", store.folder / "new")
    (store.folder / "new").replace(store.folder / "catalog.sqlite3")
    update(store)
    assert orders(tmp_path) == [back.order]


def test_the_index_is_private(tmp_path: Path) -> None:
    store = ArchiveOf(tmp_path)
    store.add()
    update(store)
    for path in store.folder.glob(f"{index.INDEX_NAME}*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_writer_at_work_is_not_disturbed(tmp_path: Path) -> None:
    """The catalogue is only read: while a transaction is open an index is made, and the writer commits at once."""
    store = ArchiveOf(tmp_path)
    store.add()
    writer = sqlite3.connect(store.folder / "catalog.sqlite3", isolation_level=None, timeout=0)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE photos SET state = 'gone'")
    assert update(store) == 1
    writer.execute("COMMIT")
    writer.close()
    assert update(store) == 1
    assert orders(tmp_path, state="gone") != []


def test_an_unreadable_catalogue_is_reported_and_the_others_are_shown(tmp_path: Path) -> None:
    good, bad = ArchiveOf(tmp_path, 101), ArchiveOf(tmp_path, 102)
    back = good.add()
    bad.add()
    index_refresher = IndexRefresher(Stores(folder_at(tmp_path)))
    index_refresher.refresh()
    (bad.folder / "catalog.sqlite3").write_bytes(b"garbage" * 2000)
    for leftover in bad.folder.glob("catalog.sqlite3-*"):
        leftover.unlink()
    index_refresher.refresh(force=True)
    page = Stores(folder_at(tmp_path)).page(Query(), 10)
    assert [one.order for one in page.returns] == [back.order]
    assert "catalog.sqlite3" in page.troubles[102]
    with pytest.raises(CatalogUnusable):
        update(bad, everything=True)
    index_refresher.close()


def test_queries_of_one_search_see_the_same_state_of_the_index(tmp_path: Path) -> None:
    """An update between two of them brings returns of a kind that the first one did not see."""
    store, query = ArchiveOf(tmp_path), Query()
    store.add()
    update(store)
    with Stores(folder_at(tmp_path)).index(store.campaign) as searched:
        assert searched is not None
        before = index.count(searched, store.campaign, query)
        store.add(refund="WAITING_FOR_DECISION")
        assert update(store) == 1
        assert index.count(searched, store.campaign, query) == before
        assert len(index.find(searched, store.campaign, query, 10)) == 1
    assert len(orders(tmp_path)) == 2


async def test_an_archive_that_cannot_be_read_is_reported_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A traceback on every pause would fill the log, as would one where the process has too many open files."""
    link = tmp_path / "archive"
    link.symlink_to(link)  # too many levels of links
    index_refresher = IndexRefresher(Stores(folder_at(link)))
    updating = asyncio.create_task(index_refresher.run())
    async with asyncio.timeout(10):
        while not caplog.records:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
    updating.cancel()
    index_refresher.close()
    assert len(caplog.records) == 1
    assert str(link) in caplog.text
    assert "Traceback" not in caplog.text


def test_a_stopped_refresh_continues_later(tmp_path: Path) -> None:
    store = ArchiveOf(tmp_path)
    store.add()
    assert (
        indexer.update(store.folder, store.folder, everything=False, progress=lambda _: None, stopped=lambda: True)
        == 0
    )
    assert orders(tmp_path) == []
    assert update(store) == 1
