"""Where a photo lives. Pure: names in, names out.

Invariants, for any ids and any hash:
- the path stays inside the store's folder, and a name is at most 255 bytes;
- different photos have different names, on file systems that ignore case too;
- a photo's path never changes: the catalogue keeps the ids, the month and the suffix, and derives the rest.
"""

import hashlib
import re
from pathlib import Path

from market_photos.model import PhotoKey

CATALOG_NAME = "catalog.sqlite3"
LOCK_NAME = "run.lock"
TURN_NAME = ".turn.lock"
PHOTOS = "photos"
#: What browse keeps beside the catalogue. All of it can be made anew, so whoever deletes photos deletes it.
THUMBNAILS = "thumbnails"
BROWSE_INDEX = "browse.sqlite3"
RECORD_NAME = "return.json"
#: In a return's folder: keeps it from pruning, and is there after the catalogue was lost, too.
HOLD_NAME = "hold"
#: In a return's folder: what was pruned, so that it is not fetched again after the catalogue was lost, either.
TOMBSTONE_NAME = "pruned.json"
#: Beside the photos: files that were found changed, by the day.
SET_ASIDE = "set-aside"
PART_SUFFIX = ".part"
UNDATED = "undated"

_MONTH = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))-\d", re.ASCII)
_STORE = re.compile(r"0|[1-9]\d{0,18}", re.ASCII)
_RETURN = re.compile(r"(0|[1-9]\d{0,18})-(0|[1-9]\d{0,18})", re.ASCII)
#: What every file system takes and keeps apart: no upper case, for macOS and Windows shares fold it.
_PLAIN = re.compile(r"[a-z0-9_-]{1,100}", re.ASCII)
_ODD = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)
_SHOWN = 40
_STORED_MONTH = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])", re.ASCII)
_SUFFIX = re.compile(r"\.[a-z0-9]{1,12}", re.ASCII)
#: SQLite's largest integer.
MOST_ID = 2**63 - 1


def store_folder(archive: Path, campaign: int) -> Path:
    return archive / str(campaign)


def month_of(created: str) -> str:
    """`2026-01` of an ISO date, in the date's own time zone; `undated` where there is none."""
    match = _MONTH.match(created)
    return match[1] if match else UNDATED


def parse_store_folder(name: str) -> int | None:
    """The store of a folder's name; None where it is none of ours."""
    return int(name) if _STORE.fullmatch(name) and int(name) <= MOST_ID else None


def return_folder(month: str, order: int, return_id: int) -> Path:
    """Relative to the store's folder."""
    return Path(PHOTOS, month, f"{order}-{return_id}")


def parse_return_folder(name: str) -> tuple[int, int] | None:
    """Order and return of a folder's name; None where it is none of ours."""
    match = _RETURN.fullmatch(name)
    if not match or max(int(match[1]), int(match[2])) > MOST_ID:
        return None
    return int(match[1]), int(match[2])


def is_month(name: str) -> bool:
    """Return whether a folder in `photos` is one of ours."""
    return name == UNDATED or bool(_STORED_MONTH.fullmatch(name))


def is_suffix(ending: str) -> bool:
    """Return whether a photo may have this suffix."""
    return bool(_SUFFIX.fullmatch(ending))


def photo_stem(key: PhotoKey) -> str:
    """The file's name without its suffix."""
    return f"{key.item}-{safe_name(key.image_hash)}"


def photo_path(month: str, key: PhotoKey, suffix: str) -> Path:
    """Relative to the store's folder."""
    return return_folder(month, key.order, key.return_id) / f"{photo_stem(key)}{suffix}"


def safe_name(image_hash: str) -> str:
    """The hash itself where that is safe; otherwise what can be shown of it, `~` and a digest of it.

    No plain hash holds a `~`, so the two kinds never meet.
    """
    if _PLAIN.fullmatch(image_hash):
        return image_hash
    shown = _ODD.sub("_", image_hash)[:_SHOWN]
    digest = hashlib.sha256(image_hash.encode()).hexdigest()[:16]
    return f"{shown}~{digest}"
