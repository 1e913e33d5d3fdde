"""Execute a run: event loop, signals, progress and summary."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from random import SystemRandom

from market_photos import console
from market_photos.clock import SystemClock
from market_photos.config import Settings
from market_photos.errors import ExitCode, MarketPhotosError
from market_photos.reporting.harmless import harmless
from market_photos.reporting.notifier import recorded
from market_photos.reporting.report import MEANINGS, Report
from market_photos.reporting.summary import full_report, summary
from market_photos.sync.plan import Plan
from market_photos.sync.progress_file import write_progress
from market_photos.sync.run import Options, Run

#: Seconds between two lines of progress where there is no terminal.
LINE_SECONDS = 60


class Interrupted(MarketPhotosError):
    """A signal came before there was anything to report."""

    def __init__(self, code: ExitCode) -> None:
        super().__init__(f"Stopped before it began: {MEANINGS[code]}.")
        self.exit_code = code


def execute(
    settings: Settings, plan: Plan, options: Options, *, quiet: bool, make_run: Callable[..., Run] = Run
) -> Report:
    """Run until the end or a signal, and return the report. Raises MarketPhotosError.

    `make_run` takes the arguments of Run.
    """
    clock = SystemClock()
    is_nightly = not (options.dry_run or plan.only)  # a monitor must not take these for the nightly run
    with recorded(settings, options.command, clock, notifies=is_nightly) as recording:
        run = make_run(settings, plan, options, clock, SystemRandom())
        report = recording.report = _run(run, quiet=quiet)
    return report


def _run(run: Run, *, quiet: bool) -> Report:
    console.redact.hide(run.settings.api_key())
    return asyncio.run(_execute(run, quiet=quiet))


async def _execute(run: Run, *, quiet: bool) -> Report:
    for number, code in ((signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)):
        asyncio.get_running_loop().add_signal_handler(number, _Signal(run, code))
    running = asyncio.create_task(run())
    helpers = [_cancel_if_idle(run, running), write_progress(run)]
    if not quiet:
        helpers.append(show_progress(run))
    tasks = [asyncio.create_task(helper) for helper in helpers]
    try:
        return await running
    except asyncio.CancelledError:
        raise Interrupted(run.stop.code) from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Signal:
    """The first signal requests a stop, the second ends the process."""

    def __init__(self, run: Run, code: ExitCode) -> None:
        self._run = run
        self._code = code
        self._came = False

    def __call__(self) -> None:
        if self._came:
            os._exit(self._code)
        self._came = True
        console.say("stopping: photos in flight have a few seconds to finish (once more to end at once)")
        self._run.stop.request(self._code, MEANINGS[self._code])


async def _cancel_if_idle(run: Run, running: "asyncio.Task[Report]") -> None:
    """Cancel a run that is stopped before it works on any store: stores end by themselves.

    A run that stops because of an error of its own still reports it.
    """
    await run.stop.wait()
    if not run.visitor.has_begun and run.stop.code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.LIMIT):
        running.cancel()


async def show_progress(run: Run) -> None:
    """Show the run on standard error until cancelled: live on a terminal, elsewhere a line a minute."""
    is_terminal = sys.stderr is not None and sys.stderr.isatty()  # None if it was closed when the process started
    with harmless("the progress is no longer shown"):
        if console.writes_json() or not is_live(os.environ, is_terminal=is_terminal):
            await print_lines(run)
        else:
            from market_photos.cli.display import show_live  # noqa: PLC0415 - rich takes long to import

            await show_live(run)


def is_live(environ: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Return whether to draw a live view: on a capable terminal, outside CI. NO_COLOR only removes the colours."""
    return is_terminal and "CI" not in environ and environ.get("TERM") != "dumb"


async def print_lines(run: Run) -> None:
    """Print a line a minute until cancelled."""
    while True:
        await asyncio.sleep(LINE_SECONDS)
        console.say((await run.overview()).line())


def print_report(report: Report, *, quiet: bool, in_full: bool = False) -> None:
    """Print the summary, or the report in full, on standard error; `quiet` prints it unless the run is complete."""
    if quiet and report.exit_code is ExitCode.COMPLETE:
        return
    is_as_planned = report.exit_code in (ExitCode.COMPLETE, ExitCode.LIMIT)
    for line in full_report(report) if in_full or console.writes_json() else summary(report):
        console.say(line, "info" if is_as_planned else "error")
