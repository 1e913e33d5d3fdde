"""What a record says about one of its photos. Pure.

A record is the API's, kept as it came: any field may be missing, null, or of another kind than today.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from market_photos.model import PhotoKey


class Words(NamedTuple):
    """Of the decision that lists the photo; empty where the record does not say."""

    sku: str = ""
    reason: str = ""
    subreason: str = ""
    decision: str = ""
    comment: str = ""

    @property
    def reasons(self) -> str:
        return " / ".join(part for part in (self.reason, self.subreason) if part)


class Said:
    """What a record says of its photos; made once for all of them."""

    def __init__(self, record: dict[str, Any]) -> None:
        self._by_photo: dict[tuple[object, object], Words] = {}
        self._by_item: dict[object, Words] = {}
        for item, decision in decisions(record):
            number, said = _hashable(decision.get("returnItemId")), words(item, decision)
            self._by_item.setdefault(number, said)
            for image in _list(decision, "images"):
                self._by_photo.setdefault((number, _hashable(image)), said)

    def of(self, key: PhotoKey) -> Words:
        """The words of the decision that lists this photo, else of one for its item."""
        return self._by_photo.get((key.item, key.image_hash)) or self._by_item.get(key.item, Words())


def words(item: dict[str, Any], decision: dict[str, Any]) -> Words:
    return Words(
        text(item, "shopSku"),
        text(decision, "reasonType"),
        text(decision, "subreasonType"),
        text(decision, "decisionType"),
        text(decision, "comment"),
    )


def decisions(record: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each decision with its item."""
    for item in _list(record, "items"):
        if isinstance(item, dict):
            yield from ((item, found) for found in _list(item, "decisions") if isinstance(found, dict))


def text(record: dict[str, Any], name: str) -> str:
    """The field as text that can be written as UTF-8; empty where it is missing or null."""
    value = record.get(name)
    return "" if value is None else encodable(str(value))


def encodable(value: str) -> str:
    """Without lone surrogates, which JSON may hold and UTF-8 may not."""
    return value.encode(errors="backslashreplace").decode()


def _hashable(value: object) -> object:
    return value if isinstance(value, int | str) else None


def _list(record: dict[str, Any], name: str) -> list[Any]:
    value = record.get(name)
    return value if isinstance(value, list) else []
