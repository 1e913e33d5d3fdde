"""The files of a store in a bucket. See files.StoreFiles."""

import hashlib
from collections.abc import Callable, Collection, Iterator
from itertools import groupby
from pathlib import Path

from market_photos.archive import layout
from market_photos.archive.files import Entry
from market_photos.archive.objects import Bucket, Found
from market_photos.archive.photo_file import Stored

#: The attribute of an object with its SHA-256.
SHA256 = "sha256"
#: Objects that are read at the same time: mostly the readers wait for the storage.
READING_THREADS = 16
#: Folders whose names are remembered after a walk: more than the threads that read files are behind it.
_REMEMBERED = 1000


def stored(bucket: Bucket, key: str) -> Stored:
    """Return size and hash of an object, as it was written with them; it is read only where they are not kept.

    Raises FileNotFoundError, ArchiveUnwritable.
    """
    found = bucket.head(key)
    if found and len(kept := found.attributes.get(SHA256, "")) == hashlib.sha256().digest_size * 2:
        return Stored(found.size, bytes.fromhex(kept))
    return read_hash(bucket, key)


def read_hash(bucket: Bucket, key: str) -> Stored:
    """Return size and hash of the content of an object. Raises FileNotFoundError, ArchiveUnwritable."""
    digest, size = hashlib.sha256(), 0
    for chunk in bucket.chunks(key):
        digest.update(chunk)
        size += len(chunk)
    return Stored(size, digest.digest())


class BucketFiles:
    """Objects below the prefix of a store. A walk over all folders takes one listing."""

    def __init__(self, bucket: Bucket, campaign: int) -> None:
        self._bucket = bucket
        self._root = f"{campaign}/"
        self._entries: dict[Path, dict[str, Entry]] = {}
        self._seen: set[str] | None = None
        """The folders of the last walk."""

    def return_folders(self, report_unknown: Callable[[Path, str], None]) -> Iterator[Path]:
        self._seen = set()
        for folder, found in groupby(self._walk(Path(layout.PHOTOS)), lambda found: self._path(found).parent):
            entries = {self._path(one).name: Entry(one.size, one.modified) for one in found}
            _, month, name = (*folder.parts, "", "", "")[:3]
            if len(folder.parts) == 3 and layout.is_month(month) and layout.parse_return_folder(name):
                self._seen.add(folder.as_posix())
                self._entries[folder] = entries
                if len(self._entries) > _REMEMBERED:
                    self._entries.pop(next(iter(self._entries)))
                yield folder
            else:
                for entry in entries:
                    report_unknown(folder / entry, "not in a folder of the archive")

    def has_folder(self, folder: Path) -> bool:
        if self._seen is not None:
            return folder.as_posix() in self._seen
        return any(True for _ in self._walk(folder))

    def entries(self, folder: Path) -> dict[str, Entry]:
        if folder in self._entries:
            return self._entries[folder]
        return {self._path(found).name: Entry(found.size, found.modified) for found in self._walk(folder)}

    def exists(self, path: Path) -> bool:
        return self._bucket.head(self._key(path)) is not None

    def content(self, path: Path) -> bytes:
        return b"".join(self._bucket.chunks(self._key(path)))

    def head(self, path: Path, size: int) -> bytes:
        return self._bucket.piece(self._key(path), 0, size).content

    def sha256(self, path: Path) -> bytes:
        return read_hash(self._bucket, self._key(path)).sha256

    keeps_sha256 = True
    at_once = READING_THREADS

    def kept_sha256(self, path: Path) -> bytes:
        return stored(self._bucket, self._key(path)).sha256

    def require_real_folders(self, folder: Path) -> None:
        """Do nothing: a bucket has no links."""

    def write(self, path: Path, content: bytes) -> None:
        self._bucket.put(self._key(path), content)

    def remove(self, path: Path) -> None:
        self._bucket.remove(self._key(path))

    def remove_stems(self, folder: Path, stems: Collection[str]) -> list[Path]:
        names = [name for name in self.entries(folder) if name.partition(".")[0] in stems]
        self._bucket.remove(*(self._key(folder / name) for name in names))
        return []

    def set_aside(self, path: Path, day: str) -> None:
        wanted = Path(layout.SET_ASIDE, day) / path.relative_to(layout.PHOTOS)
        number, target = 1, wanted
        while self.exists(target):
            number += 1
            target = wanted.with_name(f"{wanted.name}.{number}")
        self._bucket.copy(self._key(path), self._key(target))

    def set_aside_folders(self) -> Iterator[Path]:
        for folder, _ in groupby(self._walk(Path(layout.SET_ASIDE)), lambda found: self._path(found).parent):
            yield folder

    def remove_set_aside(self, folder: Path) -> list[Path]:
        within_day = folder.relative_to(layout.PHOTOS)
        for day in self._bucket.folders(f"{self._root}{layout.SET_ASIDE}/"):
            aside = Path(layout.SET_ASIDE, day, within_day)
            self._bucket.remove(*(found.key for found in self._walk(aside)))
        return []

    def _walk(self, folder: Path) -> Iterator[Found]:
        return self._bucket.walk(f"{self._key(folder)}/")

    def _path(self, found: Found) -> Path:
        return Path(found.key.removeprefix(self._root))

    def _key(self, path: Path) -> str:
        return f"{self._root}{path.as_posix()}"
