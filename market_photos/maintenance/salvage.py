"""Read what the folder of one return tells without a catalogue: return.json, the names of files, and their hashes.

A plain image hash is part of its file's name; for any other hash the name contains a digest, and only a record that
contains the hash explains the file. Runs in threads, reads only, and follows no link.
"""

import datetime as dt
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from market_photos.archive import image_type, layout, tree
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.record_codec import pack, render
from market_photos.archive.catalog.restore import RestoredPhoto, RestoredReturn
from market_photos.archive.files import Entry, StoreFiles
from market_photos.errors import ArchiveUnwritable
from market_photos.market.records import parse_return
from market_photos.market.refusals import Refusal
from market_photos.model import PhotoKey, Return, ReturnRef
from market_photos.text import encodable

_PLAIN_STEM = re.compile(r"(0|[1-9]\d{0,18})-([a-z0-9_-]{1,100})", re.ASCII)
_NOT_PHOTOS = {layout.RECORD_NAME, layout.HOLD_NAME, layout.TOMBSTONE_NAME}
#: The range of times in the catalogue, in seconds since 1970: the years 1 to 9999.
_FIRST, _LAST = -62_135_596_800, 253_402_300_799


@dataclass
class Salvaged:
    """The content of a return's folder."""

    found: RestoredReturn | None = None
    """None where the folder contains nothing of a return."""
    unexplained: list[tuple[Path, str]] = field(default_factory=list)
    """Files that were ignored, with the reason."""


def salvage(campaign: int, files: StoreFiles, folder: Path) -> Salvaged:
    """Return what is in the folder. A file that vanishes meanwhile is left out.

    Raises ArchiveUnwritable where the folder, or a file named like one of the archive, cannot be read: a catalogue
    without it would be wrong.
    """
    try:
        return _Folder(campaign, files, folder).salvage()
    except FileNotFoundError:
        return Salvaged()
    except OSError as error:
        raise ArchiveUnwritable(
            f"{error.filename or folder}: cannot be read: {error.strerror}.",
            "Repair the volume or its permissions, or move the file aside; then run `market-photos rebuild` again.",
        ) from error


class _Folder:
    """One return's folder while it is read."""

    def __init__(self, campaign: int, files: StoreFiles, folder: Path) -> None:
        self._files = files
        self._campaign = campaign
        self._folder = folder
        self._ref = layout.parse_return_folder(folder.name) or ReturnRef(0, 0)
        self._entries = files.entries(folder)
        self._result = Salvaged()
        self._return = self._read_record()
        self._tombstone = self._read_tombstone()
        self._listed = {layout.photo_stem(key): key for key in (self._return.photos if self._return else ())}
        self._pruned = {layout.photo_stem(key): key for key in self._pruned_keys()}
        self._photos: dict[tuple[int, str], RestoredPhoto] = {}
        """By item and image hash."""

    def salvage(self) -> Salvaged:
        record = self._return.record if self._return else None
        hold = self._entries.get(layout.HOLD_NAME)
        found = RestoredReturn(
            self._folder.parent.name,
            self._ref,
            self._created_at(),
            record=record,
            is_saved=record is not None and render(record) == self._content(layout.RECORD_NAME),
            held_at=int(hold.modified) if hold and hold.is_file else None,
        )
        for name, entry in self._entries.items():
            if name not in _NOT_PHOTOS:
                self._add_file(self._folder / name, entry)
        self._add_absent()
        found.photos = list(self._photos.values())
        _continue_pruning(found)
        if found.photos or found.held_at is not None or found.record is not None:
            self._result.found = found
        return self._result

    def _ignore(self, name: str, reason: str) -> None:
        if name in self._entries:
            self._result.unexplained.append((self._folder / name, reason))

    def _content(self, name: str) -> bytes | None:
        """Return the content of a regular file; None where it is missing or too large."""
        entry = self._entries.get(name)
        if entry is None or not entry.is_file or entry.size > tree.MAX_BYTES:
            return None
        try:
            return self._files.content(self._folder / name)
        except FileNotFoundError:
            return None

    def _read_record(self) -> Return | None:
        """Return the return of return.json; None where it cannot be read or belongs to another return."""
        try:
            if content := self._content(layout.RECORD_NAME):
                parsed = parse_return(self._campaign, b'{"result": %s}' % content).rows[0]
                pack(parsed.record)
                render(parsed.record)
                if (parsed.order, parsed.id) == self._ref:
                    return parsed
        except (Refusal, ValueError, RecursionError):
            pass
        self._ignore(layout.RECORD_NAME, "is not the record of this return")
        return None

    def _read_tombstone(self) -> dict[str, Any]:
        try:
            tombstone = json.loads(self._content(layout.TOMBSTONE_NAME) or b"")
            if isinstance(tombstone, dict):
                return tombstone
        except (ValueError, RecursionError):
            pass
        self._ignore(
            layout.TOMBSTONE_NAME,
            "cannot be read: what was pruned here is not known, and the next sync downloads it",
        )
        return {}

    def _pruned_keys(self) -> list[PhotoKey]:
        photos = self._tombstone.get("photos")
        return [
            PhotoKey(self._campaign, *self._ref, photo["item"], photo["hash"])
            for photo in (photos if isinstance(photos, list) else ())
            if isinstance(photo, dict) and _is_id(photo.get("item")) and _is_hash(photo.get("hash"))
        ]

    def _created_at(self) -> int:
        """Return the date of the record, else of the tombstone, else of the folder's month."""
        if self._return:
            return self._return.created_at
        created_at = _time(self._tombstone.get("created_at"))
        if created_at is not None:
            return created_at
        try:
            return int(dt.datetime.strptime(f"{self._folder.parent.name} +0000", "%Y-%m %z").timestamp())
        except ValueError:
            return 0

    def _add_file(self, path: Path, entry: Entry) -> None:
        stem, dot, ending = path.name.partition(".")
        suffix = dot + ending
        key = self._pruned.get(stem) or self._listed.get(stem) or self._plain_key(stem)
        try:
            reason = self._why_ignored(path, entry, suffix, key)
            if reason or key is None:
                self._ignore(path.name, reason)
                return
            sha256 = self._files.sha256(path)
        except FileNotFoundError:
            return
        self._photos[key.item, key.image_hash] = RestoredPhoto(
            key.item,
            key.image_hash,
            State.PRUNED if stem in self._pruned else State.ARCHIVED,
            max(0, int(entry.modified)),
            suffix,
            entry.size,
            sha256,
            "its catalogue was rebuilt from the files",
        )

    def _plain_key(self, stem: str) -> PhotoKey | None:
        match = _PLAIN_STEM.fullmatch(stem)
        if not match or not _is_id(int(match[1])):
            return None
        return PhotoKey(self._campaign, *self._ref, int(match[1]), match[2])

    def _why_ignored(self, path: Path, entry: Entry, suffix: str, key: PhotoKey | None) -> str:
        """Return why a file is not an archived photo; empty if it is one."""
        if suffix.endswith(layout.PART_SUFFIX):
            return "an unfinished file"
        if key is None or not layout.is_suffix(suffix):
            return "no record explains it"
        if not entry.is_file:
            return "not a file"
        if (key.item, key.image_hash) in self._photos:
            return "the photo is also here with another suffix"
        return image_type.choose("", self._files.head(path, image_type.HEAD_BYTES)).not_a_photo

    def _add_absent(self) -> None:
        """Add photos without a file: those of the tombstone as pruned, those of the record as pending."""
        changed_at = _time(self._tombstone.get("pruned_at")) or 0
        for state, keys in ((State.PRUNED, self._pruned), (State.PENDING, self._listed)):
            for _, _, _, item, image_hash in keys.values():
                photo = RestoredPhoto(item, image_hash, state, changed_at)
                self._photos.setdefault((item, image_hash), photo)


def _continue_pruning(found: RestoredReturn) -> None:
    """Mark a return whose prune was interrupted, so that the next prune completes it."""
    pruned = [photo for photo in found.photos if photo.state is State.PRUNED]
    is_whole = bool(pruned) and len(pruned) == len(found.photos)
    found.is_pruning = any(photo.suffix for photo in pruned) or (is_whole and found.record is not None)
    if is_whole:
        found.record, found.is_saved = None, False


def _time(value: object) -> int | None:
    return value if type(value) is int and _FIRST <= value <= _LAST else None


def _is_id(value: object) -> bool:
    return type(value) is int and 0 <= value <= layout.MAX_ID


def _is_hash(value: object) -> bool:
    """Return whether the value is a text that SQLite can store: JSON may contain half a surrogate pair."""
    return isinstance(value, str) and bool(value) and encodable(value) == value
