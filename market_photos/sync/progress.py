"""Measure the progress of a store's run."""

import asyncio
import datetime as dt
from collections.abc import Sequence

from market_photos.archive.catalog.photos import State
from market_photos.clock import Clock
from market_photos.errors import ExitCode
from market_photos.market.requests import Endpoint
from market_photos.reporting.progress import StoreProgress
from market_photos.reporting.report import Counters, StoreReport
from market_photos.reporting.status import seconds_at_quota
from market_photos.sync.store import Store
from market_photos.text import human_bytes

#: Stores that are shown one by one while a run is at work. Of more, only the sums are.
SHOWN_STORES = 12
_WAITS = {
    "spent": "the hour's quota is used up",
    "remaining": "the API says that the quota is used up",
    "refused": "the API refused for the quota (420)",
}


def overview(planned: int, ended: Sequence[StoreReport], at_work: Sequence[Counters]) -> str:
    """Return the sums over all stores of a run as a line of text. `planned`: how many it visits."""
    counters = [*(report.counters for report in ended), *at_work]
    photos, size = sum(count.downloaded for count in counters), sum(count.size for count in counters)
    troubled = sum(report.exit_code is not ExitCode.COMPLETE for report in ended)
    done = f"{len(ended):,} done" + (f" ({troubled:,} not complete)" if troubled else "")
    waiting = planned - len(ended) - len(at_work)
    return (
        f"{planned:,} stores: {done}, {len(at_work):,} at work, {waiting:,} waiting; "
        f"{photos:,} photos, {human_bytes(size)}"
    )


def seconds_left(at_quota: float, pending: int, per_hour: float) -> float | None:
    """Return the seconds left at the quota, or at the pace so far if that is slower; None if nothing is known."""
    return max(at_quota, pending / per_hour * 3600) if per_hour else at_quota or None


async def measure(store: Store, seconds: float) -> StoreProgress:
    """Return the progress of a store after the run has lasted `seconds`. Raises CatalogUnusable."""
    tally = await store.catalog.do(store.catalog.photos.tally)
    quota, counters, pending = store.limits.quotas[Endpoint.PHOTO], store.counters, tally[State.PENDING].photos
    per_hour = counters.downloaded / seconds * 3600 if seconds > 1 else 0.0
    at_quota = seconds_at_quota(pending, quota.left, store.settings.limits)
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
        seconds_left=seconds_left(at_quota, pending, per_hour),
        waiting=_waiting(store) if pending or counters.listing else "",
    )


def _waiting(store: Store) -> str:
    """Return why no request is sent now and until when; empty if requests are sent."""
    now = asyncio.get_running_loop().time()
    wait = store.limits.quotas[Endpoint.PHOTO].wait
    if store.outage.paused_until > now:
        return f"the server fails; next try at {_local_time(store.outage.paused_until - now, store.clock)}"
    if store.limits.slots.paused_until is not None:
        return "another program uses this store's parallel requests (420); a few seconds"
    if wait is None:
        return ""
    until = f", until {_local_time(wait.until - now, store.clock)}" if wait.until is not None else ""
    return _WAITS[wait.reason] + until


def _local_time(seconds: float, clock: Clock) -> str:
    """Return the local time of day in `seconds` from now."""
    return dt.datetime.fromtimestamp(clock.now().wall + seconds).astimezone().strftime("%H:%M:%S")
