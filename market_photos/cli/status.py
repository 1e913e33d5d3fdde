"""`status`: what is in the archive, once or again and again, and whether the last complete sync is too old."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from market_photos import console
from market_photos.archive import layout
from market_photos.archive.catalog.catalog import is_store, known_stores
from market_photos.cli.options import Duration, campaigns_option, config_option
from market_photos.clock import Clock, SystemClock, iso
from market_photos.config import Settings, find_config, load
from market_photos.errors import ExitCode
from market_photos.reporting.status import StoreStatus, statuses
from market_photos.text import human_time

#: What `status --max-age` ends with where a store is overdue: the one code that every monitor takes for bad.
OVERDUE = ExitCode.INTERNAL


@click.command()
@config_option
@campaigns_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--max-age", type=Duration(), metavar="DURATION", help="Exit 1 if a store's last complete sync is older: 26h."
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
def status(*, config: Path | None, interval: float | None, **options: Any) -> None:
    """Show what is archived, pending and failed.

    Also what is left of the quota and how long the rest takes. Does not disturb a run.
    """
    settings, clock = load(find_config(config)), SystemClock()

    def look() -> ExitCode:
        return show(settings, StatusOptions(**options), clock)

    clear = sys.stdout.isatty() and not options["as_json"]
    sys.exit(look() if interval is None else watch(look, interval, clear=clear))


@dataclass(frozen=True)
class StatusOptions:
    """What the command line says."""

    campaigns: tuple[int, ...] = ()
    as_json: bool = False
    max_age: float | None = None
    """Seconds."""


def show(settings: Settings, asked: StatusOptions, clock: Clock) -> ExitCode:
    """Prints the state of the stores; COMPLETE, or OVERDUE where `max_age` is exceeded. Raises CatalogUnusable."""
    archive = settings.archive.directory
    wanted = _wanted(settings, asked)
    present = tuple(campaign for campaign in wanted if asked.max_age is None or _is_there(archive, campaign))
    found = list(statuses(archive, present, settings.limits, clock)) if present else []
    problems = [] if asked.max_age is None else overdue(found, wanted, asked.max_age)
    if asked.as_json:
        about = {"overdue": problems} if asked.max_age is not None else {}
        console.give({"archive": str(archive), "stores": [one.as_json() for one in found], **about})
    else:
        for line in [line for one in found for line in one.lines()] or [f"{archive}: no archive yet"]:
            console.show(line)
    for problem in problems:
        console.say(f"overdue: {problem}")
    return OVERDUE if problems else ExitCode.COMPLETE


def watch(look: Callable[[], ExitCode], seconds: float, *, clear: bool) -> ExitCode:
    """Looks again every so many seconds until Ctrl-C; the code of the last look."""
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


def overdue(found: Sequence[StoreStatus], wanted: Sequence[int], max_age: float) -> list[str]:
    """Which stores have no complete sync of the last `max_age` seconds, in words; a store without any is one."""
    by_campaign = {status.campaign: status for status in found}
    problems = [_overdue(by_campaign.get(campaign), campaign, max_age) for campaign in wanted]
    if not wanted:
        problems = ["there is no store in the archive: no sync has ever run here"]
    return [problem for problem in problems if problem]


def _overdue(status: StoreStatus | None, campaign: int, max_age: float) -> str:
    title = f"store {campaign} {status.name if status else ''}".strip()
    if status is None or status.last_sync is None:
        return f"{title}: no sync has ever been complete (exit 0){_at_work(status)}"
    age = status.now - status.last_sync
    if age <= max_age:
        return ""
    return (
        f"{title}: no complete sync (exit 0) since {iso(status.last_sync)}, {human_time(age)} ago; "
        f"at most {human_time(max_age)} is allowed{_at_work(status)}"
    )


def _at_work(status: StoreStatus | None) -> str:
    return f"; at work now: {status.at_work}" if status and status.at_work else ""


def _wanted(settings: Settings, asked: StatusOptions) -> tuple[int, ...]:
    """For `max_age`: also the stores of the configuration that have never been synced."""
    if asked.campaigns:
        return tuple(dict.fromkeys(asked.campaigns))
    if asked.max_age is not None and settings.campaigns.ids:
        return tuple(sorted(set(settings.campaigns.ids)))
    return tuple(known_stores(settings.archive.directory))


def _is_there(archive: Path, campaign: int) -> bool:
    """Whether the store has been worked on. Photos without a catalogue: let the catalogue complain."""
    return is_store(layout.store_folder(archive, campaign))
