"""verify on a bucket without --full: a listing, and the SHA-256 kept with what is newer than its row."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import obstore
import pytest

from market_photos.archive.layout import CATALOG_NAME
from tests.integration.buckets import Storage, store_of
from tests.integration.gate import gate
from tests.integration.harness import CAMPAIGN
from tests.integration.test_bucket import BucketWorld, a_bucket_world


@pytest.fixture
def world(keys: None, storage: Storage, tmp_path: Path) -> Iterator[BucketWorld]:
    with a_bucket_world(storage, tmp_path) as world:
        assert world.sync().exit_code == 0
        yield world


def age(world: BucketWorld) -> None:
    """Make the rows an hour older than the objects, as after a copy."""
    with closing(sqlite3.connect(world.store / CATALOG_NAME)) as catalog, catalog:
        catalog.execute("UPDATE photos SET changed_at = changed_at - 3600")


def photo_keys(world: BucketWorld) -> list[str]:
    return sorted(key for key in world.objects if key.endswith((".jpg", ".png")))


def test_a_photo_that_was_replaced_by_one_of_its_size_is_found(world: BucketWorld) -> None:
    """By the SHA-256 that it was written with, or by its content where none is kept; the same bytes are no fault."""
    age(world)
    told, untold, same, *_ = photo_keys(world)
    whole, store = world.objects, store_of(world.storage, world.bucket)
    other = [whole[key][:-1] + b"x" for key in (told, untold)]
    obstore.put(store, told, other[0], attributes={"sha256": "0" * 64})
    obstore.put(store, untold, other[1])
    obstore.put(store, same, whole[same])
    outcome = world.command("verify", "--json")
    [found] = outcome.json["stores"]
    assert (outcome.code, found["changed"], found["missing"]) == (10, 2, 0)
    assert sorted(f"{CAMPAIGN}/{problem['path']}" for problem in found["problems"]) == sorted([told, untold])
    assert world.command("verify", "--repair").code == 10
    assert world.command("sync").code == 0
    assert [world.objects[key] for key in (told, untold)] == [whole[key] for key in (told, untold)]
    assert world.command("verify", "--full").code == 0


def test_a_clean_archive_costs_listings_and_one_that_is_newer_than_its_rows_a_look_at_each_photo(
    world: BucketWorld,
) -> None:
    photos = photo_keys(world)
    with gate(world.storage.endpoint) as way:
        other = world.another_machine(way.url)
        for is_newer in (False, True):
            way.passed.clear()
            outcome = other.command("verify", "--json")
            assert (outcome.code, outcome.json["stores"][0]["photos"]) == (0, len(photos))
            looks = [passed.path for passed in way.passed if "/photos/" in passed.path]
            assert sorted(looks) == [f"/{world.bucket}/market/{key}" for key in photos if is_newer]
            assert len(way.passed) - len(looks) <= 5
            age(other)
