"""The run of one store: recover, list and fetch side by side, settle."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from market_photos.archive import layout, photo_file
from market_photos.archive.catalog import adoption
from market_photos.errors import MarketPhotosError, ServerUnavailable, most_serious
from market_photos.sync.download import Worker
from market_photos.sync.listing import Producer
from market_photos.sync.stop import GRACE_SECONDS
from market_photos.sync.store import Store

log = logging.getLogger(__name__)

#: Workers beyond the slots: while one waits for the disk, another uses its slot.
SPARE_WORKERS = 1


@dataclass(frozen=True)
class Plan:
    """What a run is to do in each store."""

    list: Callable[[Producer], Awaitable[None]]
    everything: bool = False
    """Whether photos that were given up, or have been gone for long, are asked for once more."""
    only: tuple[int, int] | None = None
    """Order and return, where only that return's photos are wanted."""
    refresh_hours: bool = False
    """Whether to look for fresh returns every `refresh_hours` while the run lasts."""


def recover(store: Store) -> int:
    """Archive photos that a killed run left whole, remove its parts; return how many files were removed. Blocks."""
    swept = 0
    for claim in store.catalog.photos.unfinished():
        folder = store.folder / layout.return_folder(claim.month, claim.key.order, claim.key.return_id)
        is_adopted = adoption.adopt(store.catalog, claim)
        swept += photo_file.sweep(folder, layout.photo_stem(claim.key), parts_only=is_adopted)
    return swept


async def run_store(store: Store, plan: Plan) -> bool:
    """Brings what the plan wants; whether the listing came to its end.

    Raises the most serious MarketPhotosError that ended it early; a listing that failed is raised only after the
    photos already known have been fetched. On a stop it returns, with nothing in flight.
    """
    do, photos = store.catalog.do, store.catalog.photos
    if not store.is_dry:
        if swept := await do(recover, store):
            log.info("store %s: removed %d unfinished file(s) of a run that was cut short", store.title, swept)
        await store.requests.forget()
    await do(photos.requeue, everything=plan.everything, only=plan.only)
    try:
        async with asyncio.TaskGroup() as group:
            listing = group.create_task(_list(store, plan))
            workers = [Worker(store, plan.only) for _ in range(_workers(store))]
            fetching = [group.create_task(worker.run()) for worker in workers]
            refreshing = group.create_task(_refresh(store, plan))
            watching = group.create_task(_cut_short(store, listing, list(zip(workers, fetching, strict=True))))
            await asyncio.wait([listing, *fetching])
            refreshing.cancel()
            watching.cancel()
    except BaseExceptionGroup as errors:
        error = _most_serious_of(errors)
        if isinstance(error, ServerUnavailable):
            await store.settle_attempts()
        raise error from errors
    await store.settle_refused()
    await store.settle_attempts()
    await store.save_outdated_records()
    if listing.cancelled():
        return False
    if failure := listing.result():
        raise failure
    return True


def _workers(store: Store) -> int:
    if store.is_dry:
        return 0
    return store.settings.limits.parallel_requests + SPARE_WORKERS


async def _list(store: Store, plan: Plan) -> ServerUnavailable | None:
    """The failure of the listing, if the photos that are known already may still come."""
    try:
        await plan.list(Producer(store))
    except ServerUnavailable as failure:
        log.warning("store %s: %s", store.title, failure.message)
        return failure
    finally:
        store.is_listed = True
        store.tell()
    return None


async def _refresh(store: Store, plan: Plan) -> None:
    while plan.refresh_hours:
        await asyncio.sleep(store.settings.sync.refresh_hours * 3600)
        try:
            await Producer(store).refresh()
        except ServerUnavailable as failure:
            log.warning("store %s: cannot look for fresh returns now: %s", store.title, failure.message)
        await store.catalog.do(store.catalog.photos.requeue)
        store.tell()


async def _cut_short(
    store: Store,
    listing: "asyncio.Task[ServerUnavailable | None]",
    workers: list[tuple[Worker, "asyncio.Task[None]"]],
) -> None:
    """On a stop: what waits ends now, what is in flight has a few seconds to finish."""
    await store.stop.wait()
    listing.cancel()
    for worker, task in workers:
        if not worker.is_busy:
            task.cancel()
    store.tell()
    if busy := [task for _, task in workers if not task.done()]:
        await asyncio.wait(busy, timeout=GRACE_SECONDS)
    for task in busy:
        task.cancel()


def _most_serious_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Of all that went wrong side by side, what a person must hear of first: what nobody foresaw, before all."""
    found = list(_flat(errors))
    for error in found:
        if not isinstance(error, MarketPhotosError):
            return error
    code = most_serious([error.exit_code for error in found if isinstance(error, MarketPhotosError)])
    return next(error for error in found if isinstance(error, MarketPhotosError) and error.exit_code is code)


def _flat(errors: BaseExceptionGroup[BaseException]) -> "list[BaseException]":
    nested = [_flat(error) if isinstance(error, BaseExceptionGroup) else [error] for error in errors.exceptions]
    return [error for group in nested for error in group]
