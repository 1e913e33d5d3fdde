"""A run as a command: event loop, signals, progress, summary."""

import asyncio
import os
import signal
from random import SystemRandom

from market_photos import console
from market_photos.clock import Clock, SystemClock
from market_photos.config import Settings
from market_photos.errors import ExitCode, MarketPhotosError
from market_photos.reporting.notifier import told
from market_photos.reporting.report import MEANINGS, Report
from market_photos.sync.progress import watcher
from market_photos.sync.progress_file import beat
from market_photos.sync.run import Options, Run
from market_photos.sync.store_run import Plan


class Interrupted(MarketPhotosError):
    """A signal came before there was anything to report."""

    def __init__(self, code: ExitCode) -> None:
        super().__init__(f"Stopped before it began: {MEANINGS[code]}.")
        self.exit_code = code


def execute(settings: Settings, plan: Plan, options: Options, *, quiet: bool) -> Report:
    """Runs to the end, or to a signal. Raises MarketPhotosError."""
    clock = SystemClock()
    if options.dry_run or plan.only:  # nobody waits to hear of these, and they must not pass for the night's run
        return _run(settings, plan, options, clock, quiet=quiet)
    with told(settings, options.command, clock) as others:
        others.report = _run(settings, plan, options, clock, quiet=quiet)
    return others.report


def _run(settings: Settings, plan: Plan, options: Options, clock: Clock, *, quiet: bool) -> Report:
    console.redact.hide(settings.api_key())
    return asyncio.run(_execute(Run(settings, plan, options, clock, SystemRandom()), quiet=quiet))


async def _execute(run: Run, *, quiet: bool) -> Report:
    for number, code in ((signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)):
        asyncio.get_running_loop().add_signal_handler(number, _Signal(run, code))
    running = asyncio.create_task(run())
    helpers = [asyncio.create_task(_end_if_idle(run, running)), asyncio.create_task(beat(run))]
    if watching := watcher(run, quiet=quiet):
        helpers.append(watching)
    try:
        return await running
    except asyncio.CancelledError:
        raise Interrupted(run.stop.code) from None
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)


class _Signal:
    """The first asks the run to stop, the second ends the process."""

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


async def _end_if_idle(run: Run, running: "asyncio.Task[Report]") -> None:
    """Stores see to their own end; before there are any, nothing is worth waiting for.

    But a run that stops for an error of its own is on its way to report it.
    """
    await run.stop.wait()
    if not run.has_stores and run.stop.code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.LIMIT):
        running.cancel()


def say_report(report: Report, *, quiet: bool) -> None:
    level = "info" if report.exit_code is ExitCode.COMPLETE else "error"
    if not quiet or level == "error":
        for line in report.lines():
            console.say(line, level)
