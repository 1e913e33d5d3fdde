"""The state of a store, read from its catalogue beside a run: for `status`, the metrics and the page of `browse`."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from market_photos.archive import layout, lock
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State, Tally
from market_photos.archive.catalog.requests import CLOCK_SLACK, PastRequest, PastRun
from market_photos.clock import Clock, Moment, iso
from market_photos.market.quota import held_for, token_ages
from market_photos.market.requests import Endpoint
from market_photos.reporting.awaiting import AwaitingSummary, summary_of
from market_photos.reporting.forecast import seconds_left
from market_photos.reporting.progress import StoreProgress, read_progress
from market_photos.reporting.report import MEANINGS
from market_photos.settings import Limits
from market_photos.text import counted, human_bytes, human_time


@dataclass(frozen=True)
class StoreStatus:
    """The state of a store at one moment."""

    campaign: int
    name: str
    tally: dict[State, Tally]
    given_up: int
    awaiting: AwaitingSummary
    watermark: int | None
    quota: int
    quota_left: int
    seconds_left: float
    """A forecast: how long the pending photos take at the quota, once a run starts."""
    at_work: str | None
    """The command that holds the store's lock, with its process."""
    last_run: PastRun | None
    last_sync: int | None
    """When the last `sync` with exit code 0 ended, in seconds since 1970."""
    progress: StoreProgress | None
    """Of the run that holds the lock."""
    now: float
    """Seconds since 1970 by the server's clock where the catalogue has recorded it."""

    def as_json(self) -> dict[str, Any]:
        """Return an entry of `stores` in `status --json`."""
        return {
            "campaign": self.campaign,
            "name": self.name,
            "discovered": sum(tally.photos for tally in self.tally.values()),
            **{state.value: tally.photos for state, tally in self.tally.items()},
            "bytes": self.tally[State.ARCHIVED].size,
            "given_up": self.given_up,
            "awaiting": self.awaiting.as_json(),
            "watermark": iso(self.watermark) if self.watermark is not None else None,
            "quota_left": self.quota_left,
            "seconds_left": round(self.seconds_left),
            "at_work": self.at_work,
            "progress": asdict(self.progress) if self.progress else None,
            "last_complete_sync": iso(self.last_sync) if self.last_sync is not None else None,
            "last_run": self.last_run.as_json() if self.last_run else None,
        }

    def lines(self) -> list[str]:
        """Return the text that `status` prints."""
        counts = [f"{tally.photos:,} {state.value}" for state, tally in self.tally.items()]
        counts.append(human_bytes(self.tally[State.ARCHIVED].size))
        lines = [f"Store {self.campaign} {self.name}".strip(), f"  photos: {', '.join(counts)}"]
        if self.given_up:
            lines.append(f"  {self.given_up:,} of the failed were given up; `sync --full` tries them once more")
        listed = f"up to {iso(self.watermark)}" if self.watermark is not None else "not yet to the end"
        lines.append(f"  returns listed: {listed}")
        lines += [f"  {self.awaiting}"] * bool(self.awaiting.total)
        quota = f"{self.quota_left:,} of {self.quota:,} photo requests left in this period"
        lines.append(f"  quota: {quota}{self._quota_wait()}")
        lines += [f"  at work: {self.at_work}"] * bool(self.at_work)
        lines += [f"    {line.strip()}" for line in (self.progress.lines() if self.progress else [])]
        lines.append(f"  last complete sync: {iso(self.last_sync) if self.last_sync is not None else 'none yet'}")
        return [*lines, f"  last run: {run_text(self.last_run)}"]

    def _quota_wait(self) -> str:
        if not self.tally[State.PENDING].photos or self.progress:
            return ""
        if not self.seconds_left:
            return ": enough for all that are pending"
        return f"; about {human_time(self.seconds_left)} for all that are pending, once a run starts"


def totals(stores: Sequence[StoreStatus]) -> str:
    """Return the photos of all stores in one line."""
    counts = [f"{sum(store.tally[state].photos for store in stores):,} {state.value}" for state in State]
    size = sum(store.tally[State.ARCHIVED].size for store in stores)
    at_work = sum(store.at_work is not None for store in stores)
    busy = [f"{at_work:,} at work"] * bool(at_work)
    return f"{len(stores):,} stores: {', '.join([*counts, human_bytes(size), *busy])}"


def run_text(run: PastRun | None) -> str:
    """Return a run and how it ended, in words."""
    if run is None:
        return "none yet"
    began = f"`{run.command}` at {iso(run.started_at)}"
    if run.outcome == "at work":
        return f"{began}, at work now"
    if run.exit_code is None:
        return f"{began}, cut short: it was killed, or the machine went down; the next run goes on"
    if run.outcome == "dry run":
        return f"{began}, a dry run: {counted(run.would_fetch or 0, 'photo')} would be fetched"
    error = run.summary.get("error")
    return f"{began}: {MEANINGS[run.exit_code]} (exit {run.exit_code:d})" + f": {error}" * bool(error)


def status_of(archive: Path, campaign: int, limits: Limits, clock: Clock) -> StoreStatus:
    """Return the state of a store of the archive. Blocks. Raises CatalogUnusable."""
    folder = layout.store_folder(archive, campaign)
    with Catalog(folder, campaign, clock, read_only=True) as catalog:
        return read_status(catalog, folder, limits, clock)


def read_status(catalog: Catalog, folder: Path, limits: Limits, clock: Clock) -> StoreStatus:
    """Return the state of one store. Blocks. Raises CatalogUnusable."""
    tally = catalog.photos.tally()
    holder = lock.holder_of(folder)
    now = catalog.now()
    returns = _token_returns(catalog.requests.past_requests(), limits, now)
    amount, period = limits.photo_requests, limits.period_seconds
    return StoreStatus(
        campaign=catalog.campaign,
        name=catalog.returns.meta("name") or "",
        tally=tally,
        given_up=catalog.photos.given_up(),
        awaiting=summary_of(catalog.reader, now.best),
        watermark=catalog.returns.watermark(),
        quota=limits.photo_requests,
        quota_left=amount - len(returns),
        seconds_left=seconds_left(tally[State.PENDING].photos, returns, amount=amount, held_for=held_for(period)),
        at_work=str(holder) if holder else None,
        last_run=next((with_holder(run, holder) for run in catalog.runs.last()), None),
        last_sync=catalog.runs.last_complete("sync"),
        progress=read_progress(folder, clock) if holder else None,
        now=now.best,
    )


def with_holder(run: PastRun, holder: lock.Holder | None) -> PastRun:
    """Return the run, at work if it has no end and `holder`, which has the store's lock, took it for this run."""
    if holder is None or run.exit_code is not None or holder.command != run.command:
        return run
    # The lock goes by this machine's clock, the catalogue by the server's.
    is_older = run.started_at < datetime.fromisoformat(holder.since).timestamp() - CLOCK_SLACK
    return run._replace(is_at_work=not is_older)


def _token_returns(requests: Iterable[PastRequest], limits: Limits, now: Moment) -> list[float]:
    """Return when each token of the photo quota that is not free is back, in seconds from now, sorted.

    Counts as a run counts that starts now: an unanswered request may have arrived late.
    """
    period = limits.period_seconds
    sent = [request for request in requests if request.method == Endpoint.PHOTO]
    waits = [held_for(period) - age for age in token_ages(sent, now, period)]
    # More than the quota after it was lowered: the youngest count.
    return sorted(wait for wait in waits if wait > 0)[-limits.photo_requests :]
