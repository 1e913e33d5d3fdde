"""`sync`, `backfill` and `fetch`: the commands that download."""

import datetime as dt
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from market_photos import console
from market_photos.archive.places import open_archive
from market_photos.cli.each_store import EachStore
from market_photos.cli.options import (
    DATE,
    DURATION,
    ID,
    Number,
    Span,
    campaigns_option,
    command_line,
    config_option,
    shard_option,
    with_options,
)
from market_photos.cli.run import execute, print_report
from market_photos.cluster.engine import MakeEngine, local_engine, remote_engine, require_engine
from market_photos.cluster.job import Job, LogOptions
from market_photos.cluster.run import ClusterRun
from market_photos.cluster.worker import require_bucket
from market_photos.config import Settings, find_config, load
from market_photos.errors import ExitCode, MarketPhotosError, UsageError
from market_photos.model import OrderRef, ReturnRef
from market_photos.reporting.report import Report, failed_report
from market_photos.sync.plan import Backfill, Nightly, OneOrder, OneReturn, Plan
from market_photos.sync.run import Options, Run
from market_photos.sync.shard import WHOLE, Shard

stores_options = with_options(
    campaigns_option,
    shard_option,
    click.option(
        "--processes",
        type=click.IntRange(1, 64),
        default=1,
        metavar="NUMBER",
        help="Share the stores out to this many processes, for instance one for each core.",
    ),
    click.option(
        "--cluster",
        metavar="ADDRESS",
        help="Share the stores out to the workers of this scheduler: tls://scheduler:8786.",
    ),
)
run_options = with_options(
    config_option,
    click.option("--max-duration", type=DURATION, help="Stop after this time: 6h, 90m."),
    click.option("--max-photos", type=Number("photos", 0), help="Stop after this many photos."),
    click.option("--dry-run", is_flag=True, help="Only list the returns, and say what would be downloaded."),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="Write standard error as text, or as one JSON object a line.",
    ),
    click.option("--json", "as_json", is_flag=True, help="End standard output with one JSON object."),
    click.option("-v", "--verbose", count=True, help="Log what happens; twice: each request."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing on success."),
)


@click.command()
@click.option("--full", is_flag=True, help="List everything again. Retry photos that were given up or are gone.")
@stores_options
@run_options
def sync(*, full: bool, **options: Any) -> None:
    """Download photos of new and updated returns.

    Lists what was updated since the last complete listing, then fetches every photo that the archive lacks, newest
    return first.
    """
    _run(Nightly(full), **options)


@click.command()
@click.option("--from", "first", type=DATE, required=True, help="Begin with returns updated on this day, YYYY-MM-DD.")
@click.option("--to", "last", type=DATE, help="End with returns updated on this day. Default: today.")
@stores_options
@run_options
def backfill(*, first: dt.datetime, last: dt.datetime | None, **options: Any) -> None:
    """Download photos of past returns, newest month first.

    The API filters returns by the date of their last update. The same command continues where it stopped. While it
    runs it looks for fresh returns every refresh_hours and takes those first.
    """
    today = dt.datetime.now(dt.UTC).date()
    tomorrow = today + dt.timedelta(days=1)  # already today somewhere on earth
    until = min(last.date(), tomorrow) if last else today
    if first.date() > until:
        raise UsageError(f"--from {first.date()} is after --to {until}.", "Give the earlier day to --from.")
    _run(Backfill(first.date(), until), **options)


@click.command()
@click.option("--order", type=ID, help="Number of the order. Alone: all its returns, in any store.")
@click.option("--return", "return_id", type=ID, help="Number of the return. Alone: one that the archive knows.")
@click.option("--campaign", type=ID, help="Number of the store. A return that is not in the archive needs it.")
@run_options
def fetch(*, campaign: int | None, order: int | None, return_id: int | None, **options: Any) -> None:
    """Download the photos of one return or order."""
    campaigns = (campaign,) if campaign else ()
    if return_id is None:
        if order is None:
            raise UsageError(
                "fetch needs --order, --return or both.", "For example: market-photos fetch --order 500000028"
            )
        _run(OneOrder(OrderRef(order)), campaigns=campaigns, **options)
        return
    if campaign is None or order is None:
        archive = open_archive(load(find_config(options["config"])).archive)
        known = EachStore().find_return(archive, campaigns, return_id, order)
        campaigns, order = (known.campaign,), known.order
    _run(OneReturn(ReturnRef(order, return_id)), campaigns=campaigns, **options)


def _run(
    plan: Plan,
    *,
    campaigns: tuple[int, ...],
    shard: Shard = WHOLE,
    processes: int = 1,
    cluster: str | None = None,
    config: Path | None,
    max_duration: Span | None,
    max_photos: int | None,
    dry_run: bool,
    as_json: bool,
    log_format: str,
    verbose: int,
    quiet: bool,
) -> None:
    """Run the plan and end the process with its exit code."""
    log = LogOptions(verbose, quiet, log_format == "json")
    console.set_up_logging(log.verbose, log.quiet, as_json=log.as_json)
    options = Options(command_line(), campaigns, max_duration and max_duration.total(), max_photos, dry_run, shard)
    config = find_config(config)
    try:
        settings = load(config)
        make_run: Callable[..., Run] = Run
        if engine := _engine(settings, options, processes, cluster):
            make_run = partial(ClusterRun, Job.new(config, plan, options, log), engine)
        report = execute(settings, plan, options, quiet=quiet, make_run=make_run)
        _require_order(plan, report)
    except MarketPhotosError as error:
        if as_json:
            console.give(failed_report(error))
        raise
    print_report(report, quiet=quiet, in_full=verbose > 0)
    if as_json:
        console.give(report.as_json())
    sys.exit(report.exit_code)


def _require_order(plan: Plan, report: Report) -> None:
    """Raise UsageError if every store was asked for an order, and none has a return of it."""
    is_unknown = not any(store.counters.returns for store in report.stores)
    if isinstance(plan, OneOrder) and report.exit_code is ExitCode.COMPLETE and is_unknown:
        raise UsageError(f"No store has a return of order {plan.only.order}.", "Check the number.")


def _engine(settings: Settings, options: Options, processes: int, cluster: str | None) -> MakeEngine | None:
    """Return what starts the engine that hands the stores out; None if this process visits them itself."""
    if cluster is None and processes == 1:
        return None
    if cluster and processes > 1:
        raise UsageError("--processes and --cluster exclude each other.", "A cluster has processes of its own.")
    if cluster and options.max_photos is not None:
        raise UsageError("--max-photos counts on one machine only.", "Leave out --cluster, or use --max-duration.")
    if cluster:
        require_bucket(settings)
    require_engine()
    if cluster:
        return partial(remote_engine, cluster)
    return partial(local_engine, processes)
