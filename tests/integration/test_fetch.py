"""`fetch`: the photos of one return or of one order, by the numbers that a person has."""

import pytest

from market_photos.sandbox.world import Return
from tests.integration.conftest import MakeWorld
from tests.integration.harness import World, assert_adds_up, fill


def test_an_order_alone_brings_all_its_returns_from_the_store_that_has_it(make_world: MakeWorld) -> None:
    """The API filters by the order: one page of the list in each store, and no other photo."""
    world = make_world(stores=2)
    fill(world.market.stores[101], returns=3)
    store = world.market.stores[102]
    fill(store, returns=3)
    backs = [store.add_return(order=777, photos=2), store.add_return(order=777, photos=1)]
    done = world.command("fetch", "--order", "777", "--json")
    assert (done.code, done.json["downloaded"], done.json["discovered"]) == (0, 3, 3), done.stderr
    assert_adds_up(done.json)
    assert _asked(world) == _images(*backs)
    assert world.log.count("returns") == 2
    again = world.command("fetch", "--order", "777", "--json")
    assert (again.code, again.json["downloaded"], again.json["already"]) == (0, 0, 3)


def test_the_photos_of_other_orders_stay_pending(world: World) -> None:
    store = world.market.stores[101]
    others = fill(store, returns=4)
    world.command("sync", "--max-photos", "0")
    back = store.add_return(order=777, photos=2)
    done = world.command("fetch", "--order", "777", "--json")
    assert (done.code, done.json["downloaded"], done.json["pending"]) == (0, 2, 0)
    assert _asked(world) == _images(back)
    assert world.states() == {"archived": 2, "pending": len(others)}


def test_a_return_alone_is_found_in_the_archive(make_world: MakeWorld) -> None:
    world = make_world(stores=2)
    for store in world.market.stores.values():
        fill(store, returns=3)
    world.command("sync", "--max-photos", "0")
    back = list(world.market.stores[102].returns.values())[1]
    world.log.clear()
    done = world.command("fetch", "--return", str(back.id), "--json")
    assert (done.code, done.json["downloaded"]) == (0, 1), done.stderr
    assert (world.log.count("return"), world.log.count("photo"), world.log.count("returns")) == (1, 1, 0)


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((), "needs --order"),
        (("--return", "99"), "has no return 99"),
        (("--return", "99"), "fetch --order ORDER"),
        (("--order", "98", "--return", "99"), "has no return 99 of order 98"),
        (("--order", "98"), "No store has a return of order 98"),
    ],
)
def test_an_unknown_number_is_explained(world: World, numbers: tuple[str, ...], told: str) -> None:
    fill(world.market.stores[101], returns=1)
    world.command("sync")
    done = world.command("fetch", *numbers)
    assert (done.code, told in done.stderr) == (2, True), done.stderr


def _images(*backs: Return) -> set[str]:
    return {image for back in backs for decision in back.decisions() for image in decision["images"]}


def _asked(world: World) -> set[str]:
    return {entry.image_hash for entry in world.log.of("photo")}
