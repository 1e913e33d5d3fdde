"""Tells others how a run goes, as [report] wants it: called once around a run. Nothing of it can fail the run."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from market_photos import console
from market_photos.clock import Clock, iso
from market_photos.config import Settings
from market_photos.errors import ExitCode, MarketPhotosError
from market_photos.reporting.gauges import Outcome, gauges
from market_photos.reporting.harmless import harmless
from market_photos.reporting.hook import run_hook
from market_photos.reporting.ping import Event, ping
from market_photos.reporting.prometheus import write_metrics
from market_photos.reporting.report import MEANINGS, Report, failed_report


class Notifier:
    """For one run of sync or backfill; `report` is set by the run when it has come to an end of its own."""

    def __init__(self, settings: Settings, command: str, clock: Clock) -> None:
        self._settings = settings
        self._command = command
        self._clock = clock
        self._started_at = clock.now().wall
        self._url = settings.report.ping_url.get_secret_value()
        self.report: Report | None = None
        if self._url:
            console.redact.hide(self._url)

    def begun(self) -> None:
        self._ping("start")

    def ended(self, error: BaseException | None) -> None:
        """`error`: what ended the run where there is no report."""
        code, text, data = self._outcome(error)
        ended_at = self._clock.now().wall
        data |= {
            "command": self._command,
            "started_at": iso(self._started_at),
            "ended_at": iso(ended_at),
            "text": text,
        }
        settings = self._settings.report
        if settings.metrics_file:
            with harmless(f"metrics_file: {settings.metrics_file} cannot be written"):
                outcome = Outcome(self._started_at, ended_at, code, self.report)
                write_metrics(settings.metrics_file, gauges(self._settings, outcome, self._clock))
        if settings.on_finish:
            with harmless("on_finish"):
                run_hook(settings.on_finish, data, settings.on_finish_seconds)
        self._ping("success" if code is ExitCode.COMPLETE else "fail", text)

    def _ping(self, event: Event, text: str = "") -> None:
        if self._url:
            with harmless("ping_url"):
                asyncio.run(ping(self._url, event, text))

    def _outcome(self, error: BaseException | None) -> tuple[ExitCode, str, dict[str, Any]]:
        if self.report is not None:
            return self.report.exit_code, "\n".join(self.report.lines()), self.report.as_json()
        failure = _as_ours(error)
        lines = [f"error: {failure.message}", *[f"  {failure.hint}"] * bool(failure.hint)]
        lines.append(f"NOT COMPLETE: {MEANINGS[failure.exit_code]} (exit {failure.exit_code:d}).")
        return failure.exit_code, "\n".join(lines), failed_report(failure)


def _as_ours(error: BaseException | None) -> MarketPhotosError:
    if isinstance(error, MarketPhotosError):
        return error
    failure = MarketPhotosError(
        f"Internal error: {type(error).__name__}.", "Please report it, with the log of the run."
    )
    if isinstance(error, KeyboardInterrupt):
        failure = MarketPhotosError("Stopped before it began.")
        failure.exit_code = ExitCode.INTERRUPTED
    return failure


@contextmanager
def told(settings: Settings, command: str, clock: Clock) -> Iterator[Notifier]:
    """Around a run. Whatever the run raises goes on, after others were told."""
    notifier = Notifier(settings, command, clock)
    with harmless("[report]"):
        notifier.begun()
    try:
        yield notifier
    except BaseException as error:
        with harmless("[report]"):
            notifier.ended(error)
        raise
    with harmless("[report]"):
        notifier.ended(None)
