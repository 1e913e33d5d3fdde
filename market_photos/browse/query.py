"""A search with filters, as an address of a page and as a query of the index.

The address contains the whole query, so it can be sent to a colleague. Invalid values in it are ignored.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import urlencode

from market_photos.archive.layout import MAX_ID
from market_photos.clock import moscow_midnight
from market_photos.text import without_controls

#: Longest search text in characters, and the number of its words that are used.
MAX_QUERY_LENGTH = 200
MAX_WORDS = 12
#: Longest value of a filter, in characters.
MAX_VALUE_LENGTH = 100
#: A return's key in the index is its time of creation, then its row in the catalogue: newer returns have higher keys.
ROW_BITS = 30
_MAX_ROW: int = 2**ROW_BITS - 1
_MAX_CREATED: int = 2**33 - 1

_ENDING = re.compile(r"(?<=[а-я]{3})[аеиоуыэюяйь]{1,2}$")
_WORD = re.compile(r"[^\W_]")


class Place(NamedTuple):
    """The last return on a page, after which the next page begins. Pages go from the newest return to the oldest."""

    created_at: int
    campaign: int
    row: int

    def __str__(self) -> str:
        return f"{self.created_at}-{self.campaign}-{self.row}"


#: Filters by value: their name in the address, and the prefix of their tags in the index.
TAGS = {"reason": "r", "decision": "d", "refund": "f", "state": "s"}


@dataclass(frozen=True)
class Query:
    """A search text, filters, and the page of the results. Empty values do not restrict the search."""

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
        """Whether any search or filter is set."""
        return replace(self, after=None) != Query()

    def address(self, **changes: Any) -> str:
        """Return the address of this query with changes. Without `after` among them it is that of the first page."""
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
        """Return the FTS5 expression; empty if every return matches, None if none can."""
        tags = [(kind, getattr(self, name)) for name, kind in TAGS.items() if getattr(self, name)]
        parts = [f'tags : "{tag(kind, value)}"' for kind, value in tags]
        words = [part for part in (_match_word(word) for word in self.q.split()[:MAX_WORDS]) if part]
        if self.q and not words:
            return None
        return " AND ".join(parts + words)

    def span(self, campaign: int) -> tuple[int, int]:
        """Return the range of a store's keys: the first one, and the first one after it."""
        low = key(moscow_midnight(self.first), 0) if self.first else 0
        high = key(moscow_midnight(self.last + dt.timedelta(days=1)), 0) if self.last else MAX_ID
        if self.after:
            high = min(high, _before(self.after, campaign))
        return low, high


def parse(given: Mapping[str, str]) -> Query:
    """Return the query of an address. Invalid values are ignored."""
    return Query(
        q=" ".join(without_controls(given.get("q", "")[:MAX_QUERY_LENGTH]).split()),
        store=_number(given.get("store", "")),
        first=_date(given.get("from", "")),
        last=_date(given.get("to", "")),
        after=_place(given.get("after", "")),
        **{name: without_controls(given.get(name, "")[:MAX_VALUE_LENGTH]).strip() for name in TAGS},
    )


def key(created_at: int, row: int) -> int:
    """Return the key of a return. A time or row beyond its range is clamped."""
    return min(max(created_at, 0), _MAX_CREATED) << ROW_BITS | min(row, _MAX_ROW)


def unkey(value: int) -> tuple[int, int]:
    """Return (created_at, row)."""
    return value >> ROW_BITS, value & _MAX_ROW


def tag(kind: str, value: str) -> str:
    """Return a single search word that stands for a value of any characters."""
    return kind + hashlib.sha256(value.encode()).hexdigest()[:12]


def folded(words: str) -> str:
    """Return the words as the index stores them: in lower case, and with е for ё, which many people write."""
    return words.casefold().replace("ё", "е")


def _match_word(word: str) -> str:
    """Return the FTS5 expression of a word: a whole number, or a prefix without a Russian ending."""
    if not _WORD.search(word):
        return ""
    plain = _ENDING.sub("", folded(word))
    quoted = '"' + plain.replace('"', " ") + '"'
    found = f"words : {quoted} *"
    return f"(numbers : {quoted} OR {found})" if word.isdecimal() else found


def _before(place: Place, campaign: int) -> int:
    """Return the end of a store's range after `place`. Returns of the same second are ordered by store."""
    if campaign == place.campaign:
        return key(place.created_at, place.row)
    return key(place.created_at + (campaign > place.campaign), 0)


def _number(given: str) -> int | None:
    return int(given) if re.fullmatch(r"[0-9]{1,19}", given) and int(given) <= MAX_ID else None


def _date(given: str) -> dt.date | None:
    try:
        day = dt.date.fromisoformat(given)
    except ValueError:
        return None
    return day if 1970 <= day.year < 2240 else None


def _place(given: str) -> Place | None:
    match = re.fullmatch(r"([0-9]{1,10})-([0-9]{1,19})-([0-9]{1,10})", given)
    return Place(*(int(part) for part in match.groups())) if match else None
