"""Read an archived photo, and check that its bytes are those that were downloaded."""

import hashlib
from collections.abc import Iterator

from market_photos.archive.catalog.reader import KnownPhoto
from market_photos.archive.image_type import HEAD_BYTES, sniff
from market_photos.archive.place import Archive
from market_photos.clock import iso
from market_photos.errors import EvidenceBroken

#: Bytes per read.
CHUNK = 256 * 1024

_REPAIR = (
    "No pack was made. Run `market-photos verify --full --repair`: it lists what is wrong, moves changed files aside "
    "and queues them for download; then run `market-photos sync` and export again. Or restore the file from a backup."
)


class Evidence:
    """The file of one photo. After `chunks` has ended, `kind` is the suffix that fits its first bytes (`.jpg`)."""

    def __init__(self, archive: Archive, photo: KnownPhoto) -> None:
        """`photo`: an archived one."""
        self.name = photo.name
        self._archive = archive
        self._path = f"{archive.name}/{photo.key.campaign}/{photo.path}"
        self.size = photo.size or 0
        self.kind = ""
        self._photo = photo

    def chunks(self) -> Iterator[bytes]:
        """Yield the file's bytes. Raises EvidenceBroken if it cannot be read, or at its end if the hash differs."""
        digest, size = hashlib.sha256(), 0
        try:
            with self._archive.open(self._photo.key.campaign, self._photo.path) as file:
                while chunk := file.read(CHUNK):
                    if not size:
                        self.kind = sniff(chunk[:HEAD_BYTES])
                    digest.update(chunk)
                    size += len(chunk)
                    yield chunk
        except FileNotFoundError as error:
            raise EvidenceBroken(f"{self._path}: is missing, but the catalogue says archived.", _REPAIR) from error
        except OSError as error:
            raise EvidenceBroken(
                f"{self._path}: cannot be read: {error.strerror}.", f"Fix that first. {_REPAIR}"
            ) from error
        if digest.digest() != self._photo.sha256:
            raise EvidenceBroken(
                f"{self._path}: is not what was downloaded at {iso(self._photo.changed_at)}: {size:,} bytes with "
                f"SHA-256 {digest.hexdigest()}, but the catalogue has {self.size:,} bytes with "
                f"{self._photo.sha256.hex()}.",
                _REPAIR,
            )
