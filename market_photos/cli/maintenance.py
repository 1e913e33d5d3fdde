"""The commands `verify`, `rebuild`, `prune`, `hold` and `release`. They send no request."""

import datetime as dt
import difflib
import sys
import tomllib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import click

from market_photos import console
from market_photos.archive.places import open_archive
from market_photos.archive.stores import chosen
from market_photos.archive.volume import require_marker
from market_photos.cli.each_store import EachStore
from market_photos.cli.options import AGE, ID, Span, campaigns_option, command_line, config_option, json_option
from market_photos.clock import SystemClock
from market_photos.config import Settings, find_config, load
from market_photos.errors import ArchiveUnwritable, ExitCode, MarketPhotosError, UsageError
from market_photos.maintenance.hold import set_hold
from market_photos.maintenance.integrity import Problem
from market_photos.maintenance.prune import Prune
from market_photos.maintenance.rebuild import copies, rebuild_store
from market_photos.maintenance.verify import VerifyResult, next_steps, problem_json, problem_line, verify_store
from market_photos.text import counted, one_line


def _settings(config: Path | None) -> Settings:
    """Return the settings of an archive that is mounted. Raises ConfigError, ArchiveUnwritable."""
    settings = load(find_config(config))
    require_marker(settings.archive.catalogs, settings.archive.marker)
    return settings


@click.command()
@click.option("--quick/--full", default=True, help="Compare names and sizes (the default), or every SHA-256 too.")
@click.option("--repair", is_flag=True, help="Queue what is missing or changed for the next sync. Delete nothing.")
@json_option
@config_option
@campaigns_option
def verify(*, quick: bool, repair: bool, as_json: bool, config: Path | None, campaigns: tuple[int, ...]) -> None:
    """Check every archived photo.

    Is each of them on disk as it was served? Exits with 10 if not. Reads only, and works beside a run.
    """
    archive, each = open_archive(_settings(config).archive), EachStore()
    problems: dict[int, list[dict[str, Any]]] = {}

    def report(campaign: int, problem: Problem) -> None:
        if as_json:
            problems.setdefault(campaign, []).append(problem_json(problem))
        else:
            console.show(problem_line(campaign, problem))

    def check(campaign: int) -> VerifyResult:
        return verify_store(
            archive, campaign, SystemClock(), full=not quick, repair=repair, command=command_line(), report=report
        )

    results = each.results(each.select(archive, campaigns), check)
    code = each.exit_code(*(result.exit_code for result in results))
    if as_json:
        checked = [{**result.as_json(), "problems": problems.get(result.campaign, [])} for result in results]
        told = {"archive": archive.name, "full": not quick, "exit_code": int(code), "stores": checked}
        console.give(told | each.as_json())
    else:
        for line in [*(result.line() for result in results), *next_steps(results, repair=repair)]:
            console.say(line)
    sys.exit(code)


@click.command()
@config_option
@campaigns_option
def rebuild(*, config: Path | None, campaigns: tuple[int, ...]) -> None:
    """Make a new catalogue from the photos on disk.

    For a catalogue that is lost or damaged: the old one is kept under another name, and no photo is downloaded again.
    """
    settings = _settings(config)
    archive = open_archive(settings.archive)
    in_order: list[UsageError] = []
    each = EachStore()
    stores = chosen(archive.name, archive.stores(), campaigns)
    copied = {} if campaigns else copies(archive.catalogs, stores)
    for campaign in stores:
        if campaign in copied:
            in_order.append(copied[campaign])
            continue
        try:
            rebuilt = rebuild_store(archive, campaign, settings.limits, SystemClock(), command_line())
        except UsageError as error:
            in_order.append(error)
        except MarketPhotosError as error:
            each.fail(campaign, error)
        else:
            for line in rebuilt.lines():
                console.show(line)
    if len(in_order) == len(stores) or (in_order and campaigns):
        raise in_order[0]
    for fine in in_order:
        console.say(fine.message)
    if len(each.failed) + len(in_order) < len(stores):
        console.say("Now run `market-photos sync`: it lists everything once, and fetches only what is not here.")
    sys.exit(each.exit_code())


@click.command()
@click.option(
    "--older-than", type=AGE, required=True, help="Delete what was created before: 3y, 18mo, 6w or 90d ago."
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    metavar="STATUS",
    help="Delete only returns of this refund status; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@json_option
@config_option
@campaigns_option
def prune(
    *,
    older_than: Span,
    statuses: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
    config: Path | None,
    campaigns: tuple[int, ...],
) -> None:
    """Delete photos and records of old returns.

    A tombstone stays, so that they are never downloaded again. Returns on hold stay; see `market-photos hold`.
    """
    require_statuses(statuses)
    archive, each = open_archive(_settings(config).archive), EachStore()
    before = older_than.before(dt.datetime.now(dt.UTC)).timestamp()
    wanted = Prune(archive, before, statuses, SystemClock(), command_line())
    plans = each.results(each.select(archive, campaigns), wanted.plan)
    for line in [line for plan in plans for line in plan.lines()]:
        console.say(line)
    to_prune = [] if dry_run else [plan.campaign for plan in plans if not plan.is_empty]
    is_confirmed = bool(to_prune) and _confirmed(yes=yes)
    results = each.results(to_prune, wanted.carry_out) if is_confirmed else []
    pruned, left = sum(result.returns for result in results), [line for result in results for line in result.left]
    code = each.exit_code(*[ExitCode.ARCHIVE] * bool(left))
    if as_json:
        told = {"dry_run": dry_run, "pruned_returns": pruned, "stores": [plan.as_json() for plan in plans]}
        console.give(told | {"exit_code": int(code)} | each.as_json())
    console.say(f"Pruned {counted(pruned, 'return')}; tombstones stay." if is_confirmed else "Nothing was changed.")
    for message in left:
        console.say(f"left as it is: {one_line(message)}")
    if left:
        console.say_error(
            ArchiveUnwritable(
                f"{len(left):,} files or folders of pruned returns could not be removed, see above.",
                "Move them out of the archive, or delete them; then run the same prune once more.",
            )
        )
    sys.exit(code)


def require_statuses(statuses: Iterable[str]) -> None:
    """Raise UsageError if one of them is no refund status of the API."""
    known = tomllib.loads(resources.files("market_photos").joinpath("values.toml").read_text("utf-8"))["refund"]
    for status in statuses:
        if status.upper() not in known:
            close = difflib.get_close_matches(status.upper(), known, 1)
            meant = f" Did you mean {close[0]}?" if close else ""
            raise UsageError(
                f"--status {status}: there is no such refund status.{meant}", f"Known: {', '.join(known)}."
            )


def _confirmed(*, yes: bool) -> bool:
    """Return whether the user agrees. Raises UsageError without a terminal."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("prune deletes photos, and there is no terminal to ask on.", "Give --yes, or --dry-run.")
    return click.confirm("Delete them for good?", default=False, err=True)


_return_option = click.option("--return", "return_id", type=ID, required=True, help="Number of the return.")
_order_option = click.option("--order", type=ID, help="Number of its order, if several returns have this number.")


@click.command()
@_return_option
@_order_option
@config_option
@campaigns_option
def hold(**options: Any) -> None:
    """Keep a return from pruning.

    For a return under dispute: prune leaves it alone until it is released.
    """
    _set_hold(is_held=True, **options)


@click.command()
@_return_option
@_order_option
@config_option
@campaigns_option
def release(**options: Any) -> None:
    """End the hold on a return."""
    _set_hold(is_held=False, **options)


def _set_hold(
    *, is_held: bool, return_id: int, order: int | None, config: Path | None, campaigns: tuple[int, ...]
) -> None:
    archive, each = open_archive(_settings(config).archive), EachStore()
    known = each.find_return(archive, campaigns, return_id, order)
    set_hold(archive, known, is_held=is_held, clock=SystemClock(), command=command_line())
    state = "on hold: prune leaves it alone" if is_held else "released: prune may take it"
    console.show(f"Store {known.campaign}: return {known.return_id} of order {known.order} is {state}.")
    sys.exit(each.exit_code())
