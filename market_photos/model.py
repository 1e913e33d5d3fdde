"""The words that market, archive and sync share. Nothing here reads, writes or asks."""

from typing import Any, NamedTuple

from market_photos.console import redact


class PhotoKey(NamedTuple):
    """What names a photo everywhere: in a URL, in the catalogue, in a file name."""

    campaign: int
    order: int
    return_id: int
    item: int
    """The decision's `returnItemId`: that is what the photo method takes as itemId."""
    image_hash: str
    """Any text. The API promises no pattern: never a file name, never shortened, encoded in URLs."""

    def __str__(self) -> str:
        """Short, for people and logs."""
        shown = redact(self.image_hash)
        shown = shown if len(shown) <= 12 else shown[:12] + "…"
        return f"order {self.order} return {self.return_id} item {self.item} photo {shown}"


class Return(NamedTuple):
    """A return as one listing gave it."""

    campaign: int
    order: int
    id: int
    created: str
    """The API's own text (ISO 8601 with an offset), or empty."""
    created_at: int
    """The same in seconds since 1970; where the record has no date of creation that of its update, else 0."""
    updated: str
    record: dict[str, Any]
    """The API's record, unknown fields kept."""
    photos: tuple[PhotoKey, ...]
    """In the order of the record, each once."""
