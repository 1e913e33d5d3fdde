"""Write a pack of evidence: the photos of some returns as served, the API's records, a page, BagIt manifests."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from market_photos import __version__
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.reader import KnownPhoto, KnownReturn
from market_photos.archive.catalog.record_codec import render
from market_photos.archive.layout import RECORD_NAME
from market_photos.archive.place import Archive
from market_photos.errors import NothingArchived, UsageError
from market_photos.export.bag import Bag
from market_photos.export.evidence import Evidence
from market_photos.export.page import PackedPhoto, ReturnSection, render_page
from market_photos.export.selection import Selection

_HINT = (
    "Check the numbers (and --campaign). If the return is new, run `market-photos sync`, or download just this one: "
    "`market-photos fetch --campaign C --order O --return R`."
)


@dataclass
class Packed:
    """The contents of a pack; `size` is in bytes."""

    photos: int = 0
    size: int = 0
    absent: list[KnownPhoto] = field(default_factory=list)
    """Photos that the catalogue lists and the archive does not contain."""


def require_photos(found: Sequence[KnownReturn], selection: Selection) -> None:
    """Raise unless these are the selected returns, and photos of them are on disk.

    Raises UsageError where a return is unknown or none of them has photos, NothingArchived where none is on disk.
    """
    known = {return_.return_id for return_ in found}
    lacking = [str(number) for number in selection.returns if number not in known]
    if lacking or not found:
        what = f"return {', '.join(lacking)}" if found else selection.describe()
        raise UsageError(f"The archive has no {what}.", _HINT)
    if not any(return_.photos for return_ in found):
        raise UsageError(f"The buyer attached no photos to {selection.describe()}.", _HINT)
    states = Counter(photo.state for return_ in found for photo in return_.photos)
    if not states[State.ARCHIVED]:
        counts = ", ".join(f"{count:,} {state}" for state, count in states.items())
        raise NothingArchived(
            f"No photo of {selection.describe()} is in the archive: {counts}. No file was written.",
            "Run `market-photos sync`: it brings what is pending or failed. What is gone or pruned stays away.",
        )


def write_pack(
    stream: BinaryIO,
    archive: Archive,
    found: Sequence[KnownReturn],
    selection: Selection,
    *,
    language: str,
    made_at: float,
) -> Packed:
    """Write the zip, in the order of the returns. Raises EvidenceBroken where a photo has changed since its download.

    `made_at` is in seconds since 1970. The same archive and `made_at` give the same bytes.
    """
    packed = Packed()
    with Bag(stream, selection.name, made_at) as bag:
        sections = [_add_return(bag, archive, return_, packed) for return_ in found]
        bag.add_tag("index.html", render_page(language, selection, made_at, sections))
        bag.seal(_about(selection))
    return packed


def _about(selection: Selection) -> dict[str, str]:
    return {
        "Bag-Software-Agent": f"market-photos {__version__}",
        "External-Identifier": selection.name,
        "External-Description": f"Photos that buyers attached to returns on Yandex Market: {selection.describe()}",
    }


def _add_return(bag: Bag, archive: Archive, return_: KnownReturn, packed: Packed) -> ReturnSection:
    folder = f"data/{return_.campaign}/{return_.order}-{return_.return_id}"
    if return_.raw:
        bag.add_text(f"{folder}/{RECORD_NAME}", render(return_.raw))
    shown = list(_add_photos(bag, archive, folder, return_, packed))
    return ReturnSection(return_, shown, f"{folder}/{RECORD_NAME}" if return_.raw else "")


def _add_photos(
    bag: Bag, archive: Archive, folder: str, return_: KnownReturn, packed: Packed
) -> Iterator[PackedPhoto]:
    for number, photo in enumerate(return_.photos_in_order, 1):
        if photo.state is not State.ARCHIVED:
            packed.absent.append(photo)
            yield PackedPhoto(number, photo)
            continue
        evidence = Evidence(archive, photo)
        path = f"{folder}/{evidence.name}"
        bag.add_photo(path, evidence.chunks(), evidence.size, photo.changed_at)
        packed.photos += 1
        packed.size += evidence.size
        yield PackedPhoto(number, photo, path, evidence.kind)
