"""Render the page of a pack, which works offline in the unpacked folder and can be printed.

Everything from outside is escaped, and the content security policy forbids scripts. A plain picture is shown only if
both its bytes and its name say so; anything else (an SVG, a video, an unknown type) is a link.
"""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from market_photos import __version__
from market_photos.archive.catalog.reader import KnownPhoto, KnownReturn
from market_photos.export.selection import Selection
from market_photos.pages import Wording, templates
from market_photos.record import Decision

ROOM = "market_photos.export"
#: Formats that every browser shows and that cannot contain scripts. Few browsers show HEIC.
SHOWN_KINDS = frozenset({".jpg", ".png", ".gif", ".webp", ".bmp", ".avif"})


class PackedPhoto(NamedTuple):
    """A photo on the page; its path is empty if the pack does not contain it."""

    photo: KnownPhoto
    path: str = ""
    """Relative to the page."""
    kind: str = ""
    """The suffix that fits its first bytes."""

    @property
    def is_picture(self) -> bool:
        """Whether every browser shows the file as a picture."""
        return bool(self.path) and {self.kind, PurePosixPath(self.path).suffix} <= SHOWN_KINDS


class ReturnSection(NamedTuple):
    """One return on the page."""

    return_: KnownReturn
    photos: list[PackedPhoto]
    record_path: str
    """The path of return.json relative to the page; empty if the pack does not contain it."""

    def groups(self) -> list[tuple[Decision, list[PackedPhoto]]]:
        """Return every decision in the order of the record with its photos, which may be none."""
        groups: dict[int, tuple[Decision, list[PackedPhoto]]] = {}
        for decision in self.return_.record.decisions:
            groups[id(decision)] = (decision, [])
        for shown in self.photos:
            decision = self.return_.record.decision_of(shown.photo.key)
            groups.setdefault(id(decision), (decision, []))[1].append(shown)
        return list(groups.values())


def render_page(
    language: str, selection: Selection, made_at: float, sections: Sequence[ReturnSection]
) -> Iterator[bytes]:
    """Yield the page in pieces, as UTF-8. `language` is `ru` or `en`, `made_at` in seconds since 1970."""
    words = Wording(language, ROOM)
    photos = [photo for section in sections for photo in section.photos]
    packed = sum(1 for photo in photos if photo.path)
    pieces = (
        templates(ROOM)
        .get_template("pack.html")
        .generate(
            w=words,
            subject=selection.describe(words("of_order"), words("of_return")),
            sections=sections,
            photos=packed,
            absent=len(photos) - packed,
            version=__version__,
            made_at=words.moment(made_at),
        )
    )
    return (piece.encode() for piece in pieces)
