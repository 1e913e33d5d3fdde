"""Write metrics of the last run and of every store, for Prometheus' textfile collector."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from market_photos.archive.catalog.photos import State
from market_photos.archive.stores import known_stores
from market_photos.clock import Clock
from market_photos.config import Settings
from market_photos.errors import ExitCode, MarketPhotosError
from market_photos.reporting.report import Report, StoreReport
from market_photos.reporting.status import StoreStatus, status_of

log = logging.getLogger(__name__)

#: What the last run did for a store: name, meaning, value.
_OF_LAST_RUN: tuple[tuple[str, str, Callable[[StoreReport], float]], ...] = (
    ("store_exit_code", "Exit code of the last run, of this store.", lambda store: store.exit_code),
    ("run_downloaded_photos", "Photos that the last run fetched.", lambda store: store.counts()["downloaded"]),
    ("run_requests", "Requests that the last run sent.", lambda store: store.counters.requests),
    ("run_downloaded_bytes", "Bytes of the photos that the last run fetched.", lambda store: store.counters.size),
)
#: What a store's catalogue says: name, meaning, value, None where it is not known.
_OF_CATALOG: tuple[tuple[str, str, Callable[[StoreStatus], float | None]], ...] = (
    ("archived_bytes", "Bytes of the archived photos.", lambda store: store.tally[State.ARCHIVED].size),
    ("awaiting_returns", "Returns that await the seller's decision.", lambda store: store.awaiting.total),
    ("given_up_photos", "Failed photos that are no longer asked for.", lambda store: store.given_up),
    (
        "last_success_timestamp_seconds",
        "When the last sync with exit code 0 ended; 0 where there was none.",
        lambda store: store.last_sync or 0,
    ),
    ("watermark_timestamp_seconds", "Up to when every return has been listed.", lambda store: store.watermark),
    ("quota_requests", "Photo requests that the settings allow in a period.", lambda store: store.quota),
    ("quota_left_requests", "Photo requests left in this period.", lambda store: store.quota_left),
    ("seconds_left", "Seconds that the pending photos take at the quota.", lambda store: round(store.seconds_left)),
)


class Outcome(NamedTuple):
    """How a run ended. Times are in seconds since 1970; a run that failed before it counted has no report."""

    started_at: float
    ended_at: float
    code: ExitCode
    report: Report | None


class _Metrics(CollectorRegistry):
    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"market_photos_{name}", meaning, labels, registry=self)


def write_metrics(path: Path, settings: Settings, outcome: Outcome, clock: Clock) -> None:
    """Replace the file at `path` atomically.

    Leaves out a store whose catalogue cannot be used, with a warning. Blocks. Raises OSError, ArchiveUnwritable.
    """
    metrics = _Metrics()
    metrics.gauge("run_start_timestamp_seconds", "When the last run began.").set(outcome.started_at)
    metrics.gauge("run_end_timestamp_seconds", "When the last run ended.").set(outcome.ended_at)
    metrics.gauge("run_exit_code", "Exit code of the last run; 0 is complete, see README.").set(outcome.code)
    reports = outcome.report.stores if outcome.report else []
    for name, meaning, value in _OF_LAST_RUN:
        gauge = metrics.gauge(name, meaning, "store")
        for report in reports:
            gauge.labels(report.campaign).set(value(report))
    _add_catalogs(metrics, _readable(settings, clock))
    write_to_textfile(str(path), metrics)
    path.chmod(0o644)  # the collector runs as another user


def _add_catalogs(metrics: _Metrics, stores: list[StoreStatus]) -> None:
    photos = metrics.gauge("photos", "Photos in the catalogue, by state.", "store", "state")
    for store in stores:
        for state, tally in store.tally.items():
            photos.labels(store.campaign, state).set(tally.photos)
    for name, meaning, value_of in _OF_CATALOG:
        gauge = metrics.gauge(name, meaning, "store")
        for store in stores:
            if (value := value_of(store)) is not None:
                gauge.labels(store.campaign).set(value)


def _readable(settings: Settings, clock: Clock) -> list[StoreStatus]:
    found: list[StoreStatus] = []
    for campaign in known_stores(settings.archive.catalogs):
        try:
            found.append(status_of(settings.archive.catalogs, campaign, settings.limits, clock))
        except MarketPhotosError as error:
            log.warning("metrics_file: store %s is left out: %s", campaign, error.message)
    return found
