"""Upkeep of an archive in a bucket that is killed: no photo is lost, and none comes back that was pruned."""

from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from market_photos import failpoints
from market_photos.archive import layout
from tests.integration.buckets import Storage, store_of
from tests.integration.harness import CAMPAIGN
from tests.integration.test_bucket import BucketWorld, a_bucket_world

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("keys")]


@pytest.fixture
def world(storage: Storage, tmp_path: Path) -> Iterator[BucketWorld]:
    """Three returns with two photos each, archived."""
    with a_bucket_world(storage, tmp_path) as world:
        world.settings["limits"] = {"photo_requests": 1000, "period_seconds": 1}
        assert world.program("sync").code == 0
        yield world


def crash(world: BucketWorld, point: str, *command: str) -> None:
    killed = world.program(*command, env={failpoints.VARIABLE: point})
    assert killed.code == -9, killed.text


@pytest.mark.parametrize("point", ["tombstoned:2", "pruning:2", "pruned:2"])
def test_a_prune_killed_at_any_point_brings_no_photo_back_and_is_finished(world: BucketWorld, point: str) -> None:
    """Each step is killed in the second of three returns."""
    asked = world.requests_per_photo()
    crash(world, point, "prune", "--older-than", "1d", "--yes")
    other = world.another_machine()
    outcome = other.sync_after_takeover("--full")
    assert outcome.code == 0, outcome.text
    assert world.requests_per_photo() == asked
    assert len(other.photos_in_bucket()) >= outcome.json["already"], "a photo counts as archived that is gone"
    finished = other.program("prune", "--older-than", "1d", "--yes")
    assert finished.code == 0, finished.text
    kept = {Path(key).name for key in world.objects if f"/{layout.PHOTOS}/" in key}
    assert kept == {layout.TOMBSTONE_NAME}
    assert other.program("verify", "--full").code == 0


@pytest.mark.parametrize("point", ["set-aside:2", "requeued:2", "repair-kept"])
def test_a_repair_killed_at_any_point_leaves_no_gap_and_no_changed_photo_is_lost(
    world: BucketWorld, point: str
) -> None:
    objects = store_of(world.storage, world.bucket)
    harmed = [key for key in world.objects if f"/{layout.PHOTOS}/" in key and not key.endswith(layout.RECORD_NAME)][
        :2
    ]
    for key in harmed:
        obstore.put(objects, key, b"changed")
    crash(world, point, "verify", "--repair")
    other = world.another_machine()
    assert other.sync_after_takeover().code == 0
    present = {key for key in world.objects if f"/{layout.PHOTOS}/" in key}
    assert present >= set(harmed), "a photo that the catalogue calls archived is gone"
    assert other.program("verify", "--repair").code in {0, 10}
    assert other.program("sync").code == 0
    assert other.program("verify", "--full").code == 0
    assert other.photos_in_bucket() == sorted(photo.body for photo in world.market.photos())
    aside = [content for key, content in world.objects.items() if key.startswith(f"{CAMPAIGN}/{layout.SET_ASIDE}/")]
    assert set(aside) == {b"changed"}
    assert len(aside) >= len(harmed)
