"""Report a run as [report] in the configuration says: monitor, metrics file and command. Failures become warnings."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from market_photos import console
from market_photos.clock import Clock, iso
from market_photos.config import Settings
from market_photos.errors import ExitCode, MarketPhotosError
from market_photos.reporting.harmless import harmless
from market_photos.reporting.hook import run_hook
from market_photos.reporting.ping import Event, ping
from market_photos.reporting.report import MEANINGS, Report, failed_report


class Notifier:
    """Reports one run of sync or backfill. Set `report` when the run has produced one."""

    def __init__(self, settings: Settings, command: str, clock: Clock) -> None:
        self._settings = settings
        self._command = command
        self._clock = clock
        self._started_at = clock.now().wall
        self._url = settings.report.ping_url.get_secret_value()
        self.report: Report | None = None
        if self._url:
            console.redact.hide(self._url)

    def started(self) -> None:
        """Tell the monitor that the run starts. Blocks."""
        self._ping("start")

    def ended(self, error: BaseException | None) -> None:
        """Write the metrics, run the command and call the monitor. Blocks.

        `error` is what ended the run, None if there is a report.
        """
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
                from market_photos.reporting import prometheus  # noqa: PLC0415 - only runs with metrics load its library

                outcome = prometheus.Outcome(self._started_at, ended_at, code, self.report)
                prometheus.write_metrics(settings.metrics_file, self._settings, outcome, self._clock)
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
        failure = _foreseen(error)
        lines = [f"error: {failure.message}", *[f"  {failure.hint}"] * bool(failure.hint)]
        lines.append(f"NOT COMPLETE: {MEANINGS[failure.exit_code]} (exit {failure.exit_code:d}).")
        return failure.exit_code, "\n".join(lines), failed_report(failure)


def _foreseen(error: BaseException | None) -> MarketPhotosError:
    if isinstance(error, MarketPhotosError):
        return error
    if isinstance(error, KeyboardInterrupt):
        failure = MarketPhotosError("Stopped before it began.")
        failure.exit_code = ExitCode.INTERRUPTED
        return failure
    return MarketPhotosError(f"Internal error: {type(error).__name__}.", "Please report it, with the log of the run.")


@contextmanager
def notifying(settings: Settings, command: str, clock: Clock) -> Iterator[Notifier]:
    """Report the run in the block when it starts and when it ends. Exceptions of the block are raised again."""
    notifier = Notifier(settings, command, clock)
    error: BaseException | None = None
    with harmless("[report]"):
        notifier.started()
    try:
        yield notifier
    except BaseException as caught:
        error = caught
        raise
    finally:
        with harmless("[report]"):
            notifier.ended(error)
