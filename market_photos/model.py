"""Types that market, archive and sync share."""

from typing import Any, NamedTuple

from market_photos.console import redact


class ReturnRef(NamedTuple):
    """The numbers that name a return within its store."""

    order: int
    return_id: int


class OrderRef(NamedTuple):
    """All returns of an order within its store."""

    order: int
    return_id: None = None


#: What a run may be restricted to.
Wanted = ReturnRef | OrderRef


class PhotoKey(NamedTuple):
    """The identity of a photo in URLs, the catalogue and file names."""

    campaign: int
    order: int
    return_id: int
    item: int
    """The decision's `returnItemId`, which the photo method takes as itemId."""
    image_hash: str
    """Any text: the API promises no pattern. Never use it as a file name; encode it in URLs; do not shorten it."""

    @property
    def of_return(self) -> ReturnRef:
        """The return that the photo belongs to."""
        return ReturnRef(self.order, self.return_id)

    def __str__(self) -> str:
        """Return a short text for people and logs."""
        shown = redact(self.image_hash)
        shown = shown if len(shown) <= 12 else shown[:12] + "…"
        return f"order {self.order} return {self.return_id} item {self.item} photo {shown}"


class Return(NamedTuple):
    """A return as a listing returned it."""

    campaign: int
    order: int
    id: int
    created: str
    """The API's text (ISO 8601 with an offset), or empty."""
    created_at: int
    """In seconds since 1970: the creation, else the update, else 0."""
    updated: str
    record: dict[str, Any]
    """The API's record with unknown fields."""
    photos: tuple[PhotoKey, ...]
    """Without duplicates, in the order of the record."""
