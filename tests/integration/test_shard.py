"""`--shard I/N`: several runs share the stores out, on one machine or on several."""

import pytest

from market_photos.sync.shard import Shard
from tests.integration.conftest import MakeWorld
from tests.integration.harness import World, assert_adds_up, fill

STORES = range(101, 107)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Six stores with two photos each."""
    world = make_world(stores=len(STORES))
    for store in world.market.stores.values():
        fill(store, returns=2)
    return world


def test_the_shards_together_fetch_every_store_once(world: World) -> None:
    """Each reports its own stores only, also where the others have pending photos."""
    outcomes = [world.sync_command("--shard", f"{number}/3") for number in (1, 2, 3)]
    assert [outcome.code for outcome in outcomes] == [0, 0, 0]
    for number, outcome in enumerate(outcomes, start=1):
        stores = [store["campaign"] for store in outcome.json["stores"]]
        assert stores == [store for store in STORES if store in Shard(number, 3)]
        assert outcome.json["skipped"] == []
        assert_adds_up(outcome.json)
    assert set(world.requests_per_photo().values()) == {1}
    assert world.states() == {"archived": 12}
    world.assert_archive_is_right()


def test_shards_of_one_archive_run_at_once(world: World) -> None:
    """The lock of the whole archive is for a run over all stores."""
    world.sandbox.latency = 0.2
    first, second = (world.start("sync", "--shard", part, "--json") for part in ("1/2", "2/2"))
    assert [world.end_of(process).code for process in (first, second)] == [0, 0]
    assert world.states() == {"archived": 12}


def test_a_store_outside_the_shard_is_left_alone_though_named(world: World) -> None:
    outside = next(store for store in STORES if store not in Shard(1, 2))
    outcome = world.sync_command("--shard", "1/2", "--campaign", str(outside))
    assert (outcome.code, outcome.json["stores"], len(world.log)) == (0, [], 0)


def test_a_store_that_waits_in_another_shard_is_no_concern_of_this_one(world: World) -> None:
    """Its pending photos are reported by its own shard, and by a run over all stores."""
    world.sync_command("--max-photos", "0")
    world.market.stores.pop(103)  # the key does not see it any more
    own = 1 if 103 in Shard(1, 2) else 2
    assert world.sync_command("--shard", f"{3 - own}/2").code == 0
    assert world.sync_command("--shard", f"{own}/2").code == 4
    assert world.sync_command().code == 4


def test_a_shard_without_stores_is_complete(make_world: MakeWorld) -> None:
    """One more part than stores is no error; a key without stores is one in each part."""
    world = make_world(stores=1)
    part = 2 if 101 in Shard(1, 2) else 1
    assert world.sync_command("--shard", f"{part}/2").code == 0
    world.market.stores.clear()
    assert world.sync_command("--shard", f"{part}/2").code == 4


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "1/0", "one/two", "-1/2", "1/2/3"])
def test_a_part_that_cannot_be_exits_2_without_a_request(world: World, part: str) -> None:
    outcome = world.command("backfill", "--from", "2026-01-01", "--shard", part)
    assert (outcome.code, len(world.log)) == (2, 0)
    assert "is not a part like 1/4" in outcome.stderr
