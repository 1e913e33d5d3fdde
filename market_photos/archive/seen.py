"""Photos of a bucket that somebody looked at, as files in the scratch folder: the last ones, as many as fit."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from market_photos.archive import atomic, layout, volume
from market_photos.archive.objects import Bucket

#: Photos that are kept. Previews are kept apart, so an original is needed only once in most cases.
KEPT = 200


def seen(bucket: Bucket, campaign: int, path: str, scratch: Path) -> Path:
    """Return a folder that holds the photo under this path, if the bucket has it. Blocks.

    `path` comes from the catalogue. Raises ArchiveUnwritable.
    """
    folder = layout.store_folder(scratch, campaign) / layout.SEEN
    target = folder / path
    with volume.disk_errors(target):
        if path and target.exists():
            target.touch()
        elif path:
            with suppress(FileNotFoundError):
                content = b"".join(bucket.chunks(f"{campaign}/{path}"))
                atomic.make_folder(target.parent)
                with atomic.replacing(target, sync=False) as file:
                    file.write(content)
                _forget(folder)
    return folder


def _forget(folder: Path) -> None:
    """Remove the photos that nobody looked at for the longest time."""
    oldest_first = sorted(_files(folder))
    for _, path in oldest_first[: max(0, len(oldest_first) - KEPT)]:
        path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[tuple[float, Path]]:
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                yield path.stat().st_mtime, path
