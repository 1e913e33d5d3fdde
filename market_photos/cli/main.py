"""The command line. Heavy imports stand inside the commands, so that --help is quick."""

import datetime as dt
import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from market_photos import __version__, console
from market_photos.cli.export import export
from market_photos.cli.maintenance import COMMANDS
from market_photos.cli.options import DAY, STORE, Duration, command_line
from market_photos.cli.options import campaigns_option as _campaigns_option
from market_photos.cli.options import config_option as _config_option
from market_photos.errors import ExitCode, MarketPhotosError, UsageError
from market_photos.streams import make_safe

if TYPE_CHECKING:
    from collections.abc import Callable

    from market_photos.sync.store_run import Plan


def _run_options(command: "Callable[..., Any]") -> "Callable[..., Any]":
    """What sync, backfill and fetch have in common."""
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="Print nothing on success."),
        click.option("-v", "--verbose", count=True, help="Tell what happens; twice: each request."),
        click.option("--json", "as_json", is_flag=True, help="End standard output with one JSON object."),
        click.option(
            "--log-format",
            type=click.Choice(["text", "json"]),
            default="text",
            show_default=True,
            help="Of standard error; json: one object a line, for log collectors.",
        ),
        click.option("--dry-run", is_flag=True, help="List only; say what would be fetched and how long it takes."),
        click.option("--max-photos", type=click.IntRange(min=0), help="Ask for at most so many photos, then stop."),
        click.option("--max-duration", type=Duration(), help="Stop after this time: 6h, 90m."),
        _config_option,
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Download the photos that buyers attach to returns on Yandex Market."""


cli.add_command(export)


@cli.command()
@click.option("--full", is_flag=True, help="List everything again; ask once more for what was given up or long gone.")
@_campaigns_option
@_run_options
def sync(*, full: bool, campaigns: tuple[int, ...], **options: Any) -> None:
    """Tonight: list what is new, then fetch every photo that the archive lacks."""
    from market_photos.sync.store_run import Plan  # noqa: PLC0415

    _run(Plan(lambda producer: producer.nightly(full=full), everything=full), campaigns, **options)


@cli.command()
@click.option("--from", "first", type=DAY, required=True, help="First day of update, YYYY-MM-DD.")
@click.option("--to", "last", type=DAY, help="Last day of update, YYYY-MM-DD. Default: today.")
@_campaigns_option
@_run_options
def backfill(*, first: dt.datetime, last: dt.datetime | None, campaigns: tuple[int, ...], **options: Any) -> None:
    """The past: list a span month by month, fetch its photos; the same command goes on where it was.

    The API filters returns by the date of their last update. For days on end it also looks for fresh returns
    every refresh_hours and takes those first.
    """
    from market_photos.sync.store_run import Plan  # noqa: PLC0415

    today = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)  # a day ahead somewhere on earth
    until = min(last.date(), today) if last else dt.datetime.now(dt.UTC).date()
    if first.date() > until:
        raise UsageError(f"--from {first.date()} is after --to {until}.", "Give the earlier day to --from.")
    plan = Plan(lambda producer: producer.backfill(first.date(), until), refresh_hours=True)
    _run(plan, campaigns, **options)


@cli.command()
@click.option("--campaign", type=STORE, required=True, help="The store.")
@click.option("--order", type=STORE, required=True, help="The order.")
@click.option("--return", "return_id", type=STORE, required=True, help="The return.")
@_run_options
def fetch(*, campaign: int, order: int, return_id: int, **options: Any) -> None:
    """The photos of one return, now."""
    from market_photos.sync.store_run import Plan  # noqa: PLC0415

    plan = Plan(lambda producer: producer.one(order, return_id), only=(order, return_id))
    _run(plan, (campaign,), **options)


@cli.command()
@_config_option
@_campaigns_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--max-age", type=Duration(), help="Exit 1 if a store's last complete sync is older: 26h.")
@click.option(
    "--watch",
    type=click.FloatRange(min=0.1),
    is_flag=False,
    flag_value=5.0,
    metavar="[SECONDS]",
    help="Look again every 5 seconds (or so many), until Ctrl-C.",
)
def status(*, config: Path | None, watch: float | None, **asked: Any) -> None:
    """What is archived, pending, failed and gone, and how long the rest takes. Does not disturb a run."""
    from market_photos.cli import status as status_command  # noqa: PLC0415
    from market_photos.clock import SystemClock  # noqa: PLC0415
    from market_photos.config import find_config, load  # noqa: PLC0415

    settings, clock = load(find_config(config)), SystemClock()

    def look() -> ExitCode:
        return status_command.show(settings, status_command.Asked(**asked), clock)

    clear = sys.stdout.isatty() and not asked["as_json"]
    sys.exit(look() if watch is None else status_command.watch(look, watch, clear=clear))


@cli.command()
@_config_option
def doctor(*, config: Path | None) -> None:
    """Would a sync work here? Configuration, key and scopes, stores, archive, clock; at most three requests."""
    import asyncio  # noqa: PLC0415

    from market_photos.config import find_config, load  # noqa: PLC0415
    from market_photos.sync.doctor import examine  # noqa: PLC0415

    path = find_config(config)
    settings = load(path)
    console.show(f"ok: configuration {path or '(environment only)'}")
    sys.exit(asyncio.run(examine(settings, console.show)))


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8800, show_default=True, help="0: any free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Beyond this machine a token is needed.")
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
@_config_option
def browse(*, port: int, host: str, opens: bool, config: Path | None) -> None:
    """Look at the archive in a web browser: find a return, see its photos, and how the last runs went."""
    console.set_up_logging(0, quiet=False)
    from market_photos.cli.browse import serve_until_interrupted  # noqa: PLC0415
    from market_photos.config import find_config, load  # noqa: PLC0415

    serve_until_interrupted(load(find_config(config)), host, port, opens=opens)


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8900, show_default=True, help="0: any free one.")
@click.option("--stores", type=click.IntRange(1, 100), default=2, show_default=True)
@click.option("--returns", type=click.IntRange(1, 1_000_000), default=40, show_default=True)
@click.option("--photos", type=click.IntRange(0, 1_000_000), default=120, show_default=True)
@click.option("--latency", type=click.FloatRange(0, 60), default=0.1, show_default=True, help="Seconds an answer.")
@click.option("--quota", type=click.IntRange(1), default=5000, show_default=True, help="Photo requests in a period.")
@click.option("--period", type=click.FloatRange(0.1), default=3600.0, show_default=True, help="Seconds.")
@click.option("--faults", is_flag=True, help="Fail now and then, as a real server does.")
def sandbox(**options: Any) -> None:
    """Serve an embedded Market on 127.0.0.1, and print a configuration to use with it."""
    from market_photos.cli.sandbox import serve_until_interrupted  # noqa: PLC0415

    serve_until_interrupted(**options)


@cli.command()
@click.option("-q", "--quiet", is_flag=True, help="Print nothing on success.")
@click.option("-v", "--verbose", count=True, help="Tell what happens.")
def demo(*, quiet: bool, verbose: int) -> None:
    """See it work: an embedded Market with a few faults, synced into ./demo-archive. No key needed."""
    console.set_up_logging(verbose, quiet)
    from market_photos.cli.demo import run_demo  # noqa: PLC0415

    sys.exit(run_demo(Path("demo-archive"), quiet=quiet))


for _command in COMMANDS:
    cli.add_command(_command)


def _run(
    plan: "Plan",
    campaigns: tuple[int, ...],
    *,
    config: Path | None,
    max_duration: float | None,
    max_photos: int | None,
    dry_run: bool,
    as_json: bool,
    log_format: str,
    verbose: int,
    quiet: bool,
) -> None:
    """Runs the plan and ends the process with its exit code."""
    console.set_up_logging(verbose, quiet, as_json=log_format == "json")
    from market_photos.cli.run import execute, say_report  # noqa: PLC0415
    from market_photos.config import find_config, load  # noqa: PLC0415
    from market_photos.reporting.report import failed_report  # noqa: PLC0415
    from market_photos.sync.run import Options  # noqa: PLC0415

    options = Options(command_line(), campaigns, max_duration, max_photos, dry_run)
    try:
        report = execute(load(find_config(config)), plan, options, quiet=quiet)
    except MarketPhotosError as error:
        if as_json:
            console.give(failed_report(error))
        raise
    say_report(report, quiet=quiet)
    if as_json:
        console.give(report.as_json())
    sys.exit(report.exit_code)


def main() -> None:
    """The console script."""
    make_safe(console.redact)
    gc.set_threshold(10_000)  # imports and pages of returns make many objects and no garbage
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # else it looks through every installed package
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except click.Abort:
        sys.exit(ExitCode.INTERRUPTED)
    except MarketPhotosError as error:
        console.say_error(error)
        sys.exit(error.exit_code)
    except Exception as error:
        sys.exit(console.say_internal_error(error))


if __name__ == "__main__":
    main()
