"""Rebuild: the catalogue comes back from the tree, and nothing that is on disk is asked for again."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from market_photos.sandbox import Limits, Market, Quota, actions, running
from tests.integration.archive_kit import CAMPAIGN, PERIOD_S, Case, a_case, photo_at


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    """An archive that is complete, with hashes of all kinds."""
    with a_case(tmp_path, odd=True, synced=True) as case:
        yield case


def _lose_catalog(case: Case) -> None:
    for path in case.store.glob("catalog.sqlite3*"):
        path.unlink()


def test_a_lost_catalogue_is_rebuilt_without_a_request(case: Case) -> None:
    """Without its catalogue the archive is refused (9, the next step in words); rebuilt, no photo is asked for."""
    _lose_catalog(case)
    asked = case.asked()
    for command in ("sync", "status", "verify"):
        refused = case.run(command)
        assert refused.code == 9
        assert "market-photos rebuild" in refused.said
    rebuilt = case.run("rebuild")
    assert rebuilt.code == 0
    assert "13 photos are here, 0 are lacking" in rebuilt.out
    synced = case.sync()
    assert (synced.code, synced.json["downloaded"], synced.json["already"]) == (0, 0, 13)
    assert case.asked() == asked
    case.assert_whole()


def test_a_rebuilt_catalogue_equals_the_lost_one(case: Case) -> None:
    """Ids, states, suffixes, sizes, hashes, months, dates and records are those of the catalogue that was lost."""
    photos = (
        "SELECT r.return_id, r.order_id, r.month, r.created_at, r.record, r.saved, p.item, p.image_hash, p.state, "
        "p.suffix, p.size, p.sha256, p.created_at FROM photos p JOIN returns r ON r.id = p.return_row ORDER BY 1, 8"
    )
    before = case.rows(photos)
    _lose_catalog(case)
    case.run("rebuild")
    assert case.rows(photos) == before


def test_without_records_plain_names_suffice(case: Case) -> None:
    """A photo whose hash is its name needs no return.json; one with an odd hash is reported and left as it is."""
    for record in (case.store / "photos").rglob("return.json"):
        record.unlink()
    _lose_catalog(case)
    files = {path: path.read_bytes() for path in case.files()}
    asked = case.asked()
    rebuilt = case.run("rebuild")
    # of the seven odd ones, `case` alone is plain
    assert "7 photos are here" in rebuilt.out
    assert rebuilt.out.count("no record explains it") == 6
    assert {path: path.read_bytes() for path in case.files()} == files
    assert case.sync().code == 0
    again = [path for path, count in case.asked().items() if count > asked.get(path, 0)]
    assert not again, "what the listing explains is on disk already"
    case.assert_whole()
    assert len(list((case.store / "photos").rglob("return.json"))) == 4, "the listing brought the records back"


def test_missing_photos_are_fetched_after_a_rebuild(case: Case) -> None:
    """A photo that the record names and that is not on disk is asked for; one without content is not believed."""
    lost, emptied = case.market.photos()[:2]
    photo_at(case, emptied).write_bytes(b"")
    photo_at(case, lost).unlink()
    _lose_catalog(case)
    assert "left as it is" in case.run("rebuild").out
    assert case.sync().json["downloaded"] == 2
    case.assert_whole()


def test_foreign_files_are_reported_and_left(case: Case) -> None:
    """Files and folders that are none of ours stay where they are, named."""
    folder = photo_at(case, case.market.photos()[0]).parent
    strangers = [folder / "holiday.jpg", folder / "70000001-unfinished.part", case.store / "photos" / "note.txt"]
    for path in strangers:
        path.write_text("mine")
    _lose_catalog(case)
    said = case.run("rebuild").out
    for path in strangers:
        assert str(path.relative_to(case.store)) in said
        assert path.read_text() == "mine"


def test_a_usable_catalogue_is_never_replaced(case: Case) -> None:
    """Rebuild beside a catalogue in order changes nothing and says what to do."""
    before = (case.store / "catalog.sqlite3").read_bytes()
    refused = case.run("rebuild")
    assert refused.code == 2
    assert "is in order" in refused.err
    assert "move it aside" in refused.err
    assert (case.store / "catalog.sqlite3").read_bytes() == before


def test_a_damaged_catalogue_is_renamed_never_deleted(case: Case) -> None:
    """The damaged file is kept under another name, byte for byte."""
    path = case.store / "catalog.sqlite3"
    path.write_bytes(b"garbage " * 4096)
    case.run("rebuild")
    assert [old.read_bytes() for old in case.store.glob("catalog.sqlite3.damaged-*Z")] == [b"garbage " * 4096]
    assert case.sync().code == 0


def test_a_hold_outlives_the_catalogue(case: Case) -> None:
    """A return that was on hold still is after a rebuild."""
    held = case.market.return_ids[0]
    case.run("hold", "--return", str(held))
    _lose_catalog(case)
    case.run("rebuild")
    assert case.rows("SELECT return_id FROM returns WHERE held_at IS NOT NULL") == [(held,)]


def test_tombstones_outlive_the_catalogue(case: Case) -> None:
    """Pruned photos are not fetched again after a rebuild either."""
    assert case.run("prune", "--older-than", "1d", "--yes").code == 0
    _lose_catalog(case)
    assert "13 pruned" in case.run("rebuild").out
    asked = case.asked()
    synced = case.sync("--full")
    assert (synced.code, synced.json["pruned"], synced.json["downloaded"]) == (0, 13, 0)
    assert case.asked() == asked


def test_other_stores_are_left_alone(tmp_path: Path) -> None:
    """Of several stores only the one whose catalogue is lost is rebuilt; the others are said to be in order."""
    market = Market(seed=5)
    for campaign in (CAMPAIGN, 102):
        market.add_store(campaign).add_return(2)
    with running(market) as sandbox:
        case = Case(sandbox, tmp_path)
        assert case.sync().code == 0
        other = (case.archive / "102" / "catalog.sqlite3").read_bytes()
        _lose_catalog(case)
        outcome = case.run("rebuild")
        assert outcome.code == 0
        assert "102" in outcome.err
        assert (case.archive / "102" / "catalog.sqlite3").read_bytes() == other
        assert case.sync().json["downloaded"] == 0


def test_a_copy_of_a_stores_folder_is_no_store(case: Case) -> None:
    """`cp -r 101 999`: every command says whose catalogue it is (9), and rebuild leaves it alone."""
    shutil.copytree(case.store, case.archive / "999")
    for command in (("status",), ("verify",), ("export", "--format", "csv", "--out", "-")):
        outcome = case.run(*command)
        assert outcome.code == 9, outcome.said
        assert "belongs to store 101, not to 999" in outcome.said
    refused = case.run("rebuild")
    assert refused.code == 2
    assert not list(case.archive.glob("*/*damaged*"))
    assert case.run("rebuild", "--campaign", "999").code == 0


def test_swapped_catalogues_are_refused_and_rebuilt(tmp_path: Path) -> None:
    """Each is refused (9); one rebuild mends both, and nothing is fetched again."""
    market = Market(seed=5)
    for campaign in (CAMPAIGN, 102):
        market.add_store(campaign).add_return(2)
    with running(market) as sandbox:
        case = Case(sandbox, tmp_path)
        assert case.sync().code == 0
        asked = case.asked()
        first, second = (case.archive / name / "catalog.sqlite3" for name in ("101", "102"))
        first.rename(tmp_path / "aside")
        second.rename(first)
        (tmp_path / "aside").rename(second)
        assert case.sync().code == 9
        assert case.run("rebuild").code == 0
        assert case.sync().code == 0
        assert case.asked() == asked


@pytest.mark.parametrize("files_are_old", [False, True])
def test_a_rebuild_counts_the_whole_quota_as_spent(tmp_path: Path, *, files_are_old: bool) -> None:
    """Requests of the last period that left no file count too, and so do files whose times a wrong clock set."""
    quota, period_s = 12, 4.0
    market = Market(seed=5)
    store = market.add_store(CAMPAIGN)
    store.add_return(quota)
    with running(market, limits=Limits(photos=Quota(quota, period_s))) as sandbox:
        case = Case(sandbox, tmp_path)
        settings = case.config.read_text().replace(f"period_seconds = {PERIOD_S}", f"period_seconds = {period_s}")
        case.config.write_text(settings + f"photo_requests = {quota}\n")
        sandbox.faults.add(actions.status(404, "not found"), kind="photo", times=quota // 2)
        assert case.sync().code == 0
        _lose_catalog(case)
        for path in [case.store, *case.store.rglob("*")] * files_are_old:
            os.utime(path, (0, 0))
        assert case.run("rebuild").code == 0
        assert case.sync().code == 0
        assert sandbox.log.worst_window("photo", period_s, CAMPAIGN) <= quota
        assert [entry.status for entry in sandbox.log.entries if entry.status == 420] == []


def test_a_moved_archive_can_be_rebuilt(case: Case) -> None:
    """A store's folder may be moved: everything in it is relative."""
    moved = case.folder / "moved"
    shutil.move(case.archive, moved)
    other = Case(case.sandbox, case.folder, moved)
    _lose_catalog(other)
    assert other.run("rebuild").code == 0
    asked = case.asked()
    assert other.sync().code == 0
    assert case.asked() == asked


def test_a_broken_record_is_ignored(case: Case) -> None:
    """return.json that is cut off, no JSON, or of another return: as if it were not there."""
    records = sorted((case.store / "photos").rglob("return.json"))
    records[0].write_bytes(records[0].read_bytes()[:50])
    records[1].write_text(json.dumps({"id": 1, "orderId": 2, "items": []}))
    records[2].write_bytes(b"\xff\xfe")
    asked = case.asked()
    _lose_catalog(case)
    assert case.run("rebuild").code == 0
    assert case.sync().code == 0
    assert case.asked() == asked
    case.assert_whole()
