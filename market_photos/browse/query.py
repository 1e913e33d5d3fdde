"""What is asked for: from a page's address and back, and as a question to the index. Pure.

The address holds everything, so that a clerk can send it to a colleague. Whatever stands in it, there is an answer:
a value that means nothing is left out.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from market_photos.clock import moscow_midnight
from market_photos.text import without_controls

#: Longest search text and most words of it that are heeded.
MOST_QUERY = 200
MOST_WORDS = 12
#: Longest value of a filter.
MOST_VALUE = 100
_MOST_ID = 2**63 - 1

#: A return's key in the index: when it was created, then its row in the catalogue. Newest first is highest first.
ROW_BITS = 30
_MOST_ROW: int = 2**ROW_BITS - 1
_MOST_CREATED: int = 2**33 - 1

_ENDING = re.compile(r"(?<=[а-я]{3})[аеиоуыэюяйь]{1,2}$")
_WORD = re.compile(r"[^\W_]")


class Place(NamedTuple):
    """Where a page ends: the last return on it. Pages go from the newest to the oldest."""

    created_at: int
    campaign: int
    row: int

    def __str__(self) -> str:
        return f"{self.created_at}-{self.campaign}-{self.row}"


#: Filters that are a tag in the index, by their name in the address.
TAGS = {"reason": "r", "decision": "d", "refund": "f", "state": "s"}


@dataclass(frozen=True)
class Query:
    q: str = ""
    store: int | None = None
    first: dt.date | None = None
    last: dt.date | None = None
    reason: str = ""
    decision: str = ""
    refund: str = ""
    state: str = ""
    after: Place | None = None

    @property
    def narrows(self) -> bool:
        """Whether anything is asked for in particular."""
        return replace(self, after=None) != Query()

    def address(self, **changes: Any) -> str:
        """The page with this state and these changes; `after` only where it is among them."""
        query = replace(self, **{"after": None} | changes)
        pairs = {
            "q": query.q,
            "store": query.store,
            "from": query.first,
            "to": query.last,
            **{name: getattr(query, name) for name in TAGS},
            "after": query.after,
        }
        encoded = urlencode({name: str(value) for name, value in pairs.items() if value not in (None, "")})
        return f"/?{encoded}" if encoded else "/"

    def match(self) -> str | None:
        """In the words of FTS5; empty where nothing is asked of it, None where nothing can match."""
        tags = [(kind, getattr(self, name)) for name, kind in TAGS.items() if getattr(self, name)]
        parts = [f'tags : "{tag(kind, value)}"' for kind, value in tags]
        words = [part for part in (_match_word(word) for word in self.q.split()[:MOST_WORDS]) if part]
        if self.q and not words:
            return None
        return " AND ".join(parts + words)

    def span(self, campaign: int) -> tuple[int, int]:
        """The keys of a store's returns that are asked for: from (included) to (excluded)."""
        low = key(moscow_midnight(self.first), 0) if self.first else 0
        high = key(moscow_midnight(self.last + dt.timedelta(days=1)), 0) if self.last else 2**63 - 1
        if self.after:
            high = min(high, _before(self.after, campaign))
        return low, high


def parse(given: Mapping[str, str]) -> Query:
    """From an address; what means nothing is left out."""
    return Query(
        q=" ".join(without_controls(given.get("q", "")[:MOST_QUERY]).split()),
        store=_number(given.get("store", "")),
        first=_date(given.get("from", "")),
        last=_date(given.get("to", "")),
        after=_place(given.get("after", "")),
        **{name: without_controls(given.get(name, "")[:MOST_VALUE]).strip() for name in TAGS},
    )


def key(created_at: int, row: int) -> int:
    return min(max(created_at, 0), _MOST_CREATED) << ROW_BITS | min(row, _MOST_ROW)


def unkey(value: int) -> tuple[int, int]:
    """(created_at, row)"""
    return value >> ROW_BITS, value & _MOST_ROW


def tag(kind: str, value: str) -> str:
    """One word of the index for a value of any characters."""
    return kind + hashlib.sha256(value.encode()).hexdigest()[:12]


def folded(words: str) -> str:
    """As the index has it: people write е for ё."""
    return words.casefold().replace("ё", "е")


def _match_word(word: str) -> str:
    """A number is meant exactly, a word by its beginning, a Russian one without its ending."""
    if not _WORD.search(word):
        return ""
    plain = _ENDING.sub("", folded(word))
    quoted = '"' + plain.replace('"', " ") + '"'
    found = f"words : {quoted} *"
    return f"(numbers : {quoted} OR {found})" if word.isdecimal() else found


def _before(place: Place, campaign: int) -> int:
    """The first key that a store no longer has after the place: stores of the same second follow by number."""
    if campaign == place.campaign:
        return key(place.created_at, place.row)
    return key(place.created_at + (campaign > place.campaign), 0)


def _number(given: str) -> int | None:
    return int(given) if re.fullmatch(r"[0-9]{1,19}", given) and int(given) <= _MOST_ID else None


def _date(given: str) -> dt.date | None:
    try:
        day = dt.date.fromisoformat(given)
    except ValueError:
        return None
    return day if 1970 <= day.year < 2240 else None


def _place(given: str) -> Place | None:
    match = re.fullmatch(r"([0-9]{1,10})-([0-9]{1,19})-([0-9]{1,10})", given)
    return Place(*(int(part) for part in match.groups())) if match else None
