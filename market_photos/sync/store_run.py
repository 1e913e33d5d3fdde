"""The run of one store: clean up after a killed run, list and download side by side, settle what is open."""

import asyncio
import logging

from market_photos.archive import layout
from market_photos.archive.catalog import adoption
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.place import Place
from market_photos.errors import MarketPhotosError, ServerUnavailable, most_serious
from market_photos.sync import storing
from market_photos.sync.download import Worker
from market_photos.sync.ledger import forget_old_requests
from market_photos.sync.listing import Lister
from market_photos.sync.outcomes import Outcomes
from market_photos.sync.photo_queue import PhotoQueue
from market_photos.sync.plan import Backfill, Plan
from market_photos.sync.refused_photos import RefusedPhotos
from market_photos.sync.stop import GRACE_SECONDS
from market_photos.sync.store import Store

log = logging.getLogger(__name__)

#: Workers beyond the slots: while one waits for the disk, another uses its slot.
SPARE_WORKERS = 1
#: Seconds between two times of housekeeping in a catalogue.
HOUSE_SECONDS = 600.0


async def run_store(store: Store, plan: Plan) -> bool:
    """List and download what the plan wants; return whether the listing came to its end.

    Raises the most serious MarketPhotosError that ended it early. A failed listing is raised only after the photos
    that are known already have been downloaded. On a stop it returns with nothing in flight.
    """
    catalog = store.catalog
    if not store.is_dry:
        await _clean_up(store)
    await catalog.do(catalog.photos.requeue, everything=plan.full, only=plan.only)
    refused = RefusedPhotos()
    queue = PhotoQueue(
        catalog=catalog,
        place=store.place,
        ledger=store.limits.ledger,
        outage=store.outage,
        refused=refused,
        stop=store.stop,
        budget=store.budget,
        only=plan.only,
    )
    outcomes = Outcomes(
        catalog=catalog,
        place=store.place,
        title=store.title,
        counters=store.counters,
        outage=store.outage,
        refused=refused,
        stop=store.stop,
        rng=store.rng,
        only=plan.only,
    )
    try:
        listing = await _list_and_download(store, plan, queue, outcomes)
    except BaseExceptionGroup as errors:
        deferred = queue.close()
        error = _most_serious_of(errors)
        if isinstance(error, ServerUnavailable):
            await outcomes.resolve_attempts(deferred)
        raise error from errors
    await outcomes.resolve_refused()
    await outcomes.resolve_attempts(queue.close())
    while await catalog.do(storing.save_outdated_records, catalog, store.place, 100):
        pass
    if listing.cancelled():
        return False
    if failure := listing.result():
        raise failure
    return True


async def _clean_up(store: Store) -> None:
    """Archive what a killed run left whole, remove its parts, then forget its requests."""
    if swept := await store.catalog.do(recover, store.catalog, store.place):
        log.info("store %s: removed %d unfinished file(s) of a run that was cut short", store.title, swept)
    await store.catalog.do(forget_old_requests, store.catalog, store.settings.limits)


def recover(catalog: Catalog, place: Place) -> int:
    """Archive photos that a killed run left whole, remove its parts; return how many files were removed. Blocks."""
    swept = 0
    for claim in catalog.photos.unfinished():
        folder = layout.return_folder(claim.month, claim.key.of_return)
        is_adopted = adoption.adopt(catalog, place, claim)
        swept += place.sweep(folder, layout.photo_stem(claim.key), parts_only=is_adopted)
    return swept


async def _list_and_download(
    store: Store, plan: Plan, queue: PhotoQueue, outcomes: Outcomes
) -> "asyncio.Task[ServerUnavailable | None]":
    """Run until the listing and all workers have ended; return the listing's task. Raises BaseExceptionGroup."""
    workers = [
        Worker(
            queue=queue,
            outcomes=outcomes,
            client=store.client,
            limits=store.limits,
            place=store.place,
        )
        for _ in range(0 if store.is_dry else store.settings.limits.parallel_requests + SPARE_WORKERS)
    ]
    async with asyncio.TaskGroup() as group:
        listing = group.create_task(_list(store, plan, queue))
        downloads = {worker: group.create_task(worker.run()) for worker in workers}
        helpers = [
            group.create_task(_refresh(store, plan, queue)),
            group.create_task(_keep_house(store)),
            group.create_task(store.place.guard()),
            group.create_task(_end_on_stop(store, queue, listing, downloads)),
        ]
        await asyncio.wait([listing, *downloads.values()])
        for helper in helpers:
            helper.cancel()
    return listing


async def _list(store: Store, plan: Plan, queue: PhotoQueue) -> ServerUnavailable | None:
    """List; return the failure after which the photos that are known already may still come."""
    try:
        await Lister(store, queue.notify).run(plan)
    except ServerUnavailable as failure:
        log.warning("store %s: %s", store.title, failure.message)
        return failure
    finally:
        queue.listing_ended()
    return None


async def _refresh(store: Store, plan: Plan, queue: PhotoQueue) -> None:
    """During a backfill, list fresh returns now and then."""
    while isinstance(plan, Backfill):
        await asyncio.sleep(store.settings.sync.refresh_hours * 3600)
        try:
            await Lister(store, queue.notify, is_refresh=True).refresh()
        except ServerUnavailable as failure:
            log.warning("store %s: cannot look for fresh returns now: %s", store.title, failure.message)
        await store.catalog.do(store.catalog.photos.requeue)
        queue.notify()


async def _keep_house(store: Store) -> None:
    """Keep the catalogue's requests few, as a backfill sends 120 000 a day, and limit what a crash would cost."""
    catalog = store.own_catalog
    while not store.is_dry:
        await asyncio.sleep(HOUSE_SECONDS)
        await catalog.do(forget_old_requests, catalog, store.settings.limits)
        await catalog.do(store.place.keep_safe, catalog.backup, store.counters.size)


async def _end_on_stop(
    store: Store,
    queue: PhotoQueue,
    listing: "asyncio.Task[ServerUnavailable | None]",
    downloads: "dict[Worker, asyncio.Task[None]]",
) -> None:
    """On a stop, end what waits at once and give what is in flight GRACE_SECONDS to finish."""
    await store.stop.wait()
    listing.cancel()
    for worker, task in downloads.items():
        if not worker.is_busy:
            task.cancel()
    queue.notify()
    if busy := [task for task in downloads.values() if not task.done()]:
        await asyncio.wait(busy, timeout=GRACE_SECONDS)
    for task in busy:
        task.cancel()


def _most_serious_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error that a person must see first: an unexpected one before all others."""
    found = list(_flat(errors))
    for error in found:
        if not isinstance(error, MarketPhotosError):
            return error
    code = most_serious([error.exit_code for error in found if isinstance(error, MarketPhotosError)])
    return next(error for error in found if isinstance(error, MarketPhotosError) and error.exit_code is code)


def _flat(errors: BaseExceptionGroup[BaseException]) -> "list[BaseException]":
    nested = [_flat(error) if isinstance(error, BaseExceptionGroup) else [error] for error in errors.exceptions]
    return [error for group in nested for error in group]
