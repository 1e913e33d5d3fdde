"""The data of the embedded Market: a key, its stores, their returns and photos.

    market = Market(seed=1)
    store = market.add_store(campaign=101)
    return_ = store.add_return(photos=3, comment="Коробка пришла мятая")
    return_.record()     # the API's record
    market.photos()      # with the bytes that the API serves

Everything may be changed while the sandbox serves it. Markets with the same seed, `now` and calls are equal.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from market_photos.clock import MOSCOW
from market_photos.sandbox import phrases
from market_photos.sandbox.listing import Filters
from market_photos.sandbox.pictures import JPEG, PNG, padded, picture
from market_photos.sandbox.records import ABSENT, Record, RecordFactory, present, stamp

KEY = f"ACMA:{'Sandbox0' * 5}:0a1b2c3d"
READ_ONLY = "INVENTORY_AND_ORDER_PROCESSING_READ_ONLY"
#: Each of these allows all methods of the sandbox.
USEFUL_SCOPES = {READ_ONLY, "INVENTORY_AND_ORDER_PROCESSING", "ALL_METHODS", "ALL_METHODS_READ_ONLY"}
AVAILABLE = "AVAILABLE"


@dataclass(frozen=True)
class Photo:
    """A photo, and what is served at its address: `content`, or a picture, of `size` bytes if that is given."""

    campaign: int
    order: int
    return_id: int
    item: int
    image_hash: str
    content_type: str
    content: bytes | None = None
    size: int | None = None

    @property
    def body(self) -> bytes:
        """The bytes that are served. They are made each time, so that markets with many photos need little memory."""
        if self.content is not None:
            return self.content
        drawn = self.content_type if self.content_type in {JPEG, PNG} else JPEG
        return padded(self.size, drawn, self.image_hash) if self.size else picture(self.image_hash, drawn)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the body, in hexadecimal."""
        return hashlib.sha256(self.body).hexdigest()


@dataclass(eq=False, repr=False)
class Return:
    """A return. Its attributes may be changed at any time; `record()` has their current values."""

    store: "MarketStore"
    id: int
    order: int
    created: datetime
    updated: datetime
    type: str
    items: list[Record]
    fields: Record

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        self.store.changed()

    def decisions(self) -> list[Record]:
        """Return the decisions of all items, none if they are null or absent."""
        return [decision for item in self.items for decision in item.get("decisions") or () if decision]

    def record(self) -> Record:
        """Return the API's ReturnDTO."""
        dates = {"creationDate": stamp(self.created, self.id), "updateDate": stamp(self.updated, self.id + 1)}
        known = {"id": self.id, "orderId": self.order, "returnType": self.type, **dates, "items": self.items}
        record: Record = present(known | self.fields)
        return record

    def matches(self, filters: Filters, to_date_inclusive: bool) -> bool:
        """Return whether a listing with these filters contains the return."""
        record = self.fields | {"orderId": self.order, "returnType": self.type}
        return filters.match(record, self.updated.astimezone(MOSCOW).date(), to_date_inclusive)


#: The API documents no order. "scattered" is stable but arbitrary, the most difficult one for a client.
_ORDERS: dict[str, Callable[[Return], Any]] = {
    "scattered": lambda return_: (zlib.crc32(str(return_.id).encode()), return_.id),
    "id": lambda return_: return_.id,
    "updated": lambda return_: (return_.updated, return_.id),
}


class MarketStore:
    """A store, called campaign in the API. `fields` override or extend its record."""

    def __init__(self, market: "Market", campaign: int, fields: Record) -> None:
        self.market = market
        self.campaign = campaign
        self.returns: dict[int, Return] = {}
        self.fields = {
            "id": campaign,
            "domain": f"Магазин {campaign}",
            "clientId": campaign * 10,
            "business": {"id": 9_000, "name": "Кабинет"},
            "placementType": "FBS",
            "apiAvailability": AVAILABLE,
        } | fields
        self._served: dict[tuple[int, str], dict[str, Any]] = {}
        self._gone: set[tuple[int, str]] = set()
        self._listings: dict[Any, Sequence[Return]] = {}

    def record(self) -> Record:
        """Return the API's record of the store."""
        record: Record = present(self.fields)
        return record

    @property
    def is_available(self) -> bool:
        """Whether the API answers for this store."""
        return self.fields["apiAvailability"] in {AVAILABLE, ABSENT}

    @property
    def has_photos(self) -> bool:
        """Whether the store has the photo method: LAAS stores only list returns."""
        return bool(self.fields["placementType"] != "LAAS")

    def add_return(
        self,
        photos: int = 0,
        *,
        id: int | None = None,
        order: int | None = None,
        created: datetime | None = None,
        updated: datetime | None = None,
        type: str = "RETURN",
        comment: Any = ...,
        item: int | None = None,
        images: Any = ...,
        decisions: Any = ...,
        items: list[Record] | None = None,
        content_type: str | None = None,
        size: int | None = None,
        **fields: Any,
    ) -> Return:
        """Add a return, by default with one item, one decision and `photos` photos.

        Without photos its `images` are null: the API never sends an empty list. `actions.empty_lists` does.
        `comment`, `images` (hashes), `decisions` and `items` are used in the record unchanged; all but the last may
        be None or ABSENT. `item` is the decision's returnItemId. `fields` are fields of the record:
        `refundStatus=ABSENT`, `newField=1`. `content_type` and `size`: see `serve`.
        """
        market = self.market
        if images is ...:
            images = [market.image_hash() for _ in range(photos)] or None
        if decisions is ...:
            decisions = [market.decision(images, comment, item)]
        created = created or market.now - timedelta(days=1)
        return_ = Return(
            store=self,
            id=market.return_id(type) if id is None else id,
            order=market.order() if order is None else order,
            created=created,
            updated=updated or created,
            type=type,
            items=[market.item(decisions)] if items is None else items,
            fields=market.return_fields(type) | fields,
        )
        self.returns[return_.id] = return_
        self.changed()
        for photo in self.photos(return_) if content_type or size else ():
            self.serve(photo, content_type=content_type, size=size)
        return return_

    def add_photo(self, return_: Return, image_hash: str | None = None, **served: Any) -> Photo:
        """Add a photo to the return's last decision. Its update date stays: it is not documented that it changes."""
        decision = return_.decisions()[-1]
        decision["images"] = [*_images(decision), image_hash or self.market.image_hash()]
        self.serve(self.photos(return_)[-1], **served)
        return self.photos(return_)[-1]

    def serve(
        self, photo: Photo, *, body: bytes | None = None, content_type: str | None = None, size: int | None = None
    ) -> None:
        """Serve the photo with these bytes, this type, or a picture of this size."""
        options = {"content": body, "content_type": content_type, "size": size}
        served = {name: value for name, value in options.items() if value is not None}
        self._served[photo.item, photo.image_hash] = served

    def lose(self, photo: Photo) -> None:
        """Answer 404 for the photo, which stays in the listing."""
        self._gone.add((photo.item, photo.image_hash))

    def find(self, photo: Photo) -> None:
        """Serve a lost photo again."""
        self._gone.discard((photo.item, photo.image_hash))

    def remove(self, return_: Return) -> None:
        """Remove the return from listings and answers."""
        del self.returns[return_.id]
        self.changed()

    def photos(self, return_: Return) -> list[Photo]:
        """Return the photos of a return in the order of its record, including lost ones."""
        return [
            self._photo(return_, decision["returnItemId"], image_hash)
            for decision in return_.decisions()
            for image_hash in _images(decision)
        ]

    def photo(self, order: int, return_id: int, item: int, image_hash: str) -> Photo | None:
        """Return the photo at this address, or None if there is none or it is lost."""
        return_ = self.returns.get(return_id)
        if return_ is None or return_.order != order or (item, image_hash) in self._gone:
            return None
        photos = (photo for photo in self.photos(return_) if (photo.item, photo.image_hash) == (item, image_hash))
        return next(photos, None)

    def listing(self, filters: Filters) -> Sequence[Return]:
        """Return the matching returns in the Market's order; the sorted list is kept for the next page."""
        order, inclusive = self.market.listing_order, self.market.to_date_inclusive
        key = (filters, order, inclusive)
        if key not in self._listings:
            matching = filter(lambda return_: return_.matches(filters, inclusive), self.returns.values())
            self._listings[key] = sorted(matching, key=_ORDERS[order])
        return self._listings[key]

    def changed(self) -> None:
        """Forget the sorted lists after a change."""
        self._listings.clear()

    def _photo(self, return_: Return, item: int, image_hash: str) -> Photo:
        usual = {"content_type": PNG if zlib.crc32(image_hash.encode()) % 5 == 0 else JPEG}  # one in five is a PNG
        served = usual | self._served.get((item, image_hash), {})
        return Photo(self.campaign, return_.order, return_.id, item, image_hash, **served)


def _images(decision: Record) -> list[str]:
    """Return the hashes that have an address: none if the decision has no id."""
    images = decision.get("images")
    return images if isinstance(images, list) and isinstance(decision.get("returnItemId"), int) else []


class Market(RecordFactory):
    """Everything that one key gives access to.

    `listing_order` is "scattered", "id" or "updated"; `to_date_inclusive` says whether a listing includes `toDate`.
    Neither is documented.
    """

    def __init__(self, seed: int = 1, *, key: str = KEY, now: datetime | None = None) -> None:
        super().__init__(seed)
        self.key = key
        self.scopes = [READ_ONLY]
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)
        self.stores: dict[int, MarketStore] = {}
        self.listing_order = "scattered"
        self.to_date_inclusive = True

    def __repr__(self) -> str:
        return f"<Market: {len(self.stores)} stores, {len(self.return_ids)} returns>"

    def add_store(self, campaign: int | None = None, name: str = "", **fields: Any) -> MarketStore:
        """Add a store with access to the API. `fields` override or extend its record; `name` is its domain."""
        campaign = campaign or max(self.stores, default=100) + 1
        named = {"domain": name} if name else {}
        self.stores[campaign] = MarketStore(self, campaign, named | fields)
        return self.stores[campaign]

    @property
    def returns(self) -> Iterator[Return]:
        """The returns of all stores, in the order in which they were added."""
        return (return_ for store in self.stores.values() for return_ in store.returns.values())

    @property
    def return_ids(self) -> list[int]:
        """The ids of all returns."""
        return [return_.id for return_ in self.returns]

    def photos(self) -> list[Photo]:
        """Return the photos of all returns."""
        return [photo for return_ in self.returns for photo in return_.store.photos(return_)]

    def populate(self, *, stores: int = 2, returns: int = 40, photos: int = 120, months: int = 5) -> None:
        """Add `returns` with `photos` in total, spread over the stores and the last `months`.

        A quarter of them await the seller's decision, of both kinds, and were created in the last two days.
        """
        shops = [self.add_store(name=phrases.STORES[number % len(phrases.STORES)]) for number in range(stores)]
        shares = [0] * returns
        for _ in range(photos):
            shares[self._rng.randrange(returns)] += 1
        for number, share in enumerate(shares):
            created = self.now - timedelta(seconds=self._rng.randrange(3_600, months * 30 * 86_400))
            fields: Record = {}
            if status := phrases.AWAITING.get(number % 8):
                created = self.now - timedelta(hours=number * 7 % 50 + 1)
                fields["refundStatus"] = status
            updated = min(self.now, created + timedelta(milliseconds=self._rng.randrange(10 * 86_400_000)))
            shops[number % stores].add_return(share, created=created, updated=updated, **fields)
