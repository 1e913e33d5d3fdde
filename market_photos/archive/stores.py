"""The stores of an archive: its folders that are named by a number and hold a catalogue or photos."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from market_photos.archive import layout, volume
from market_photos.archive.place import Archive
from market_photos.errors import UsageError


def select_stores(archive: Archive, campaigns: Iterable[int] = ()) -> list[int]:
    """Return the given stores, or all of the archive, sorted, with catalogues that are up to date.

    Raises UsageError if a store or all are missing, and as `Archive.fetch`.
    """
    return chosen(archive.name, known_stores(archive.fetch(campaigns)), campaigns)


def chosen(archive: str, known: list[int], campaigns: Iterable[int]) -> list[int]:
    """Return the given stores, or all that are known, sorted. Raises UsageError as `select_stores` does."""
    if missing := sorted(set(campaigns) - set(known)):
        stores = ", ".join(map(str, known)) or "none"
        raise UsageError(f"{archive}: there is no store {missing[0]}.", f"There are: {stores}.")
    if not known:
        raise UsageError(
            f"{archive}: there is no archive yet.",
            "Run `market-photos sync` first, or check --config, and directory or url in [archive].",
        )
    return sorted(set(campaigns)) or known


def known_stores(archive: Path) -> list[int]:
    """Return the stores of the archive, sorted. Raises ArchiveUnwritable where a folder may not be read."""
    return [store for store in numbered_folders(archive) if is_store(layout.store_folder(archive, store))]


def numbered_folders(archive: Path) -> list[int]:
    """Return the numbers of the folders that are named like stores. Raises ArchiveUnwritable."""
    numbers = (layout.parse_store_folder(name) for name in _names(archive))
    return sorted(number for number in numbers if number is not None)


def is_store(folder: Path) -> bool:
    """Return whether the folder holds a catalogue or photos. Raises ArchiveUnwritable."""
    return not {layout.CATALOG_NAME, layout.PHOTOS}.isdisjoint(_names(folder))


def _names(folder: Path) -> list[str]:
    """Return the names in the folder, none where it is missing or a file."""
    with volume.disk_errors(folder), suppress(FileNotFoundError, NotADirectoryError):
        return [path.name for path in folder.iterdir()]  # Path.glob hides that a folder may not be read
    return []
