"""A new photo on its way into a bucket."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from market_photos.archive import atomic, volume
from market_photos.archive.photo_file import Part, Stored
from market_photos.threads import to_the_end

#: Puts a photo under its name with this suffix.
Upload = Callable[[str, bytes | Path, Stored], Awaitable[None]]


class UploadedPart(Part):
    """A new photo that is put into a bucket. One that is streamed is collected in the scratch folder."""

    def __init__(self, path: Path, floor: int | None, upload: Upload) -> None:
        super().__init__(path, floor, atomic.make_folder)
        self._upload = upload

    async def finish(self) -> bytes:
        """Return the SHA-256 of the whole photo. Raises ArchiveUnwritable."""
        await to_the_end(asyncio.to_thread(self._finish))
        return self._hash.digest()

    async def prepare(self, suffix: str) -> None:
        """Put the photo into the bucket. Raises ArchiveUnwritable."""
        sha256 = await self.finish()
        content = self.path if self._file else b"".join(self._gathered)
        await self._upload(suffix, content, Stored(self.size, sha256))

    def commit(self, suffix: str) -> Stored:
        """Return size and hash: the photo is in the bucket since `prepare`."""
        return Stored(self.size, self._hash.digest())

    def _finish(self) -> None:
        if self._is_finished:
            return
        if self._file:
            with volume.disk_errors(self.path):
                self._put(self._file.fileno())
        else:
            self._hash.update(b"".join(self._gathered))
        self._is_finished = True
