"""Open the archive that the settings name."""

from market_photos.archive.folder import FolderArchive
from market_photos.archive.place import Archive
from market_photos.settings import Archive as ArchiveSettings


def open_archive(settings: ArchiveSettings) -> Archive:
    """Return the archive; nothing is read or written yet."""
    return FolderArchive(settings)
