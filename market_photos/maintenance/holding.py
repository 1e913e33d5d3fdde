"""Hold a store for a command that changes it and sends no request."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from market_photos.archive import atomic, layout
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.held_folder import HeldFolder
from market_photos.archive.lock import Lock
from market_photos.archive.place import Archive, Place
from market_photos.clock import Clock


class HeldStore(NamedTuple):
    """A store that no other process works on."""

    held_folder: HeldFolder
    place: Place


@contextmanager
def held_store(
    archive: Archive, campaign: int, command: str, clock: Clock, *, is_rebuilt: bool = False
) -> Iterator[HeldStore]:
    """Lock a store during the block. Blocks. Raises AlreadyRunning, ArchiveUnwritable, CatalogUnusable.

    `is_rebuilt`: its catalogue may be lost or damaged.
    """
    folder = layout.store_folder(archive.catalogs, campaign)
    atomic.make_folder(folder)
    opened = archive.rebuilding if is_rebuilt else archive.opened
    with (
        Lock(folder / layout.LOCK_NAME, command, clock) as lock,
        HeldFolder(folder) as held_folder,
        opened(campaign, held_folder, lock, clock) as place,
    ):
        yield HeldStore(held_folder, place)


@contextmanager
def changed_catalog(archive: Archive, campaign: int, command: str, clock: Clock) -> Iterator[Catalog]:
    """Lock a store during the block, open its catalogue for changes, and leave it for the next run."""
    with changed_store(archive, campaign, command, clock) as store:
        yield store.catalog


class ChangedStore(NamedTuple):
    """A store that a command changes and also removes files of."""

    catalog: Catalog
    keep: Callable[[], None]
    """Makes the changes to the catalogue outlast a crash. To be called before a file goes that was in it."""
    require_held: Callable[[], None]
    """Raises AlreadyRunning or ArchiveUnwritable if another process may be at work on the store by now."""


@contextmanager
def changed_store(archive: Archive, campaign: int, command: str, clock: Clock) -> Iterator[ChangedStore]:
    """Do the same for a command that also removes files."""
    with (
        held_store(archive, campaign, command, clock) as (held_folder, place),
        Catalog(held_folder.folder, campaign, clock, held_folder=held_folder) as catalog,
    ):
        place.leave_stamp(place.stamp)  # the next run learns of the last one what this one learned
        yield ChangedStore(catalog, partial(place.checkpoint, catalog.backup), held_folder.require_same)
        place.finish(catalog.backup, catalog.urgency())
