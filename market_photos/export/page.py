"""The page of a pack: opens offline from the unpacked folder, and prints.

Everything that came from outside is escaped, and the page forbids itself scripts. Only photos whose bytes and name
both say a plain picture are shown; anything else (an SVG, a video, an unknown type) is a link.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import quote

import jinja2

from market_photos import __version__
from market_photos.archive.snapshot import KnownPhoto, KnownReturn
from market_photos.clock import iso
from market_photos.export.labels import LABELS
from market_photos.export.wanted import Wanted
from market_photos.export.words import Said, Words, decisions, text, words

#: What every browser of today shows and no script can hide in. HEIC is left out: few show it.
SHOWN_KINDS = frozenset({".jpg", ".png", ".gif", ".webp", ".bmp", ".avif"})


class Shown(NamedTuple):
    """A photo of the pack; without a path it is not in it."""

    photo: KnownPhoto
    path: str = ""
    """Relative to the page."""
    kind: str = ""
    """The suffix that its first bytes deserve."""

    @property
    def href(self) -> str:
        return quote(self.path)

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def is_picture(self) -> bool:
        return bool(self.path) and {self.kind, PurePosixPath(self.path).suffix} <= SHOWN_KINDS


class Group(NamedTuple):
    """The photos of one decision under its words."""

    item: object
    words: Words
    photos: list[Shown]


@dataclass(frozen=True)
class Sheet:
    """One return on the page."""

    store: str
    back: KnownReturn
    photos: list[Shown]
    record_path: str

    def field(self, name: str) -> str:
        return text(self.back.record, name)

    def groups(self) -> list[Group]:
        """Every decision in the order of the record, those without photos too: the buyer's words count."""
        record = self.back.record
        by_photo = Said(record)
        found: dict[tuple[object, Words], Group] = {}
        for item, decision in decisions(record):
            number, said = text(decision, "returnItemId"), words(item, decision)
            found.setdefault((number, said), Group(number, said, []))
        for shown in self.photos:
            number, said = str(shown.photo.key.item), by_photo.of(shown.photo.key)
            found.setdefault((number, said), Group(number, said, [])).photos.append(shown)
        return list(found.values())


@dataclass(frozen=True)
class Page:
    language: str
    """`ru` or `en`."""
    wanted: Wanted
    made_at: float
    sheets: Sequence[Sheet]

    def render(self) -> Iterator[bytes]:
        """UTF-8, in pieces."""
        pieces = _template().generate(
            page=self, t=LABELS[self.language], version=__version__, made_at=iso(self.made_at)
        )
        return (piece.encode(errors="backslashreplace") for piece in pieces)

    @property
    def subject(self) -> str:
        return self.wanted.described(LABELS[self.language]["subject"])

    @property
    def photos(self) -> int:
        return sum(1 for sheet in self.sheets for shown in sheet.photos if shown.path)

    @property
    def absent(self) -> int:
        return sum(1 for sheet in self.sheets for shown in sheet.photos if not shown.path)


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("market_photos.export"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"when": when, "fetched": fetched}
    return environment.get_template("pack.html")


def when(date: str) -> str:
    """The API's own date, a little easier on the eye."""
    return date.replace("T", " ", 1)


def fetched(photo: KnownPhoto) -> str:
    return when(iso(photo.changed_at)).replace("Z", " UTC")
