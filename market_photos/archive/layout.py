"""Compute the paths of the archive. Pure.

For any ids and any hash:
- the path stays inside the store's folder, and a name has at most 255 bytes;
- different photos have different names, also on file systems that ignore case;
- a photo's path never changes: the catalogue keeps ids, month and suffix, and derives the rest.
"""

import hashlib
import re
from pathlib import Path

from market_photos.model import PhotoKey, ReturnRef

CATALOG_NAME = "catalog.sqlite3"
LOCK_NAME = "run.lock"
CLAIMS_NAME = ".claims.lock"
#: In a scratch folder: who works on the store on another machine.
ELSEWHERE_NAME = "elsewhere.json"
PHOTOS = "photos"
#: What browse keeps beside the catalogue. It can be made again, so pruning deletes it.
THUMBNAILS = "thumbnails"
BROWSE_INDEX = "browse.sqlite3"
RECORD_NAME = "return.json"
#: In a return's folder: exempts it from pruning, also after the catalogue was lost.
HOLD_NAME = "hold"
#: In a return's folder: lists what was pruned, so that it is not downloaded again after the catalogue was lost.
TOMBSTONE_NAME = "pruned.json"
#: Beside the photos: files that verify found changed, by day.
SET_ASIDE = "set-aside"
PART_SUFFIX = ".part"
UNDATED = "undated"

_MONTH = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))-\d", re.ASCII)
_STORE = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)
_RETURN = re.compile(r"(0|[1-9]\d{0,18})-(0|[1-9]\d{0,18})", re.ASCII)
#: Names that every file system keeps apart: no upper case, as macOS and Windows shares ignore case.
_PLAIN = re.compile(r"[a-z0-9_-]{1,100}", re.ASCII)
_ODD = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)
_SHOWN = 40
_STORED_MONTH = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])", re.ASCII)
_SUFFIX = re.compile(r"\.[a-z0-9]{1,12}", re.ASCII)
#: SQLite's largest integer.
MAX_ID = 2**63 - 1


def store_folder(archive: Path, campaign: int) -> Path:
    """Return the folder of a store."""
    return archive / str(campaign)


def month_of(created: str) -> str:
    """Return the month of an ISO date in its own time zone, `2026-01`, or `undated` if it has none."""
    match = _MONTH.match(created)
    return match[1] if match else UNDATED


def parse_store_folder(name: str) -> int | None:
    """Return the id of the store whose folder has this name; None if no store's has."""
    return int(name) if _STORE.fullmatch(name) and int(name) <= MAX_ID else None


def return_folder(month: str, ref: ReturnRef) -> Path:
    """Return the folder of a return, relative to the store's."""
    return Path(PHOTOS, month, f"{ref.order}-{ref.return_id}")


def parse_return_folder(name: str) -> ReturnRef | None:
    """Return the return whose folder has this name; None if no return's has."""
    match = _RETURN.fullmatch(name)
    if not match or max(int(match[1]), int(match[2])) > MAX_ID:
        return None
    return ReturnRef(int(match[1]), int(match[2]))


def is_month(name: str) -> bool:
    """Return whether a month's folder in `photos` may have this name."""
    return name == UNDATED or bool(_STORED_MONTH.fullmatch(name))


def is_suffix(ending: str) -> bool:
    """Return whether a photo may have this suffix."""
    return bool(_SUFFIX.fullmatch(ending))


def photo_stem(key: PhotoKey) -> str:
    """Return a photo's file name without its suffix."""
    return f"{key.item}-{safe_name(key.image_hash)}"


def photo_path(month: str, key: PhotoKey, suffix: str) -> Path:
    """Return the path of a photo, relative to the store's folder."""
    return return_folder(month, key.of_return) / f"{photo_stem(key)}{suffix}"


def safe_name(image_hash: str) -> str:
    """Return the hash itself if that is a safe name, otherwise its safe characters, `~` and a digest.

    A safe hash contains no `~`, so the two kinds cannot collide.
    """
    if _PLAIN.fullmatch(image_hash):
        return image_hash
    shown = _ODD.sub("_", image_hash)[:_SHOWN]
    digest = hashlib.sha256(image_hash.encode()).hexdigest()[:16]
    return f"{shown}~{digest}"
