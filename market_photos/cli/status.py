"""`status`: show the state of every store, once or repeatedly, and check when the last complete sync was."""

import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from market_photos import console
from market_photos.archive.catalog.requests import PastRun
from market_photos.archive.places import open_archive
from market_photos.archive.stores import chosen
from market_photos.cli.each_store import EachStore
from market_photos.cli.options import DURATION, Span, campaigns_option, config_option, json_option
from market_photos.clock import Clock, SystemClock, iso
from market_photos.config import Settings, find_config, load
from market_photos.errors import ExitCode
from market_photos.reporting.run_log import last_runs
from market_photos.reporting.status import StoreStatus, run_text, status_of, totals
from market_photos.text import human_time

#: The exit code of `status --max-age` for an overdue store: every monitor takes 1 as a failure.
OVERDUE = ExitCode.INTERNAL


@click.command()
@config_option
@campaigns_option
@json_option
@click.option(
    "--max-age",
    type=DURATION,
    help="Exit with 1 if the last complete sync of a store is older, for example 26h.",
)
@click.option(
    "--watch",
    "interval",
    type=click.FloatRange(min=0.1),
    is_flag=False,
    flag_value=5.0,
    metavar="[SECONDS]",
    help="Repeat every 5 seconds (or as many as given) until Ctrl-C.",
)
def status(
    *,
    config: Path | None,
    campaigns: tuple[int, ...],
    as_json: bool,
    max_age: Span | None,
    interval: float | None,
) -> None:
    """Show what is archived, pending and failed.

    Also what is left of the quota and how long the rest takes. Does not disturb a run.
    """
    settings, clock = load(find_config(config)), SystemClock()
    options = StatusOptions(campaigns, as_json, max_age.total() if max_age else None)

    def look() -> ExitCode:
        return show(settings, options, clock)

    clear = sys.stdout.isatty() and not as_json
    sys.exit(look() if interval is None else watch(look, interval, clear=clear))


@dataclass(frozen=True)
class StatusOptions:
    """The options of the command line."""

    campaigns: tuple[int, ...] = ()
    as_json: bool = False
    max_age: float | None = None
    """In seconds."""


def show(settings: Settings, options: StatusOptions, clock: Clock) -> ExitCode:
    """Print the state of the stores; return the most serious code of those that cannot be read.

    Where all can be read: OVERDUE if `max_age` is exceeded, else COMPLETE. Raises UsageError, ArchiveUnwritable.
    """
    opened, each = open_archive(settings.archive), EachStore()
    archive = opened.catalogs
    each.fetch(opened, options.campaigns)
    known = each.known(opened)
    expected = sorted({*options.campaigns} or {*settings.campaigns.ids} or known)
    if options.max_age is not None:  # a store that was never synced has no folder
        shown = [campaign for campaign in expected if campaign in known]
    else:
        shown = chosen(opened.name, known, options.campaigns) if known else []
    found = each.results(each.sound(shown), lambda campaign: status_of(archive, campaign, settings.limits, clock))
    last_run = next(iter(last_runs(archive)), None)
    problems = [] if options.max_age is None else overdue(found, expected, options.max_age, each.failed)
    if options.as_json:
        data = {"archive": opened.name, "last_run": last_run.as_json() if last_run else None}
        extra = {"overdue": problems} if options.max_age is not None else {}
        console.give(data | {"stores": [status.as_json() for status in found], **extra} | each.as_json())
    else:
        nothing = "" if each.failed else f"{opened.name}: {'no store' if last_run else 'no archive'} yet"
        for line in _lines(found, last_run, nothing):
            console.show(line)
    if problems and last_run:
        problems.append(f"the last run was {run_text(last_run)}")
    for problem in problems:
        console.say(f"overdue: {problem}")
    return each.exit_code() or (OVERDUE if problems else ExitCode.COMPLETE)


def _lines(found: Sequence[StoreStatus], last_run: PastRun | None, nothing: str) -> list[str]:
    lines = [line for status in found for line in status.lines()] or [nothing] * bool(nothing)
    if len(found) > 1:
        lines.insert(0, totals(found))
    return [*lines, *[f"Last run: {run_text(last_run)}"] * (last_run is not None)]


def watch(look: Callable[[], ExitCode], seconds: float, *, clear: bool) -> ExitCode:
    """Call `look` every `seconds` until Ctrl-C, and return its last exit code. Blocks."""
    code = ExitCode.COMPLETE
    try:
        while True:
            if clear:
                click.clear()
            code = look()
            if clear:
                console.show(f"every {seconds:g} s; Ctrl-C ends it")
            sys.stdout.flush()
            time.sleep(seconds)
    except KeyboardInterrupt:
        return code


def overdue(
    found: Sequence[StoreStatus], campaigns: Sequence[int], max_age: float, unread: Collection[int] = ()
) -> list[str]:
    """Return a message for each store without a complete sync in the last `max_age` seconds.

    Of the stores in `unread` nobody knows.
    """
    if not campaigns:
        return ["there is no store in the archive: no sync has ever been complete here"]
    by_campaign = {status.campaign: status for status in found}
    readable = [campaign for campaign in campaigns if campaign not in unread]
    problems = [_overdue(by_campaign.get(campaign), campaign, max_age) for campaign in readable]
    return [problem for problem in problems if problem]


def _overdue(status: StoreStatus | None, campaign: int, max_age: float) -> str:
    title = f"store {campaign} {status.name if status else ''}".strip()
    at_work = f"; at work now: {status.at_work}" if status and status.at_work else ""
    if status is None or status.last_sync is None:
        return f"{title}: no sync has ever been complete{at_work}"
    age = status.now - status.last_sync
    if age <= max_age:
        return ""
    return (
        f"{title}: no complete sync since {iso(status.last_sync)}, {human_time(age)} ago; "
        f"at most {human_time(max_age)} is allowed{at_work}"
    )
