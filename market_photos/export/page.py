"""What the page of a pack says, and the page itself, which works offline in the unpacked folder and can be printed.

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


class Fact(NamedTuple):
    """A line of a return or a decision."""

    label: str
    text: str
    raw: str = ""
    """The value as the API writes it, where the text is its meaning."""


class PackedPhoto(NamedTuple):
    """A photo on the page; its path is empty if the pack does not contain it."""

    number: int
    """From 1, in the order of the record."""
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

    def facts(self, words: Wording) -> list[Fact]:
        """Return what is known of the return, without what is empty."""
        back, record = self.return_, self.return_.record
        return _known(
            Fact(words("order"), str(back.order)),
            Fact(words("store"), f"{back.campaign} {back.store}".strip()),
            Fact(words("created"), words.date(record.created)),
            Fact(words("updated"), words.date(record.updated)),
            _meaning(words, "refund", record.refund_status),
            _meaning(words, "shipment", record.shipment_status),
            Fact(words("amount"), words.money(record.amount)),
        )

    def groups(self) -> list[tuple[Decision, list[PackedPhoto]]]:
        """Return every decision in the order of the record with its photos, which may be none."""
        groups: dict[int, tuple[Decision, list[PackedPhoto]]] = {}
        for decision in self.return_.record.decisions:
            groups[id(decision)] = (decision, [])
        for shown in self.photos:
            decision = self.return_.record.decision_of(shown.photo.key)
            groups.setdefault(id(decision), (decision, []))[1].append(shown)
        return list(groups.values())


def decision_facts(decision: Decision, words: Wording) -> list[Fact]:
    """Return what is known of a decision and its item, without what is empty."""
    return _known(
        Fact(words("sku"), decision.sku),
        Fact(words("item"), str(decision.item or "")),
        Fact(words("count"), str(decision.quantity or "")),
        _meaning(words, "reason", decision.reason),
        _meaning(words, "subreason", decision.subreason),
        _meaning(words, "decision", decision.decision),
        Fact(words("amount"), words.money(decision.amount)),
    )


def _meaning(words: Wording, section: str, value: str) -> Fact:
    text = words.value(section, value)
    return Fact(words(section), text, value if text != value else "")


def _known(*facts: Fact) -> list[Fact]:
    return [fact for fact in facts if fact.text]


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
            decision_facts=decision_facts,
            subject=selection.describe(words("of_order"), words("of_return")),
            sections=sections,
            photos=packed,
            absent=len(photos) - packed,
            version=__version__,
            made_at=words.moment(made_at),
        )
    )
    return (piece.encode() for piece in pieces)
