"""Put a return on hold, which keeps it from pruning, or release it."""

from functools import partial

from market_photos.archive import layout
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.reader import KnownReturn
from market_photos.archive.place import Archive
from market_photos.clock import Clock, iso
from market_photos.errors import UsageError
from market_photos.maintenance import return_folder
from market_photos.maintenance.holding import changed_catalog


def set_hold(archive: Archive, found: KnownReturn, *, is_held: bool, clock: Clock, command: str) -> None:
    """Put a return on hold or release it, also beside a sync. Raises UsageError where it is pruned already."""
    campaign, files = found.campaign, archive.files(found.campaign)
    opened = (
        Catalog(layout.store_folder(archive.catalogs, campaign), campaign, clock)
        if archive.is_changed_beside_runs
        else changed_catalog(archive, campaign, command, clock)
    )
    with opened as catalog:
        files.require_real_folders(found.folder)
        if not is_held:
            catalog.pruning.release(found.row, partial(return_folder.remove_hold, files, found.folder))
        elif not catalog.pruning.hold(
            found.row, partial(return_folder.write_hold, files, found.folder, command, iso(clock.now().wall))
        ):
            raise UsageError(
                f"Return {found.return_id} of store {campaign} is pruned, or is being pruned now: it cannot be held.",
                "Its photos are deleted.",
            )
