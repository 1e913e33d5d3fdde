"""Open the archive that the settings name."""

from market_photos.archive.folder import FolderArchive
from market_photos.archive.place import Archive
from market_photos.errors import ConfigError, how_to_install
from market_photos.settings import Archive as ArchiveSettings


def open_archive(settings: ArchiveSettings) -> Archive:
    """Return the archive; nothing is read or written yet."""
    if settings.url is None:
        return FolderArchive(settings)
    try:
        from market_photos.archive.bucket_archive import BucketArchive  # noqa: PLC0415 - few archives are in a bucket
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        raise ConfigError(
            "[archive] url names a bucket, and the package for object storage is not installed.",
            how_to_install("s3"),
        ) from None
    return BucketArchive(settings)
