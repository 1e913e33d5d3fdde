"""A search with filters, as an address of a page and as a query of the index.

The address contains the whole query, so it can be sent to a colleague. Invalid values in it are ignored.
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlencode

import snowballstemmer

from market_photos.archive.layout import MAX_ID
from market_photos.clock import moscow_midnight
from market_photos.text import without_controls

#: The address of the list of returns.
RESULTS = "/returns"
#: Longest search text in characters, and the number of its words that are used.
MAX_QUERY_LENGTH = 200
MAX_WORDS = 12
#: Longest value of a filter, in characters.
MAX_VALUE_LENGTH = 100
#: Digits from which on a part of a number is searched for, not only the whole number.
PART_DIGITS = 3
#: A return's key in the index is its time of creation, then its row in the catalogue: newer returns have higher keys.
ROW_BITS = 30
_MAX_ROW: int = 2**ROW_BITS - 1
_MAX_CREATED: int = 2**33 - 1

#: Filters by value: their name in the address, and the kind of their tags in the index.
TAGS = {"reason": "r", "decision": "d", "refund": "f", "state": "s"}
#: Kind and value.
Tag = tuple[str, str]
#: The value of the filter by refund that stands for both states that await the seller's decision.
AWAITING_VALUE = "awaiting"
#: Of a return without photos.
NO_PHOTOS: Tag = ("s", "none")

_EDGES = re.compile(r"^[\W_]+|[\W_]+$")
#: A number in groups of digits, `500 000 028`, or anything else without spaces.
_TERM = re.compile(r"(?<!\S)\d{1,3}(?: \d{3})+(?!\S)|\S+")
_CYRILLIC = re.compile("[а-я]+")
#: What people write before a number; stems.
_LABELS = {"заказ", "возврат", "номер", "позиц", "артикул", "order", "return", "number", "item", "no", "n", "sku"}
_stemmer = snowballstemmer.stemmer("russian")


class Place(NamedTuple):
    """A return's place in the results, which go from the newest return to the oldest."""

    created_at: int
    campaign: int
    row: int

    @property
    def order(self) -> tuple[int, int, int]:
        """Sorts places in their order; within a second, stores go by number."""
        return -self.created_at, self.campaign, -self.row

    def __str__(self) -> str:
        return f"{self.created_at}-{self.campaign}-{self.row}"


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
    """The last return of the page before this one."""

    @property
    def narrows(self) -> bool:
        """Whether any search or filter is set."""
        return self.at() != Query()

    @property
    def tags(self) -> dict[str, Tag]:
        """The tags that the filters require, by filter."""
        return {name: (kind, getattr(self, name)) for name, kind in TAGS.items() if getattr(self, name)}

    def at(self, after: Place | None = None) -> "Query":
        """Return this query at another page of the results, by default the first."""
        return replace(self, after=after)

    def address(self, path: str = RESULTS, **changes: Any) -> str:
        """Return an address with this query, changed: of the first page unless the changes name `after`."""
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
        return f"{path}?{encoded}" if encoded else path

    def accepts(self, tags: set[Tag], without: str = "") -> bool:
        """Return whether a return with these tags passes the filters, or those `without` one of them.

        Returns without photos are left out unless something is searched for.
        """
        chosen = self.tags
        is_search = bool(self.q or chosen or without)
        return all(tag in tags for name, tag in chosen.items() if name != without) and (
            is_search or NO_PHOTOS not in tags
        )

    def match(self) -> str | None:
        """Return the FTS5 expression of the text; empty if there is none, None if nothing can match."""
        words = [_EDGES.sub("", word) for word in re.sub("[№#]", " ", folded(self.q)).split()]
        terms = _TERM.findall(" ".join(filter(None, words)))
        if any(re.search(r"\d", term) for term in terms):
            terms = [term for term in terms if stemmed(term) not in _LABELS] or terms
        if self.q and not terms:
            return None
        return " AND ".join(_match_term(term) for term in terms[:MAX_WORDS])

    def span(self, campaign: int) -> tuple[int, int]:
        """Return the range of a store's keys: the first one, and the first one after it."""
        low = key(moscow_midnight(self.first), 0) if self.first else 0
        high = key(moscow_midnight(self.last + dt.timedelta(days=1)), 0) if self.last else MAX_ID
        if self.after:
            high = min(high, end_before(self.after, campaign))
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


def end_before(place: Place, campaign: int) -> int:
    """Return the first key of a store that does not come after `place`."""
    if campaign == place.campaign:
        return key(place.created_at, place.row)
    return key(place.created_at + (campaign > place.campaign), 0)


def folded(text: str) -> str:
    """Return the text in lower case, and with е for ё, which many people write."""
    return text.casefold().replace("ё", "е")


def stemmed(text: str) -> str:
    """Return the text as the index stores it: folded, with the stem of every Russian word.

    The index itself stems English words (FTS5's `porter`).
    """
    return _CYRILLIC.sub(lambda found: _stem(found[0]), folded(text))


@lru_cache(50_000)  # comments repeat their words, and a stem takes 25 µs
def _stem(word: str) -> str:
    return str(_stemmer.stemWord(word))


def _match_term(term: str) -> str:
    """Return the FTS5 expression of a word, or of a number or a part of it."""
    if " " in term:
        groups = " AND ".join(_in_words(group) for group in term.split())
        return f"({_match_term(term.replace(' ', ''))} OR ({groups}))"
    if not re.search(r"\d", term):
        return _in_words(term)
    is_part = term.isdecimal() and len(term) >= PART_DIGITS
    parts = f'"{term}" * OR reversed : "{term[::-1]}" *' if is_part else _quoted(term)
    return f"(numbers : {parts} OR {_in_words(term)})"


def _in_words(term: str) -> str:
    return f"words : {_quoted(stemmed(term))} *"


def _quoted(term: str) -> str:
    return '"' + term.replace('"', " ") + '"'


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
