"""What the folder of one return tells without a catalogue: from return.json, the names of files, and their hashes.

A file's name holds its image hash where that is plain; of an odd hash it holds a digest, and only a record that names
the hash explains the file. Runs in threads; reads only.
"""

import datetime as dt
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from market_photos.archive import layout, suffix
from market_photos.archive.digests import file_sha256
from market_photos.archive.packing import render
from market_photos.archive.photos import State
from market_photos.archive.restoring import RestoredPhoto, RestoredReturn
from market_photos.archive.returnfolder import read_tombstone
from market_photos.errors import ArchiveUnwritable
from market_photos.market.protocol import Refusal
from market_photos.market.records import parse_return
from market_photos.model import PhotoKey, Return

_PLAIN_STEM = re.compile(r"(0|[1-9]\d{0,18})-([a-z0-9_-]{1,100})", re.ASCII)
_OWN_NAMES = {layout.RECORD_NAME, layout.HOLD_NAME, layout.TOMBSTONE_NAME}


@dataclass
class Salvaged:
    found: RestoredReturn | None = None
    """None where there is nothing of ours in the folder."""
    unexplained: list[tuple[Path, str]] = field(default_factory=list)
    stored_at: list[float] = field(default_factory=list)
    """When each photo was stored, seconds since 1970."""


def salvage(campaign: int, folder: Path) -> Salvaged:
    """Raises ArchiveUnwritable where the folder or a photo cannot be read: a catalogue without it would be wrong."""
    try:
        return _salvage(campaign, folder)
    except OSError as error:
        raise ArchiveUnwritable(
            f"{error.filename or folder}: cannot be read: {error.strerror}.",
            "Mend the volume or its permissions, or move the file aside; then run `market-photos rebuild` again.",
        ) from error


def _salvage(campaign: int, folder: Path) -> Salvaged:
    order, return_id = layout.parse_return_folder(folder.name) or (0, 0)
    result = Salvaged()
    names = sorted(path.name for path in folder.iterdir())
    record, listed = _record(campaign, folder, order, return_id)
    tombstone = read_tombstone(folder) or {}
    found = RestoredReturn(folder.parent.name, order, return_id, _created_at(folder, listed, tombstone))
    found.record = record
    found.is_saved = record is not None and render(record) == (folder / layout.RECORD_NAME).read_bytes()
    found.held_at = int((folder / layout.HOLD_NAME).stat().st_mtime) if layout.HOLD_NAME in names else None
    keys = {layout.photo_stem(key): key for key in (listed.photos if listed else ())}
    buried = {layout.photo_stem(photo): photo for photo in _buried(campaign, order, return_id, tombstone)}
    for name in names:
        if name not in _OWN_NAMES:
            _take(found, result, folder / name, keys, buried)
    _add_absent(found, keys, buried, tombstone)
    _finish_pruning(found)
    result.found = found if found.photos or found.held_at is not None or record is not None else None
    return result


def _finish_pruning(found: RestoredReturn) -> None:
    """Where a prune was cut short, the next one is to go on."""
    pruned = [photo for photo in found.photos if photo.state is State.PRUNED]
    is_whole = bool(pruned) and len(pruned) == len(found.photos)
    found.is_pruning = any(photo.suffix for photo in pruned) or (is_whole and found.record is not None)
    if is_whole:
        found.record, found.is_saved = None, False


def _record(campaign: int, folder: Path, order: int, return_id: int) -> tuple[dict[str, Any] | None, Return | None]:
    """The record beside the photos, where it can be read and is of this return."""
    try:
        content = (folder / layout.RECORD_NAME).read_bytes()
        row = parse_return(campaign, b'{"result": %s}' % content).rows[0]
    except (FileNotFoundError, Refusal):
        return None, None
    return (row.record, row) if (row.order, row.id) == (order, return_id) else (None, None)


def _created_at(folder: Path, listed: Return | None, tombstone: dict[str, Any]) -> int:
    """From the record, the tombstone or, last, the folder's month."""
    if listed:
        return listed.created_at
    told = tombstone.get("created_at")
    if isinstance(told, int):
        return told
    try:
        return int(dt.datetime.strptime(f"{folder.parent.name} +0000", "%Y-%m %z").timestamp())
    except ValueError:
        return 0


def _buried(campaign: int, order: int, return_id: int, tombstone: dict[str, Any]) -> list[PhotoKey]:
    photos = tombstone.get("photos")
    return [
        PhotoKey(campaign, order, return_id, photo["item"], photo["hash"])
        for photo in (photos if isinstance(photos, list) else ())
        if isinstance(photo, dict) and isinstance(photo.get("item"), int) and isinstance(photo.get("hash"), str)
    ]


def _take(
    found: RestoredReturn, result: Salvaged, path: Path, keys: dict[str, PhotoKey], buried: dict[str, PhotoKey]
) -> None:
    stem = path.name.partition(".")[0]
    ending = path.name.removeprefix(stem)
    named = buried.get(stem) or keys.get(stem) or _plain_key(found, stem)
    problem = _why_not(path, ending, named, found)
    if problem or named is None:
        result.unexplained.append((path, problem))
        return
    status = path.stat()
    state = State.PRUNED if stem in buried else State.ARCHIVED
    photo = RestoredPhoto(
        named.item,
        named.image_hash,
        state,
        int(status.st_mtime),
        ending,
        status.st_size,
        file_sha256(path),
        "its catalogue was rebuilt from the files",
    )
    found.photos.append(photo)
    result.stored_at.append(status.st_mtime)


def _plain_key(found: RestoredReturn, stem: str) -> PhotoKey | None:
    match = _PLAIN_STEM.fullmatch(stem)
    return PhotoKey(0, found.order, found.return_id, int(match[1]), match[2]) if match else None


def _why_not(path: Path, ending: str, named: PhotoKey | None, found: RestoredReturn) -> str:
    """Why a file is not taken for an archived photo; empty where it is."""
    if ending.endswith(layout.PART_SUFFIX):
        return "an unfinished file"
    if named is None or not ending:
        return "no record explains it"
    if not path.is_file() or path.is_symlink():
        return "not a file"
    if any((photo.item, photo.image_hash) == (named.item, named.image_hash) for photo in found.photos):
        return "the photo is here under another suffix, too"
    with path.open("rb") as file:
        return suffix.choose("", file.read(suffix.HEAD_BYTES)).not_a_photo


def _add_absent(
    found: RestoredReturn, keys: dict[str, PhotoKey], buried: dict[str, PhotoKey], tombstone: dict[str, Any]
) -> None:
    """What the record names and is not here is lacking; what was pruned stays so."""
    here = {(photo.item, photo.image_hash) for photo in found.photos}
    pruned_at = tombstone.get("pruned_at")
    changed_at = pruned_at if isinstance(pruned_at, int) else 0
    for key in dict.fromkeys([*buried.values(), *keys.values()]):
        if (key.item, key.image_hash) not in here:
            state = State.PRUNED if key in buried.values() else State.PENDING
            found.photos.append(RestoredPhoto(key.item, key.image_hash, state, changed_at))
