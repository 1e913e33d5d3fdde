"""Each store belongs to one shard."""

from market_photos.sync.shard import WHOLE, Shard

STORES = range(1, 2001)


def test_every_store_belongs_to_exactly_one_shard() -> None:
    for store in STORES:
        assert sum(store in Shard(number, 7) for number in range(1, 8)) == 1
        assert store in WHOLE


def test_shards_have_about_the_same_number_of_stores() -> None:
    sizes = [sum(store in Shard(number, 4) for store in STORES) for number in range(1, 5)]
    assert min(sizes) > 450


def test_a_store_stays_in_its_shard_for_ever() -> None:
    """By the SHA-256 of its id: other stores, machines and versions of Python do not move it."""
    assert [store for store in range(101, 121) if store in Shard(1, 2)] == [101, 105, 106, 111, 114, 115, 118, 119]
