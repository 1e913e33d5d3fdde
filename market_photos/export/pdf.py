"""Write the page of a pack as a PDF, for a support form: photos scaled, with the SHA-256 of the originals."""

import datetime as dt
import logging
from collections.abc import Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO

from market_photos import __version__
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownPhoto, KnownReturn
from market_photos.archive.place import Archive
from market_photos.draw import Unshowable, drawn
from market_photos.errors import UsageError, how_to_install
from market_photos.export.evidence import Evidence
from market_photos.export.pack import Packed
from market_photos.export.page import ROOM, Fact, PackedPhoto, ReturnSection, decision_facts
from market_photos.export.selection import Selection
from market_photos.pages import Wording
from market_photos.text import one_line, without_controls

if TYPE_CHECKING:
    from fpdf import FPDF

#: Longest edge of a photo in pixels: 200 to the inch at the size below.
EDGE = 1400
#: Millimetres: margins, the column of labels, the largest photo (two fit on a page), and a pixel of a small one.
_MARGIN, _LABELS, _PHOTO, _PIXEL = 15, 52, (180, 95), 0.25
_GREY, _BLACK = 90, 20


def write_pdf(
    stream: BinaryIO,
    archive: Archive,
    found: Sequence[KnownReturn],
    selection: Selection,
    *,
    language: str,
    made_at: float,
) -> Packed:
    """Write the PDF, in the order of the returns. Raises EvidenceBroken where a photo has changed since its download.

    `made_at` is in seconds since 1970. Raises UsageError where fpdf2 or the font is not installed.
    """
    words, packed = Wording(language, ROOM), Packed()
    with closing(_Page(_document(made_at), words)) as page:
        _write(page, archive, found, selection, packed)
        page.note(f"{words('made', made_at=words.moment(made_at), version=__version__)} {words('pdf_times')}")
        page.save(stream)
    return packed


def _write(
    page: "_Page", archive: Archive, found: Sequence[KnownReturn], selection: Selection, packed: Packed
) -> None:
    words = page.words
    page.title(f"{words('title')}: {selection.describe(words('of_order'), words('of_return'))}")
    for return_ in found:
        photos = [PackedPhoto(number, photo) for number, photo in enumerate(return_.photos_in_order, 1)]
        section = ReturnSection(return_, photos, "")
        page.heading(f"{words('return')} {return_.return_id}")
        page.facts(section.facts(words))
        for decision, shown in section.groups():
            page.gap()
            page.facts(decision_facts(decision, words))
            page.comment(decision.comment)
            for photo in shown:
                _add_photo(page, archive, photo, packed)
    page.note(words("pdf_how"))


def _add_photo(page: "_Page", archive: Archive, shown: PackedPhoto, packed: Packed) -> None:
    """Add a photo of the archive whose bytes are those that were downloaded, or why there is none."""
    if shown.photo.state is not State.ARCHIVED:
        packed.absent.append(shown.photo)
        page.absent(shown)
        return
    evidence = Evidence(archive, shown.photo)
    with NamedTemporaryFile(prefix="market-photos-") as file:  # drawing needs a file, also of a photo in a bucket
        file.writelines(evidence.chunks())
        file.flush()
        try:
            picture = drawn(Path(file.name), EDGE)
        except (Unshowable, OSError):
            picture = b""
    packed.photos += 1
    packed.size += evidence.size
    page.photo(shown.number, shown.photo, picture)


def _document(made_at: float) -> "FPDF":
    """Return an empty document with its fonts. Raises UsageError where they are not installed."""
    try:
        import fontpkg_pt_sans  # noqa: PLC0415 - an extra
        from fpdf import FPDF  # noqa: PLC0415
    except ImportError:
        raise UsageError(
            "A PDF needs fpdf2 and a font, which are not installed.",
            f"{how_to_install('pdf')} Or export the pack without --pdf and print its page.",
        ) from None
    logging.getLogger("fpdf").setLevel(logging.ERROR)  # it warns of each sign that the font lacks
    document = FPDF(format="A4")
    document.set_creation_date(dt.datetime.fromtimestamp(made_at, dt.UTC))
    document.set_producer(f"market-photos {__version__}")
    document.set_margin(_MARGIN)
    document.set_auto_page_break(True, _MARGIN)
    for style, name in (("", "Regular"), ("B", "Bold")):
        document.add_font("PT Sans", style, fontpkg_pt_sans.ROOT / "files" / f"PT_Sans-Web-{name}.ttf")
    document.add_page()
    return document


class _Page:
    """The page in the making: blocks one below the other."""

    def __init__(self, document: Any, words: Wording) -> None:
        self._document = document
        self.words = words

    def title(self, text: str) -> None:
        self._document.set_title(text)
        self._document.set_lang(self.words.language)
        self._text(text, 16, bold=True)

    def heading(self, text: str) -> None:
        self._document.ln(4)
        self._text(text, 13, bold=True)

    def facts(self, facts: Sequence[Fact]) -> None:
        """Add lines of a label and a text, with the raw value small."""
        document = self._document
        for label, text, raw in facts:
            self._font(10, grey=True)
            if document.will_page_break(5):
                document.add_page()
            document.cell(_LABELS, 5, label)
            document.set_left_margin(_MARGIN + _LABELS)
            self._font(10)
            document.write(5, self._drawable(one_line(text)))
            if raw:
                self._font(7, grey=True)
                document.write(5, f"  {self._drawable(one_line(raw))}")
            document.set_left_margin(_MARGIN)
            document.ln(5)

    def comment(self, text: str) -> None:
        """Add the comment with a line at its left."""
        self._document.ln(2)
        if not text:
            self._text(self.words("no_comment"), 10, grey=True)
            return
        self._text(self.words("comment"), 10, grey=True)
        self._font(10)
        self._document.multi_cell(
            0,
            5,
            self._drawable(without_controls(text)),
            border="L",
            padding=(1, 0, 1, 3),
            new_x="LMARGIN",
            new_y="NEXT",
            align="L",
        )
        self._document.ln(2)

    def photo(self, number: int, photo: KnownPhoto, picture: bytes) -> None:
        """Add a photo, whose JPEG is empty if it cannot be shown, with what identifies the original."""
        words, document = self.words, self._document
        caption = [
            f"{words('file')}: {photo.name}",
            f"SHA-256: {photo.sha256.hex()}",
            f"{words('size')}: {words.counted('bytes_n', photo.size or 0)}. "
            f"{words('downloaded')}: {words.moment(photo.changed_at)}",
        ]
        with document.unbreakable() as block:
            _Page(block, words).captioned(f"{words('photo')} {number}", picture, caption)

    def captioned(self, heading: str, picture: bytes, caption: Sequence[str]) -> None:
        self._document.ln(2)
        self._text(heading, 10, bold=True)
        if picture:
            from PIL import Image  # noqa: PLC0415 - slow to load

            width, height = Image.open(BytesIO(picture)).size
            scale = min(_PHOTO[0] / width, _PHOTO[1] / height, _PIXEL)
            self._document.image(BytesIO(picture), w=width * scale, h=height * scale)
            self._document.ln(1)
        else:
            self._text(self.words("not_shown"), 9)
        for line in caption:
            self._text(line, 8)

    def absent(self, shown: PackedPhoto) -> None:
        """Add a line for a photo that the archive does not have."""
        words, photo = self.words, shown.photo
        self._document.ln(2)
        why = f" {photo.note}." if photo.note else ""
        state = words.value("state", photo.state)
        self._text(f"{words('photo')} {shown.number}. {words('not_in_pack')}: {state}.{why}", 9)

    def gap(self) -> None:
        self._document.ln(3)

    def note(self, text: str) -> None:
        self._document.ln(2)
        self._text(text, 8, grey=True)

    def save(self, stream: BinaryIO) -> None:
        stream.write(self._document.output())

    def close(self) -> None:
        """Close the files of the fonts."""
        for font in self._document.fonts.values():
            font.ttfont.close()

    def _text(self, text: str, size: float, *, bold: bool = False, grey: bool = False) -> None:
        self._font(size, bold=bold, grey=grey)
        self._document.multi_cell(
            0, size / 2, self._drawable(one_line(text)), new_x="LMARGIN", new_y="NEXT", align="L"
        )

    def _drawable(self, text: str) -> str:
        """Return the text with a question mark for each sign that the font lacks: no sign is dropped in silence."""
        signs = self._document.current_font.cmap
        return "".join(sign if ord(sign) in signs or sign in "\n\t" else "?" for sign in text)

    def _font(self, size: float, *, bold: bool = False, grey: bool = False) -> None:
        self._document.set_font("PT Sans", "B" if bold else "", size)
        self._document.set_text_color(_GREY if grey else _BLACK)
