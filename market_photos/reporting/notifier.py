"""Record a run in its archive, and report it as [report] says: monitor, metrics file, command.

Failures of these become warnings.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from market_photos import console
from market_photos.clock import Clock, iso
from market_photos.config import Settings
from market_photos.errors import ExitCode
from market_photos.reporting.harmless import harmless
from market_photos.reporting.hook import run_hook
from market_photos.reporting.ping import Event, ping
from market_photos.reporting.report import Report
from market_photos.reporting.run_log import recording_of
from market_photos.reporting.summary import Outcome, outcome_of


class Notifier:
    """Reports one run of sync or backfill."""

    def __init__(self, settings: Settings, command: str, clock: Clock) -> None:
        self._settings = settings
        self._command = command
        self._clock = clock
        self._started_at = clock.now().wall
        self._url = settings.report.ping_url.get_secret_value()
        if self._url:
            console.redact.hide(self._url)

    def started(self) -> None:
        """Tell the monitor that the run starts. Blocks."""
        self._ping("start")

    def ended(self, report: Report | None, outcome: Outcome) -> None:
        """Write the metrics, run the command and call the monitor. Blocks."""
        code, text = outcome.code, "\n".join(outcome.lines)
        ended_at = self._clock.now().wall
        data = outcome.data | {
            "command": self._command,
            "started_at": iso(self._started_at),
            "ended_at": iso(ended_at),
            "text": text,
        }
        settings = self._settings.report
        if settings.metrics_file:
            with harmless(f"metrics_file: {settings.metrics_file} cannot be written"):
                from market_photos.reporting import prometheus  # noqa: PLC0415 - only runs with metrics load its library

                figures = prometheus.Outcome(self._started_at, ended_at, code, report)
                prometheus.write_metrics(settings.metrics_file, self._settings, figures, self._clock)
        if settings.on_finish:
            with harmless("on_finish"):
                run_hook(settings.on_finish, data, settings.on_finish_seconds)
        self._ping("success" if code is ExitCode.COMPLETE else "fail", text)

    def _ping(self, event: Event, text: str = "") -> None:
        if self._url:
            with harmless("ping_url"):
                asyncio.run(ping(self._url, event, text))


@dataclass
class Recording:
    """A run that is recorded. Set `report` when the run has produced one."""

    report: Report | None = None


@contextmanager
def recorded(settings: Settings, command: str, clock: Clock, *, notifies: bool) -> Iterator[Recording]:
    """Record the run of the block in the archive, and notify others as [report] says. Exceptions are raised again."""
    recording = Recording()
    error: BaseException | None = None
    notifier = Notifier(settings, command, clock) if notifies else None
    with recording_of(settings.archive, command, clock) as record:
        with harmless("[report]"):
            if notifier:
                notifier.started()
        try:
            yield recording
        except BaseException as caught:
            error = caught
            raise
        finally:
            outcome = outcome_of(recording.report, error)
            record.end(outcome)
            with harmless("[report]"):
                if notifier:
                    notifier.ended(recording.report, outcome)
