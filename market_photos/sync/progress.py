"""Measure how far a run and its stores are."""

import asyncio
import datetime as dt
from collections.abc import Sequence

from market_photos.archive.catalog.photos import State
from market_photos.clock import Clock
from market_photos.errors import ExitCode
from market_photos.market.quota import Quota
from market_photos.market.requests import Endpoint
from market_photos.reporting.forecast import MOST_ANSWERS, pace_of, seconds_left
from market_photos.reporting.progress import RunProgress, StoreProgress
from market_photos.reporting.report import StoreReport
from market_photos.sync.store import Store

_WAITS = {
    "spent": "quota: next photo",
    "remaining": "quota, by the API's count: next photo",
    "refused": "quota, refused by the API (420): next photo",
}


def run_progress(
    seconds: float, planned: int, ended: Sequence[StoreReport], stores: list[StoreProgress]
) -> RunProgress:
    """Return how far a run is. `stores`: those at work; `planned`: how many it visits."""
    return RunProgress(
        seconds=seconds,
        planned=planned,
        ended=len(ended),
        troubled=[report.name_and_number for report in ended if report.exit_code is not ExitCode.COMPLETE],
        stores=stores,
        photos=sum(report.counters.downloaded for report in ended) + sum(store.photos for store in stores),
        size=sum(report.counters.size for report in ended) + sum(store.size for store in stores),
    )


def photos_take(photos: int, quota: Quota, paused_until: float = 0.0) -> float | None:
    """Return how many seconds photos take at the quota and the pace so far, a forecast; None if nothing is known.

    `paused_until`: the loop time until which no photo is requested.
    """
    wait, pace = quota.wait, pace_of(quota.last_answers(MOST_ANSWERS))
    if wait and wait.until and wait.reason != "spent":  # the server has closed it
        paused_until = max(paused_until, wait.until)
    taken = seconds_left(
        photos,
        quota.returns,
        amount=quota.amount,
        held_for=quota.held_for,
        closed_for=max(0.0, paused_until - asyncio.get_running_loop().time()),
        pace=pace,
    )
    return taken if taken or pace else None


async def measure(store: Store, seconds: float) -> StoreProgress:
    """Return the progress of a store after the run has lasted `seconds`. Raises CatalogUnusable."""
    tally = await store.catalog.do(store.catalog.photos.tally)
    quota, counters, pending = store.limits.quotas[Endpoint.PHOTO], store.counters, tally[State.PENDING].photos
    per_hour = counters.downloaded / seconds * 3600 if seconds > 1 else 0.0
    return StoreProgress(
        title=store.title,
        listing=counters.listing or counters.refreshing,
        pages=counters.pages,
        returns=counters.returns,
        photos=counters.downloaded,
        size=counters.size,
        pending=pending,
        per_hour=per_hour,
        quota_share=1 - quota.left / quota.amount,
        seconds_left=photos_take(pending, quota, store.outage.paused_until),
        waiting=_waiting(store) if pending or counters.listing else "",
    )


def _waiting(store: Store) -> str:
    """Return why no request is sent now and until when; empty if requests are sent."""
    now = asyncio.get_running_loop().time()
    wait = store.limits.quotas[Endpoint.PHOTO].wait
    if store.outage.paused_until > now:
        return f"the server fails: next try {_local_time(store.outage.paused_until - now, store.clock)}"
    if store.limits.slots.paused_until is not None:
        return "another program uses this store's parallel requests (420): a few seconds"
    if wait is None or wait.until is None:
        return ""
    return f"{_WAITS[wait.reason]} {_local_time(wait.until - now, store.clock)}"


def _local_time(seconds: float, clock: Clock) -> str:
    """Return the local time of day in `seconds` from now."""
    return dt.datetime.fromtimestamp(clock.now().wall + seconds).astimezone().strftime("%H:%M:%S")
