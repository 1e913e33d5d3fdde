"""A store of the sandbox: its returns and the photos on them."""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from market_photos.sandbox.pictures import JPEG, PNG, padded, picture
from market_photos.sandbox.returns import ABSENT, ORDERS, Filters, Record, Return, present

if TYPE_CHECKING:
    from market_photos.sandbox.world import Market

AVAILABLE = "AVAILABLE"


@dataclass(frozen=True)
class Photo:
    """A photo, and what is served at its address."""

    campaign: int
    order: int
    return_id: int
    item: int
    image_hash: str
    content_type: str
    given: bytes | None = None
    size: int | None = None

    @property
    def body(self) -> bytes:
        """The bytes that are served. They are made each time, so that markets with many photos need little memory."""
        if self.given is not None:
            return self.given
        drawn = self.content_type if self.content_type in {JPEG, PNG} else JPEG
        return padded(self.size, drawn, self.image_hash) if self.size else picture(self.image_hash, drawn)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True)
class _PhotoOptions:
    """How a photo is served; None stands for the default."""

    content_type: str | None = None
    body: bytes | None = None
    size: int | None = None


class Store:
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
        self._photo_options: dict[tuple[int, str], _PhotoOptions] = {}
        self._gone: set[tuple[int, str]] = set()
        self._listings: dict[Any, Sequence[Return]] = {}

    def __repr__(self) -> str:
        return f"<Store {self.campaign}: {len(self.returns)} returns>"

    def record(self) -> Record:
        """Return the API's record of the store."""
        record: Record = present(self.fields)
        return record

    @property
    def available(self) -> bool:
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
        `refundStatus=ABSENT`, `newField=1`. `content_type` and `size` say how the photos are served.
        """
        market = self.market
        if images is ...:
            images = [market.image_hash() for _ in range(photos)] or None
        if decisions is ...:
            decisions = [market.decision(images, comment, item)]
        created = created or market.now - timedelta(days=1)
        back = Return(
            store=self,
            id=market.return_id(type) if id is None else id,
            order=market.order() if order is None else order,
            created=created,
            updated=updated or created,
            type=type,
            items=[market.item(decisions)] if items is None else items,
            fields=market.return_fields(type) | fields,
        )
        return self._added(back, _PhotoOptions(content_type, None, size))

    def add_photo(self, back: Return, image_hash: str | None = None, **options: Any) -> Photo:
        """Add a photo to the return's last decision. Its update date stays: it is not documented that it changes."""
        decision = back.decisions()[-1]
        image_hash = image_hash or self.market.image_hash()
        decision["images"] = [*_images(decision), image_hash]
        self._photo_options[decision["returnItemId"], image_hash] = _PhotoOptions(**options)
        return self.photos(back)[-1]

    def serve(
        self, photo: Photo, *, body: bytes | None = None, content_type: str | None = None, size: int | None = None
    ) -> None:
        """Serve the photo with these bytes, this type, or a picture of this size."""
        self._photo_options[photo.item, photo.image_hash] = _PhotoOptions(content_type, body, size)

    def lose(self, photo: Photo) -> None:
        """Answer 404 for the photo, which stays in the listing."""
        self._gone.add((photo.item, photo.image_hash))

    def find(self, photo: Photo) -> None:
        """Serve a lost photo again."""
        self._gone.discard((photo.item, photo.image_hash))

    def remove(self, back: Return) -> None:
        """Remove the return from listings and answers."""
        del self.returns[back.id]
        self.changed()

    def photos(self, back: Return) -> list[Photo]:
        """Return the photos of a return in the order of its record, including lost ones."""
        return [
            self._photo(back, decision["returnItemId"], image_hash)
            for decision in back.decisions()
            for image_hash in _images(decision)
        ]

    def photo(self, order: int, return_id: int, item: int, image_hash: str) -> Photo | None:
        """Return the photo at this address, or None if there is none or it is lost."""
        back = self.returns.get(return_id)
        if back is None or back.order != order or (item, image_hash) in self._gone:
            return None
        found = (photo for photo in self.photos(back) if (photo.item, photo.image_hash) == (item, image_hash))
        return next(found, None)

    def listing(self, filters: Filters) -> Sequence[Return]:
        """Return the matching returns in the Market's order. The sorted list is kept for the next page."""
        order, inclusive = self.market.listing_order, self.market.to_date_inclusive
        key = (filters, order, inclusive)
        if key not in self._listings:
            passing = (back for back in self.returns.values() if filters.passes(back, inclusive))
            self._listings[key] = sorted(passing, key=ORDERS[order])
        return self._listings[key]

    def changed(self) -> None:
        """Forget the sorted lists after a change."""
        self._listings.clear()

    def _added(self, back: Return, options: _PhotoOptions) -> Return:
        self.returns[back.id] = back
        self.changed()
        if options != _PhotoOptions():
            self._photo_options |= {(photo.item, photo.image_hash): options for photo in self.photos(back)}
        return back

    def _photo(self, back: Return, item: int, image_hash: str) -> Photo:
        options = self._photo_options.get((item, image_hash), _PhotoOptions())
        # one in five, depending on the hash, is a PNG
        usual = PNG if zlib.crc32(image_hash.encode()) % 5 == 0 else JPEG
        place = (self.campaign, back.order, back.id, item, image_hash)
        return Photo(*place, options.content_type or usual, options.body, options.size)


def _images(decision: Record) -> list[str]:
    """Return the hashes that have an address: none if the decision has no id."""
    images = decision.get("images")
    return images if isinstance(images, list) and isinstance(decision.get("returnItemId"), int) else []
