"""Rebuild makes the catalogue from the tree, and no photo on disk is requested again."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from market_photos.sandbox import FixedWindow, Market, ServerLimits, actions, running
from tests.integration.harness import CAMPAIGN, SHORT_PERIOD, World, a_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Make a complete archive, with hashes of all kinds."""
    with a_world(tmp_path, odd=True, synced=True) as world:
        yield world


def test_a_lost_catalogue_is_rebuilt_without_a_request(world: World) -> None:
    """An archive without catalogue is refused (exit 9 with the next step); after rebuild no photo is requested."""
    world.lose_catalog()
    asked = world.requests_per_photo()
    for command in ("sync", "status", "verify"):
        refused = world.command(command)
        assert refused.code == 9
        assert "market-photos rebuild" in refused.text
    rebuilt = world.command("rebuild")
    assert rebuilt.code == 0
    assert "13 photos here, 0 lacking" in rebuilt.stdout
    synced = world.sync_command()
    assert (synced.code, synced.json["downloaded"], synced.json["already"]) == (0, 0, 13)
    assert world.requests_per_photo() == asked
    world.assert_complete()


def test_a_rebuilt_catalogue_equals_the_lost_one(world: World) -> None:
    """Ids, states, suffixes, sizes, hashes, months, dates and records are those of the catalogue that was lost."""
    photos = (
        "SELECT r.return_id, r.order_id, r.month, r.created_at, r.record, r.saved, p.item, p.image_hash, p.state, "
        "p.suffix, p.size, p.sha256, p.created_at FROM photos p JOIN returns r ON r.id = p.return_row ORDER BY 1, 8"
    )
    before = world.rows(photos)
    world.lose_catalog()
    world.command("rebuild")
    assert world.rows(photos) == before


def test_without_records_plain_names_suffice(world: World) -> None:
    """A photo whose hash is its name needs no return.json; one with an odd hash is reported and left as it is."""
    for record in (world.store / "photos").rglob("return.json"):
        record.unlink()
    world.lose_catalog()
    files = {path: path.read_bytes() for path in world.files()}
    asked = world.requests_per_photo()
    rebuilt = world.command("rebuild")
    # of the seven odd ones, `case` alone is plain
    assert "7 photos here" in rebuilt.stdout
    assert rebuilt.stdout.count("no record explains it") == 6
    assert {path: path.read_bytes() for path in world.files()} == files
    assert world.sync_command().code == 0
    again = [path for path, count in world.requests_per_photo().items() if count > asked.get(path, 0)]
    assert not again, "what the listing explains is on disk already"
    world.assert_complete()
    assert len(list((world.store / "photos").rglob("return.json"))) == 4, "the listing brought the records back"


def test_missing_photos_are_fetched_after_a_rebuild(world: World) -> None:
    """A photo that the record names and that is not on disk is asked for; one without content is not believed."""
    lost, emptied = world.market.photos()[:2]
    world.file_of(emptied).write_bytes(b"")
    world.file_of(lost).unlink()
    world.lose_catalog()
    assert "left as it is" in world.command("rebuild").stdout
    assert world.sync_command().json["downloaded"] == 2
    world.assert_complete()


def test_foreign_files_are_reported_and_left(world: World) -> None:
    folder = world.file_of(world.market.photos()[0]).parent
    strangers = [folder / "holiday.jpg", folder / "70000001-unfinished.part", world.store / "photos" / "note.txt"]
    for path in strangers:
        path.write_text("mine")
    world.lose_catalog()
    said = world.command("rebuild").stdout
    for path in strangers:
        assert str(path.relative_to(world.store)) in said
        assert path.read_text() == "mine"


def test_a_usable_catalogue_is_never_replaced(world: World) -> None:
    before = (world.store / "catalog.sqlite3").read_bytes()
    refused = world.command("rebuild")
    assert refused.code == 2
    assert "is in order" in refused.stderr
    assert "move it aside" in refused.stderr
    assert (world.store / "catalog.sqlite3").read_bytes() == before


def test_a_damaged_catalogue_is_renamed_never_deleted(world: World) -> None:
    path = world.store / "catalog.sqlite3"
    path.write_bytes(b"garbage " * 4096)
    world.command("rebuild")
    assert [old.read_bytes() for old in world.store.glob("catalog.sqlite3.damaged-*Z")] == [b"garbage " * 4096]
    assert world.sync_command().code == 0


def test_a_hold_outlives_the_catalogue(world: World) -> None:
    held = world.market.return_ids[0]
    world.command("hold", "--return", str(held))
    world.lose_catalog()
    world.command("rebuild")
    assert world.rows("SELECT return_id FROM returns WHERE held_at IS NOT NULL") == [(held,)]


def test_tombstones_outlive_the_catalogue(world: World) -> None:
    assert world.command("prune", "--older-than", "1d", "--yes").code == 0
    world.lose_catalog()
    assert "13 pruned" in world.command("rebuild").stdout
    asked = world.requests_per_photo()
    synced = world.sync_command("--full")
    assert (synced.code, synced.json["pruned"], synced.json["downloaded"]) == (0, 13, 0)
    assert world.requests_per_photo() == asked


def test_other_stores_are_left_alone(tmp_path: Path) -> None:
    """Of several stores only the one whose catalogue is lost is rebuilt; the others are said to be in order."""
    market = Market(seed=5)
    for campaign in (CAMPAIGN, 102):
        market.add_store(campaign).add_return(2)
    with running(market) as sandbox:
        world = World(market, sandbox, tmp_path, {"limits": SHORT_PERIOD})
        assert world.sync_command().code == 0
        other = (world.archive / "102" / "catalog.sqlite3").read_bytes()
        world.lose_catalog()
        outcome = world.command("rebuild")
        assert outcome.code == 0
        assert "102" in outcome.stderr
        assert (world.archive / "102" / "catalog.sqlite3").read_bytes() == other
        assert world.sync_command().json["downloaded"] == 0


def test_a_copy_of_a_stores_folder_is_no_store(world: World) -> None:
    """After `cp -r 101 999`, every command names the owner of the catalogue (exit 9), and rebuild leaves it alone."""
    shutil.copytree(world.store, world.archive / "999")
    for command in (("status",), ("verify",), ("export", "--format", "csv", "--out", "-")):
        outcome = world.command(*command)
        assert outcome.code == 9, outcome.text
        assert "belongs to store 101, not to 999" in outcome.text
    refused = world.command("rebuild")
    assert refused.code == 2
    assert not list(world.archive.glob("*/*damaged*"))
    assert world.command("rebuild", "--campaign", "999").code == 0


def test_swapped_catalogues_are_refused_and_rebuilt(tmp_path: Path) -> None:
    """One rebuild repairs both stores, and nothing is fetched again."""
    market = Market(seed=5)
    for campaign in (CAMPAIGN, 102):
        market.add_store(campaign).add_return(2)
    with running(market) as sandbox:
        world = World(market, sandbox, tmp_path, {"limits": SHORT_PERIOD})
        assert world.sync_command().code == 0
        asked = world.requests_per_photo()
        first, second = (world.archive / name / "catalog.sqlite3" for name in ("101", "102"))
        first.rename(tmp_path / "aside")
        second.rename(first)
        (tmp_path / "aside").rename(second)
        assert world.sync_command().code == 9
        assert world.command("rebuild").code == 0
        assert world.sync_command().code == 0
        assert world.requests_per_photo() == asked


@pytest.mark.parametrize("files_are_old", [False, True])
def test_a_rebuild_counts_the_whole_quota_as_spent(tmp_path: Path, *, files_are_old: bool) -> None:
    """Requests of the last period that left no file count too, and so do files whose times a wrong clock set."""
    quota, period_s = 12, 2.0
    market = Market(seed=5)
    store = market.add_store(CAMPAIGN)
    store.add_return(quota)
    with running(market, limits=ServerLimits(photos=FixedWindow(quota, period_s))) as sandbox:
        world = World(market, sandbox, tmp_path, {"limits": {"photo_requests": quota, "period_seconds": period_s}})
        sandbox.faults.add(actions.status(404, "not found"), kind="photo", times=quota // 2)
        assert world.sync_command().code == 0
        world.lose_catalog()
        for path in [world.store, *world.store.rglob("*")] * files_are_old:
            os.utime(path, (0, 0))
        assert world.command("rebuild").code == 0
        assert world.sync_command().code == 0
        assert sandbox.log.worst_window("photo", period_s, CAMPAIGN) <= quota
        assert [entry.status for entry in sandbox.log.entries if entry.status == 420] == []


def test_a_moved_archive_can_be_rebuilt(world: World) -> None:
    moved = world.folder / "moved"
    shutil.move(world.archive, moved)
    world.settings["archive"] = {"directory": str(moved)}
    world.lose_catalog()
    assert world.command("rebuild").code == 0
    asked = world.requests_per_photo()
    assert world.sync_command().code == 0
    assert world.requests_per_photo() == asked


def test_a_broken_record_is_ignored(world: World) -> None:
    """A return.json that is cut off, no JSON or of another return counts as missing."""
    records = sorted((world.store / "photos").rglob("return.json"))
    records[0].write_bytes(records[0].read_bytes()[:50])
    records[1].write_text(json.dumps({"id": 1, "orderId": 2, "items": []}))
    records[2].write_bytes(b"\xff\xfe")
    asked = world.requests_per_photo()
    world.lose_catalog()
    assert world.command("rebuild").code == 0
    assert world.sync_command().code == 0
    assert world.requests_per_photo() == asked
    world.assert_complete()
