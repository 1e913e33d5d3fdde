"""The data of the embedded Market: a key, its stores, their returns and photos.

    market = Market(seed=1)
    store = market.add_store(campaign=101)
    back = store.add_return(photos=3, comment="Коробка пришла мятая")
    back.record()        # the API's record
    market.photos()      # with the bytes that the API serves

Everything may be changed while the sandbox serves it. Markets with the same seed, `now` and calls are equal.
"""

import hashlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from market_photos.sandbox import phrases
from market_photos.sandbox.returns import Record, Return
from market_photos.sandbox.store import Photo, Store

KEY = f"ACMA:{'Sandbox0' * 5}:0a1b2c3d"
READ_ONLY = "INVENTORY_AND_ORDER_PROCESSING_READ_ONLY"
#: Each of these allows all methods of the sandbox.
USEFUL_SCOPES = {READ_ONLY, "INVENTORY_AND_ORDER_PROCESSING", "ALL_METHODS", "ALL_METHODS_READ_ONLY"}


class Market:
    """Everything that one key gives access to.

    `listing_order` is "scattered", "id" or "updated"; `to_date_inclusive` says whether a listing includes `toDate`.
    Neither is documented.
    """

    def __init__(self, seed: int = 1, *, key: str = KEY, now: datetime | None = None) -> None:
        self.key = key
        self.scopes = [READ_ONLY]
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)
        self.stores: dict[int, Store] = {}
        self.listing_order = "scattered"
        self.to_date_inclusive = True
        self._seed = seed
        self._rng = random.Random(seed)
        self._hashes, self._orders, self._decisions = count(1), count(500_000_001), count(70_000_001)
        # the two types of return number themselves from different ranges
        self._ids = {"RETURN": count(40_000_001), "UNREDEEMED": count(3_000_000_001)}

    def __repr__(self) -> str:
        return f"<Market: {len(self.stores)} stores, {len(self.return_ids)} returns>"

    def add_store(self, campaign: int | None = None, name: str = "", **fields: Any) -> Store:
        """Add a store with access to the API. `fields` override or extend its record; `name` is its domain."""
        campaign = campaign or max(self.stores, default=100) + 1
        named = {"domain": name} if name else {}
        self.stores[campaign] = Store(self, campaign, named | fields)
        return self.stores[campaign]

    @property
    def returns(self) -> Iterator[Return]:
        return (back for store in self.stores.values() for back in store.returns.values())

    @property
    def return_ids(self) -> list[int]:
        return [back.id for back in self.returns]

    def photos(self) -> list[Photo]:
        """Return the photos of all returns, in the order in which the returns were added."""
        return [photo for back in self.returns for photo in back.store.photos(back)]

    def populate(self, *, stores: int = 2, returns: int = 40, photos: int = 120, months: int = 5) -> None:
        """Add `returns` with `photos` in total, spread over the stores and the last `months`."""
        shops = [self.add_store(name=phrases.STORES[number % len(phrases.STORES)]) for number in range(stores)]
        shares = self._shares(photos, returns)
        for number, share in enumerate(shares):
            created = self.now - timedelta(seconds=self._rng.randrange(3_600, months * 30 * 86_400))
            updated = min(self.now, created + timedelta(milliseconds=self._rng.randrange(10 * 86_400_000)))
            shops[number % stores].add_return(share, created=created, updated=updated)

    def image_hash(self) -> str:
        """Return a new hash of forty hex digits, the only form seen so far."""
        return hashlib.sha1(f"{self._seed}/{next(self._hashes)}".encode()).hexdigest()

    def return_id(self, type: str) -> int:
        return next(self._ids.get(type, self._ids["RETURN"]))

    def order(self) -> int:
        return next(self._orders)

    def decision(self, images: Any, comment: Any = ..., item: int | None = None) -> Record:
        reason = self._rng.choice(list(phrases.REASONS))
        return {
            "returnItemId": item or next(self._decisions),
            "count": 1,
            "comment": self._rng.choice(phrases.COMMENTS) if comment is ... else comment,
            "reasonType": reason,
            "subreasonType": self._rng.choice(phrases.REASONS[reason]),
            "decisionType": self._rng.choice(phrases.DECISIONS),
            "images": images,
        }

    def item(self, decisions: Any) -> Record:
        number = self._rng.randrange(100_000, 999_999)
        return {"marketSku": number, "shopSku": self._rng.choice(phrases.SKUS), "count": 1, "decisions": decisions}

    def return_fields(self, type: str) -> Record:
        refund = {"refundStatus": self._rng.choice(phrases.REFUND_STATUSES)} if type == "RETURN" else {}
        value = self._rng.randrange(300, 9_000)
        return {
            "shipmentStatus": self._rng.choice(phrases.SHIPMENT_STATUSES),
            "fastReturn": False,
            "amount": {"value": value, "currencyId": "RUR"},
            **refund,
        }

    def _shares(self, whole: int, parts: int) -> list[int]:
        """Return `parts` random numbers that add up to `whole`."""
        shares = [0] * parts
        for _ in range(whole):
            shares[self._rng.randrange(parts)] += 1
        return shares
