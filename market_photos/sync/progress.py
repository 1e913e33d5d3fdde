"""What a person sees while a run lasts: a live view on a terminal, elsewhere a line every few minutes."""

import asyncio
import datetime as dt
import os
import sys
from collections.abc import Mapping

from market_photos.archive.catalog.photos import State
from market_photos.clock import Clock
from market_photos.console import say, writes_json
from market_photos.market.requests import Endpoint
from market_photos.reporting.progress import View
from market_photos.sync.run import Run
from market_photos.sync.store import Store

#: Seconds between two lines where there is no terminal.
LINE_SECONDS = 180
_WAITS = {
    "spent": "the hour's quota is used up",
    "remaining": "the API says that the quota is used up",
    "refused": "the API refused for the quota (420)",
}


def is_live(environ: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Whether a live view is welcome: on a real terminal, not in CI, not where the user asked for plain output."""
    plain = "NO_COLOR" in environ or "CI" in environ or environ.get("TERM") == "dumb"
    return is_terminal and not plain


def seconds_left(pending: int, quota_left: int, amount: int, period: float, per_hour: float) -> float | None:
    """At the quota, or at the pace so far where that is slower; None while there is none to go by."""
    at_quota = max(0, pending - quota_left) / amount * period
    at_pace = pending / per_hour * 3600 if per_hour else None
    return max(at_quota, at_pace) if at_pace is not None else (at_quota or None)


async def look(store: Store, clock: Clock, seconds: float) -> View:
    tally = await store.catalog.do(store.catalog.photos.tally)
    quota = store.limits.quotas[Endpoint.PHOTO]
    counters = store.counters
    pending = tally[State.PENDING].photos
    per_hour = counters.downloaded / seconds * 3600 if seconds > 1 else 0.0
    return View(
        title=store.title,
        listing=counters.listing,
        pages=counters.pages,
        returns=counters.returns,
        photos=counters.downloaded,
        size=counters.size,
        pending=pending,
        per_hour=per_hour,
        quota_share=1 - quota.left / quota.amount,
        seconds_left=seconds_left(pending, quota.left, quota.amount, quota.period, per_hour),
        waiting=_waiting(store, clock) if pending or counters.listing else "",
    )


def _waiting(store: Store, clock: Clock) -> str:
    """Why nothing is sent just now and until when; empty where that is not so."""
    now = asyncio.get_running_loop().time()
    wait = store.limits.quotas[Endpoint.PHOTO].wait
    if store.outage.paused_until > now:
        return f"the server fails; next try at {_local(store.outage.paused_until - now, clock)}"
    if store.limits.slots.paused_until is not None:
        return "another program uses this store's parallel requests (420); a few seconds"
    if wait is None:
        return ""
    until = f", until {_local(wait.until - now, clock)}" if wait.until is not None else ""
    return _WAITS[wait.reason] + until


def _local(seconds: float, clock: Clock) -> str:
    """The time of day in so many seconds, as the clock on the wall shows it."""
    return dt.datetime.fromtimestamp(clock.now().wall + seconds).astimezone().strftime("%H:%M:%S")


async def show_lines(run: Run) -> None:
    """Until cancelled."""
    began = asyncio.get_running_loop().time()
    while True:
        await asyncio.sleep(LINE_SECONDS)
        for store in list(run.stores):
            view = await look(store, run.clock, asyncio.get_running_loop().time() - began)
            say(" ".join(line.strip() for line in view.lines()))


def watcher(run: Run, *, quiet: bool) -> "asyncio.Task[None] | None":
    """Shows the run on standard error until its task is cancelled; nothing where `quiet`."""
    if quiet:
        return None
    is_terminal = sys.stderr is not None and sys.stderr.isatty()  # None where it was closed before we began
    if writes_json() or not is_live(os.environ, is_terminal=is_terminal):
        return asyncio.create_task(show_lines(run))
    from market_photos.cli.display import show_live  # noqa: PLC0415 - cron need not wait for what draws

    return asyncio.create_task(show_live(run))
