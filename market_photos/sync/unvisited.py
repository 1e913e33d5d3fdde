"""Report the stores of the archive that a run over all stores does not visit: their pending photos count, too."""

from market_photos.archive import layout, lock
from market_photos.archive.hashing import in_threads
from market_photos.archive.place import Archive
from market_photos.archive.stores import is_store, numbered_folders
from market_photos.clock import Clock
from market_photos.errors import MarketPhotosError
from market_photos.model import Wanted
from market_photos.reporting.report import StoreReport
from market_photos.sync.discovery import Candidate
from market_photos.sync.shard import Shard
from market_photos.sync.stock import lacking, refused_report

#: Stores that are looked at side by side: mostly they wait for object storage.
LOOKING_THREADS = 16
NOT_LISTED = "it is not among the stores that the key sees"


def unvisited(
    archive: Archive,
    visited: set[int],
    closed: list[Candidate],
    clock: Clock,
    *,
    only: Wanted | None,
    shard: Shard,
    is_fetched: bool,
) -> tuple[list[StoreReport], list[Candidate]]:
    """Return reports of the shard's stores with pending or failed photos, and its other stores with the reason.

    `closed` are the stores that the key sees and that cannot be served; `only` restricts the photos that count.
    `is_fetched`: look at what the archive has now, not at what this machine knows of it. Blocks. Raises
    ArchiveUnwritable.
    """
    reasons = {candidate.campaign: candidate for candidate in closed}
    known = archive.numbers() if is_fetched else numbered_folders(archive.catalogs)
    others = [campaign for campaign in known if campaign not in visited and campaign in shard]

    def look(campaign: int) -> StoreReport | Candidate | None:
        candidate = reasons.get(campaign, Candidate(campaign, refused=NOT_LISTED))
        return _look(archive, candidate, clock, only, is_fetched=is_fetched)

    reports = []
    for campaign, found in zip(others, list(in_threads(look, others, LOOKING_THREADS)), strict=True):
        if isinstance(found, StoreReport):
            reports.append(found)
            reasons.pop(campaign, None)
        elif found:
            reasons[campaign] = found
    return reports, sorted(reasons.values())


def _look(
    archive: Archive, candidate: Candidate, clock: Clock, only: Wanted | None, *, is_fetched: bool
) -> StoreReport | Candidate | None:
    """Return the report, the reason why there is none, or None if the folder is not a store's."""
    folder = layout.store_folder(archive.catalogs, candidate.campaign)
    try:
        if is_fetched:
            archive.fetch([candidate.campaign])
        if holder := lock.holder_of(folder):
            return candidate._replace(refused=f"{candidate.refused}; another run is at work on it: {holder}")
        if not is_store(folder):
            return None
        report = refused_report(folder, candidate, clock, only)
    except MarketPhotosError as error:
        return StoreReport(candidate.campaign, candidate.name, exit_code=error.exit_code, error=error)
    if not lacking(report):
        return Candidate(candidate.campaign, report.name, f"{candidate.refused}; nothing of it is pending")
    return report
