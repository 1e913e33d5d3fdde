"""Take stock of a store: what its catalogue counts, for the report of a run."""

from itertools import islice
from pathlib import Path

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import MAX_FAILURES, State
from market_photos.archive.stores import is_store
from market_photos.clock import Clock, iso
from market_photos.errors import ServerUnavailable, StoreRefused
from market_photos.market.requests import Endpoint
from market_photos.model import Wanted
from market_photos.reporting.awaiting import AwaitingReturn, awaiting_of, summary_of
from market_photos.reporting.report import SHOWN_FAILURES, Failure, StoreReport
from market_photos.sync.discovery import Candidate
from market_photos.sync.plan import Plan
from market_photos.sync.progress import photos_take
from market_photos.sync.store import Store
from market_photos.text import counted

#: Newly awaiting returns of a store that a report lists.
NEWS = 1000


async def take_stock(store: Store, plan: Plan, report: StoreReport) -> None:
    """Fill the report of a store that is open."""
    catalog = store.own_catalog
    report.tally = await catalog.do(catalog.photos.tally, plan.only)
    watermark = await catalog.do(catalog.returns.watermark)
    report.watermark = iso(watermark) if watermark is not None else None
    report.awaiting = await catalog.do(summary_of, catalog.reader, store.clock.now().best)
    if store.is_dry:
        report.would_fetch = await catalog.do(
            catalog.photos.lacking, store.catalog.path, everything=plan.full, only=plan.only
        )
        report.would_take = photos_take(report.would_fetch, store.limits.quotas[Endpoint.PHOTO]) or 0.0
        return
    now = store.clock.now().best
    if plan.only is None:
        report.newly_awaiting = await catalog.do(_newly_awaiting, catalog, now)
    for failed in await catalog.do(catalog.photos.failures, SHOWN_FAILURES, plan.only):
        again = next_try(failed.failures, failed.not_before, now)
        report.failures.append(Failure(str(failed.key), failed.reason, again))


def _newly_awaiting(catalog: Catalog, now: float) -> list[AwaitingReturn]:
    """Return the returns that no earlier report named, at most NEWS of them. Blocks."""
    news = set(catalog.returns.take_newly_awaiting())
    found = (awaiting for awaiting in awaiting_of(catalog.reader, now) if awaiting.return_.row in news)
    return list(islice(found, NEWS)) if news else []


def stock_of(folder: Path, candidate: Candidate, clock: Clock, only: Wanted | None) -> StoreReport:
    """Return the report of a store that is not opened, with the counts of its catalogue if it has one.

    Blocks. Raises CatalogUnusable, ArchiveUnwritable.
    """
    report = StoreReport(candidate.campaign, candidate.name)
    if is_store(folder):
        with Catalog(folder, candidate.campaign, clock, read_only=True) as catalog:
            report.tally = catalog.photos.tally(only)
            report.name = candidate.name or catalog.returns.meta("name") or ""
            watermark = catalog.returns.watermark()
            report.awaiting = summary_of(catalog.reader, catalog.now().best)
        report.watermark = iso(watermark) if watermark is not None else None
    return report


def require_known(folder: Path, candidate: Candidate) -> None:
    """Raise ServerUnavailable if the archive does not know the store either: its number may be wrong. Blocks."""
    if not is_store(folder):
        raise ServerUnavailable(
            f"The list of stores could not be read, and {candidate.title} is new here.",
            "Run the same command again when the server works. Nothing is lost.",
        )


def refused_report(folder: Path, candidate: Candidate, clock: Clock, only: Wanted | None) -> StoreReport:
    """Return the report of a store that cannot be served. Blocks. Raises CatalogUnusable, ArchiveUnwritable."""
    report = stock_of(folder, candidate, clock, only)
    left = f"; {counted(count, 'photo')} pending or failed" if (count := lacking(report)) else ""
    report.error = StoreRefused(
        f"It cannot be served: {candidate.refused}{left}.",
        "Check its number, or give the key access to it in the seller's cabinet. If it is closed for good, name the "
        "other stores: ids in [campaigns].",
    )
    report.exit_code = report.error.exit_code
    return report


def lacking(report: StoreReport) -> int:
    """Return how many photos of a store are not archived and may still come."""
    return report.count(State.PENDING) + report.count(State.FAILED)


def next_try(failures: int, not_before: int, wall: float) -> str:
    """Return when a failed photo is requested again, in words."""
    if failures >= MAX_FAILURES:
        return f"given up after {failures} runs; `sync --full` tries once more"
    return f"next try from {iso(not_before)}" if not_before > wall else "the next run tries again"
