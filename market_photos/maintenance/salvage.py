"""What the folder of one return tells without a catalogue: from return.json, the names of files, and their hashes.

A file's name holds its image hash where that is plain; of an odd hash it holds a digest, and only a record that names
the hash explains the file. Runs in threads; reads only, follows no link, and takes time in proportion to the files.
"""

import datetime as dt
import json
import re
import stat
from dataclasses import dataclass, field
from os import stat_result
from pathlib import Path
from typing import Any

from market_photos.archive import image_type, layout, tree
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.record_codec import pack, render
from market_photos.archive.catalog.restore import RestoredPhoto, RestoredReturn
from market_photos.archive.hashing import file_sha256
from market_photos.errors import ArchiveUnwritable
from market_photos.market.records import parse_return
from market_photos.market.refusals import Refusal
from market_photos.model import PhotoKey, Return

_PLAIN_STEM = re.compile(r"(0|[1-9]\d{0,18})-([a-z0-9_-]{1,100})", re.ASCII)
_OWN_NAMES = {layout.RECORD_NAME, layout.HOLD_NAME, layout.TOMBSTONE_NAME}
#: Seconds since 1970 that the catalogue takes: the years 1 to 9999.
_FIRST, _LAST = -62_135_596_800, 253_402_300_799


@dataclass
class Salvaged:
    found: RestoredReturn | None = None
    """None where there is nothing of ours in the folder."""
    unexplained: list[tuple[Path, str]] = field(default_factory=list)


def salvage(campaign: int, folder: Path) -> Salvaged:
    """Return what is in the folder. A file that vanishes meanwhile is left out.

    Raises ArchiveUnwritable where the folder, or a file that is ours by its name, cannot be read: a catalogue without
    it would be wrong.
    """
    try:
        return _Folder(campaign, folder).salvage()
    except FileNotFoundError:
        return Salvaged()
    except OSError as error:
        raise ArchiveUnwritable(
            f"{error.filename or folder}: cannot be read: {error.strerror}.",
            "Mend the volume or its permissions, or move the file aside; then run `market-photos rebuild` again.",
        ) from error


class _Folder:
    """One return's folder while it is read."""

    def __init__(self, campaign: int, folder: Path) -> None:
        self._folder = folder
        self._entries = tree.entries(folder)
        self._result = Salvaged()
        order, return_id = layout.parse_return_folder(folder.name) or (0, 0)
        self._record, self._return = self._read_record(campaign, order, return_id)
        self._tombstone = self._read_tombstone()
        self._keys = {layout.photo_stem(key): key for key in (self._return.photos if self._return else ())}
        self._buried = {layout.photo_stem(key): key for key in _buried(campaign, order, return_id, self._tombstone)}
        self._found = RestoredReturn(folder.parent.name, order, return_id, self._created_at())
        self._here: set[tuple[int, str]] = set()

    def salvage(self) -> Salvaged:
        found = self._found
        found.record = self._record
        found.is_saved = self._record is not None and render(self._record) == self._own(layout.RECORD_NAME)
        held = self._entries.get(layout.HOLD_NAME)
        found.held_at = int(held.st_mtime) if held and stat.S_ISREG(held.st_mode) else None
        for name, status in self._entries.items():
            if name not in _OWN_NAMES:
                self._take(self._folder / name, status)
        self._add_absent()
        _finish_pruning(found)
        is_ours = found.photos or found.held_at is not None or found.record is not None
        self._result.found = found if is_ours else None
        return self._result

    def _leave(self, path: Path, why: str) -> None:
        self._result.unexplained.append((path, why))

    def _own(self, name: str) -> bytes | None:
        """Return the content of one of our files; None where there is none."""
        status = self._entries.get(name)
        if status is None or not stat.S_ISREG(status.st_mode) or status.st_size > tree.MAX_BYTES:
            return None
        try:
            return tree.content(self._folder / name)
        except FileNotFoundError:
            return None

    def _read_record(self, campaign: int, order: int, return_id: int) -> tuple[dict[str, Any] | None, Return | None]:
        """Return the record beside the photos, where it can be read and is of this return."""
        content = self._own(layout.RECORD_NAME)
        try:
            if content is not None:
                row = parse_return(campaign, b'{"result": %s}' % content).rows[0]
                pack(row.record)
                render(row.record)
                if (row.order, row.id) == (order, return_id):
                    return row.record, row
        except (Refusal, ValueError, RecursionError):
            pass
        if layout.RECORD_NAME in self._entries:
            self._leave(self._folder / layout.RECORD_NAME, "is not the record of this return")
        return None, None

    def _read_tombstone(self) -> dict[str, Any]:
        content = self._own(layout.TOMBSTONE_NAME)
        try:
            tombstone = json.loads(content or b"")
            if isinstance(tombstone, dict):
                return tombstone
        except (ValueError, RecursionError):
            pass
        if layout.TOMBSTONE_NAME in self._entries:
            self._leave(
                self._folder / layout.TOMBSTONE_NAME,
                "cannot be read: what was pruned here is not known, and the next sync fetches it",
            )
        return {}

    def _created_at(self) -> int:
        """Return the date from the record, the tombstone or, last, the folder's month."""
        if self._return:
            return self._return.created_at
        told = _moment(self._tombstone.get("created_at"))
        if told is not None:
            return told
        try:
            return int(dt.datetime.strptime(f"{self._folder.parent.name} +0000", "%Y-%m %z").timestamp())
        except ValueError:
            return 0

    def _take(self, path: Path, status: stat_result) -> None:
        stem = path.name.partition(".")[0]
        ending = path.name.removeprefix(stem)
        named = self._buried.get(stem) or self._keys.get(stem) or self._plain_key(stem)
        try:
            problem = self._why_not(path, status, ending, named)
            if problem or named is None:
                self._leave(path, problem)
                return
            sha256 = file_sha256(path)
        except FileNotFoundError:
            return
        self._found.photos.append(
            RestoredPhoto(
                named.item,
                named.image_hash,
                State.PRUNED if stem in self._buried else State.ARCHIVED,
                max(0, int(status.st_mtime)),
                ending,
                status.st_size,
                sha256,
                "its catalogue was rebuilt from the files",
            )
        )
        self._here.add((named.item, named.image_hash))

    def _plain_key(self, stem: str) -> PhotoKey | None:
        match = _PLAIN_STEM.fullmatch(stem)
        if not match or int(match[1]) > layout.MOST_ID:
            return None
        return PhotoKey(0, self._found.order, self._found.return_id, int(match[1]), match[2])

    def _why_not(self, path: Path, status: stat_result, ending: str, named: PhotoKey | None) -> str:
        """Return why a file is not taken for an archived photo; empty where it is."""
        if ending.endswith(layout.PART_SUFFIX):
            return "an unfinished file"
        if named is None or not layout.is_suffix(ending):
            return "no record explains it"
        if not stat.S_ISREG(status.st_mode):
            return "not a file"
        if (named.item, named.image_hash) in self._here:
            return "the photo is here under another suffix, too"
        with tree.open_file(path) as file:
            return image_type.choose("", file.read(image_type.HEAD_BYTES)).not_a_photo

    def _add_absent(self) -> None:
        """What the record names and is not here is lacking; what was pruned stays so."""
        changed_at = _moment(self._tombstone.get("pruned_at")) or 0
        for state, keys in ((State.PRUNED, self._buried), (State.PENDING, self._keys)):
            for key in keys.values():
                if (key.item, key.image_hash) not in self._here:
                    self._here.add((key.item, key.image_hash))
                    self._found.photos.append(RestoredPhoto(key.item, key.image_hash, state, changed_at))


def _finish_pruning(found: RestoredReturn) -> None:
    """Where a prune was cut short, the next one is to go on."""
    pruned = [photo for photo in found.photos if photo.state is State.PRUNED]
    is_whole = bool(pruned) and len(pruned) == len(found.photos)
    found.is_pruning = any(photo.suffix for photo in pruned) or (is_whole and found.record is not None)
    if is_whole:
        found.record, found.is_saved = None, False


def _moment(value: object) -> int | None:
    return value if type(value) is int and _FIRST <= value <= _LAST else None


def _buried(campaign: int, order: int, return_id: int, tombstone: dict[str, Any]) -> list[PhotoKey]:
    photos = tombstone.get("photos")
    return [
        PhotoKey(campaign, order, return_id, photo["item"], photo["hash"])
        for photo in (photos if isinstance(photos, list) else ())
        if isinstance(photo, dict) and _is_id(photo.get("item")) and _is_hash(photo.get("hash"))
    ]


def _is_id(value: object) -> bool:
    return type(value) is int and 0 <= value <= layout.MOST_ID


def _is_hash(value: object) -> bool:
    """Whether it is text that a catalogue can keep: JSON may hold half a surrogate pair."""
    return isinstance(value, str) and bool(value) and not any("\ud800" <= char <= "\udfff" for char in value)
