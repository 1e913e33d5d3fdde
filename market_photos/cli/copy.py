"""`copy`: copy the archive to a bucket or a folder."""

import hashlib
import sys
from pathlib import Path

import click
from pydantic import ValidationError

from market_photos import console
from market_photos.archive import volume
from market_photos.archive.place import Archive
from market_photos.archive.places import open_archive
from market_photos.archive.stores import chosen
from market_photos.cli.each_store import EachStore
from market_photos.cli.options import campaigns_option, command_line, config_option
from market_photos.clock import SystemClock
from market_photos.config import find_config, load
from market_photos.errors import UsageError
from market_photos.maintenance.copy import CopyResult, copy_store
from market_photos.maintenance.verify import problem_line
from market_photos.reporting.run_log import copy_runs
from market_photos.settings import Archive as ArchiveSettings
from market_photos.text import human_bytes, without_password

#: Given as --endpoint, where [archive] names another storage.
AWS = "aws"


@click.command()
@click.option("--to", "to", required=True, metavar="TARGET", help="s3://bucket/prefix, or a folder.")
@click.option(
    "--endpoint", metavar="URL", help="Address of the object storage, or `aws`; default: endpoint in [archive]."
)
@config_option
@campaigns_option
def copy(*, to: str, endpoint: str | None, config: Path | None, campaigns: tuple[int, ...]) -> None:
    """Copy the archive to a bucket or a folder.

    With its history: photos, records, tombstones, holds, files set aside, the runs and the catalogue. Every photo is
    compared by SHA-256. The source stays as it is. The same command continues a copy that was cut short, and brings
    one up to date as long as no run, hold or prune has changed it.
    """
    settings = load(find_config(config))
    source, target = open_archive(settings.archive), _target(settings.archive, to, endpoint)
    if source.address == target.address:
        raise UsageError(f"{target.name}: is the archive itself.", "Give another bucket or folder to --to.")
    console.say(f"Copies {source.name} to {target.address}.")
    target.prepare()
    each = EachStore()

    def copy_one(campaign: int) -> CopyResult:
        result = copy_store(
            source,
            target,
            campaign,
            limits=settings.limits,
            clock=SystemClock(),
            command=command_line(),
            report=lambda store, problem: console.show(problem_line(store, problem)),
        )
        console.say(_line(result, target.name))
        return result

    each.fetch(source, campaigns)
    stores = chosen(source.name, source.stores(), campaigns)
    results = each.results(each.sound(stores), copy_one)
    with volume.disk_errors(target.catalogs):
        copy_runs(source.catalogs, target.catalogs)
    code = each.exit_code(*(result.exit_code for result in results))
    if not code:
        console.say(f"Now set [archive] to {target.address}, and sync with that only: both archives count one quota.")
    sys.exit(code)


def _target(settings: ArchiveSettings, to: str, endpoint: str | None) -> Archive:
    """Return the archive to copy to. Raises UsageError."""
    given = settings.model_dump() | {"endpoint": None if endpoint == AWS else endpoint or settings.endpoint}
    if "://" in to:
        # Each target has a scratch folder of its own, as an archive may be copied to several.
        digest = hashlib.sha256(f"{to} {given['endpoint']}".encode()).hexdigest()
        scratch = settings.scratch.with_name(f"{settings.scratch.name}-copy-{digest[:8]}")
        given |= {"url": to, "scratch": scratch}
    else:
        given |= {"url": None, "directory": Path(to)}
    try:
        return open_archive(ArchiveSettings(**given))
    except ValidationError as error:
        problem = error.errors()[0]
        option, value = ("--endpoint", str(endpoint)) if problem["loc"] == ("endpoint",) else ("--to", to)
        text = problem["msg"].removeprefix("Value error, ")
        raise UsageError(f"{option} {without_password(value)}: {text}.") from None


def _line(result: CopyResult, target: str) -> str:
    if result.has_parted:
        return (
            f"Store {result.campaign}: {target} has it with a history of its own, and this archive has gone on too. "
            "Nothing was copied, as one of them would be lost. Keep one archive, or copy to another place."
        )
    if result.is_there_already:
        return (
            f"Store {result.campaign}: is in {target} already, with all that is here; "
            f"{result.photos:,} photos compared."
        )
    return (
        f"Store {result.campaign}: {result.files:,} files ({human_bytes(result.size)}) copied; "
        f"{result.photos:,} photos compared."
    )
