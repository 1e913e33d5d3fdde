"""What Prometheus is told: the last run, and what the catalogues say of every store in the archive."""

import logging
from typing import NamedTuple

from market_photos.archive.catalog.catalog import known_stores
from market_photos.clock import Clock
from market_photos.config import Settings
from market_photos.errors import ExitCode, MarketPhotosError
from market_photos.reporting.prometheus import Gauge
from market_photos.reporting.report import Report, StoreReport
from market_photos.reporting.status import StoreStatus, statuses

log = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """Of a run; times in seconds since 1970; no report where it ended before there was anything to count."""

    started_at: float
    ended_at: float
    code: ExitCode
    report: Report | None


def gauges(settings: Settings, outcome: Outcome, clock: Clock) -> list[Gauge]:
    """A store whose catalogue cannot be used is left out of what catalogues say, with a warning."""
    run = _run_gauges(outcome)
    found = _StoreGauges()
    for report in outcome.report.stores if outcome.report else ():
        found.add_run(report)
    for campaign in known_stores(settings.archive.directory):
        try:
            for status in statuses(settings.archive.directory, (campaign,), settings.limits, clock):
                found.add_status(status)
        except MarketPhotosError as error:
            log.warning("metrics_file: store %s is left out: %s", campaign, error.message)
    return [*run, *found.all]


def _run_gauges(outcome: Outcome) -> list[Gauge]:
    values = (
        ("run_start_timestamp_seconds", "When the last run began.", outcome.started_at),
        ("run_end_timestamp_seconds", "When the last run ended.", outcome.ended_at),
        ("run_exit_code", "Exit code of the last run; 0 is complete, see README.", float(outcome.code)),
    )
    found = [Gauge(name, meaning) for name, meaning, _ in values]
    for gauge, (_, _, value) in zip(found, values, strict=True):
        gauge.add(value)
    return found


class _StoreGauges:
    def __init__(self) -> None:
        self.exit_code = Gauge("store_exit_code", "Exit code of the last run, of this store.")
        self.downloaded = Gauge("run_downloaded_photos", "Photos that the last run fetched.")
        self.requests = Gauge("run_requests", "Requests that the last run sent.")
        self.bytes = Gauge("run_downloaded_bytes", "Bytes of the photos that the last run fetched.")
        self.photos = Gauge("photos", "Photos in the catalogue, by state.")
        self.size = Gauge("archived_bytes", "Bytes of the archived photos.")
        self.given_up = Gauge("given_up_photos", "Failed photos that are no longer asked for.")
        self.success = Gauge(
            "last_success_timestamp_seconds", "When the last sync with exit code 0 ended; 0 where there was none."
        )
        self.watermark = Gauge("watermark_timestamp_seconds", "Up to when every return has been listed.")
        self.quota = Gauge("quota_requests", "Photo requests that the settings allow in a period.")
        self.quota_left = Gauge("quota_left_requests", "Photo requests left in this period.")
        self.seconds_left = Gauge("seconds_left", "Seconds that the pending photos take at the quota.")

    @property
    def all(self) -> list[Gauge]:
        return list(vars(self).values())

    def add_run(self, report: StoreReport) -> None:
        store, counts = report.campaign, report.counts()
        self.exit_code.add(report.exit_code, store=store)
        self.downloaded.add(counts["downloaded"], store=store)
        self.requests.add(counts["requests"], store=store)
        self.bytes.add(counts["bytes"], store=store)

    def add_status(self, status: StoreStatus) -> None:
        store, shown = status.campaign, status.as_json()
        for state, tally in status.tally.items():
            self.photos.add(tally.photos, store=store, state=state)
        self.size.add(shown["bytes"], store=store)
        self.given_up.add(status.given_up, store=store)
        self.success.add(status.last_sync or 0, store=store)
        self.watermark.add(status.watermark, store=store)
        self.quota.add(status.quota, store=store)
        self.quota_left.add(status.quota_left, store=store)
        self.seconds_left.add(shown["seconds_left"], store=store)
