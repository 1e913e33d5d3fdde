"""Check whether a sync would work here: configuration, key, stores, archive and clock, with two requests."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from market_photos.archive import volume
from market_photos.archive.places import open_archive
from market_photos.archive.volume import network_share
from market_photos.clock import Clock, Moment, ServerClock, SystemClock
from market_photos.config import Settings
from market_photos.console import redact
from market_photos.errors import ExitCode, MarketPhotosError, most_serious
from market_photos.market.client import Client
from market_photos.market.records import Campaign, parse_campaigns, parse_key_info
from market_photos.market.refusals import Reaction, Refusal
from market_photos.market.requests import Endpoint, campaigns_request, token_request
from market_photos.sync.discovery import cabinet_limits
from market_photos.sync.refused_photos import as_error
from market_photos.text import human_bytes, human_time
from market_photos.threads import abandonable

#: Each of these opens the methods that are used. The API writes them in either case, with `-` and `:` or `_`.
USEFUL_SCOPES = {
    "INVENTORY_AND_ORDER_PROCESSING",
    "INVENTORY_AND_ORDER_PROCESSING_READ_ONLY",
    "ALL_METHODS",
    "ALL_METHODS_READ_ONLY",
}
#: Seconds of difference to the server's clock above which there is a warning.
SKEW = 60


@dataclass(frozen=True)
class Finding:
    """The result of one check; with COMPLETE a sync works."""

    code: ExitCode
    text: str
    hint: str = ""
    is_warning: bool = False
    """Whether it should be corrected all the same."""

    def lines(self) -> list[str]:
        """Return the finding as lines of text."""
        mark = "WARNING" if self.is_warning else "ok" if self.code is ExitCode.COMPLETE else "PROBLEM"
        return [f"{mark}: {self.text}"] + [f"  {self.hint}"] * bool(self.hint)


def passed(text: str, hint: str = "") -> Finding:
    """Return a finding without a problem."""
    return Finding(ExitCode.COMPLETE, text, hint)


def problem(error: MarketPhotosError) -> Finding:
    """Return an error as a finding."""
    return Finding(error.exit_code, error.message, error.hint)


async def examine(settings: Settings, say: Callable[[str], None]) -> ExitCode:
    """Print the findings; return the exit code of the most serious problem."""
    findings = []
    in_storage = await abandonable(lambda: list(check_place(settings)))
    for finding in (*check_archive(settings), *in_storage):
        findings.append(_shown(finding, say))
    async for finding in check_api(settings, SystemClock(), Random()):
        findings.append(_shown(finding, say))
    code = most_serious([finding.code for finding in findings])
    say(_conclusion(code, has_warnings=any(finding.is_warning for finding in findings)))
    return code


def _conclusion(code: ExitCode, *, has_warnings: bool) -> str:
    if code is not ExitCode.COMPLETE:
        return "There are problems."
    return "A sync works here; see the warnings above." if has_warnings else "Everything is well."


def _shown(finding: Finding, say: Callable[[str], None]) -> Finding:
    for line in finding.lines():
        say(redact(line))
    return finding


def check_archive(settings: Settings) -> Iterator[Finding]:
    """Check the archive by writing and removing a file, in the nearest folder above it if it does not exist."""
    folder = settings.archive.catalogs
    try:
        volume.require_marker(folder, settings.archive.marker)
        existing = next(path for path in (folder, *folder.absolute().parents) if volume.is_there(path))
        _try_to_write(existing)
        volume.require_room(existing, settings.archive.min_free_bytes)
    except MarketPhotosError as error:
        yield problem(error)
        return
    free = human_bytes(shutil.disk_usage(existing).free)
    can = "can be written" if existing == folder else f"does not exist yet; the first sync can make it in {existing}"
    what = "the archive" if settings.archive.url is None else "the scratch folder"
    yield passed(f"{what} {folder.absolute()} {can}; {free} are free")
    if share := network_share(folder):
        yield Finding(
            ExitCode.ARCHIVE,
            f"the archive is on a network share ({share}): its locks cannot be trusted, the catalogue may be damaged",
            "Keep the archive on a local disk and copy it to the share afterwards.",
        )


def _try_to_write(folder: Path) -> None:
    with volume.disk_errors(folder), tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())


def check_place(settings: Settings) -> Iterator[Finding]:
    """Check what an archive in a bucket needs; nothing for one in a folder."""
    try:
        for text in open_archive(settings.archive).check():
            yield passed(text)
    except MarketPhotosError as error:
        yield problem(error)


async def check_api(settings: Settings, clock: Clock, rng: Random) -> AsyncIterator[Finding]:
    """Check the key, its scopes, the clock and the stores with two requests."""
    try:
        key = settings.api_key()
    except MarketPhotosError as error:
        yield problem(error)
        return
    redact.hide(key)
    api = settings.api
    limits, clock = cabinet_limits(rng), ServerClock.of(clock)
    async with Client(api.base_url, key, clock, read_timeout=api.read_timeout_seconds) as client:
        failed: Refusal | None = None
        try:
            info = parse_key_info(await client.read(token_request(), limits.admission(Endpoint.TOKEN)))
            yield check_scopes(info.name, info.scopes)
            yield check_clock(clock.now())
        except Refusal as refusal:
            yield problem(as_error(refusal, f"the key's scopes from {api.base_url}"))
            if refusal.reaction is Reaction.STOP_RUN:
                return
            failed = refusal
        try:
            page = parse_campaigns(await client.read(campaigns_request(), limits.admission(Endpoint.CAMPAIGNS)))
        except Refusal as refusal:
            if failed is None or (failed.reaction, failed.status) != (refusal.reaction, refusal.status):
                yield problem(as_error(refusal, f"the list of stores from {api.base_url}"))
        else:
            for finding in check_stores(page.rows, settings.campaigns.ids, is_whole=page.next_token is None):
                yield finding


def check_scopes(name: str, scopes: tuple[str, ...]) -> Finding:
    """Check that the key may read returns."""
    plain = {scope.upper().replace("-", "_").replace(":", "_") for scope in scopes}
    if plain & USEFUL_SCOPES:
        return passed(f"the key {name!r} is accepted; scopes: {', '.join(scopes)}")
    return Finding(
        ExitCode.KEY,
        f"the key {name!r} has none of the scopes that open returns; it has: {', '.join(scopes) or 'none'}",
        "Make a key with 'inventory-and-order-processing:read-only' in the seller's cabinet.",
    )


def check_clock(now: Moment) -> Finding:
    """Compare this machine's wall clock with the server's."""
    if now.server is None:
        return Finding(
            ExitCode.COMPLETE,
            "the answers give no usable Date, so the server's clock is not known",
            "Each sync lists the returns from the same day again, and after a reboot it may wait for quota that it "
            "has. If a proxy on the way removes the header, let it pass.",
            is_warning=True,
        )
    ahead, behind = now.wall - now.server.latest, now.server.earliest - now.wall
    if max(ahead, behind) <= SKEW:
        return passed("this machine's clock agrees with the server's")
    way = f"{human_time(ahead)} ahead of" if ahead > 0 else f"{human_time(behind)} behind"
    return Finding(
        ExitCode.COMPLETE,
        f"this machine's clock is {way} the server's",
        "The archive goes by the server's clock, but the dates of logs and files, the nightly timer and certificates "
        "go by this one. `timedatectl set-ntp true` sets it and keeps it right. Where it is wrong after each boot: "
        "`timedatectl set-local-rtc 0`, then `hwclock --systohc`. In a container: set the clock of its host.",
        is_warning=True,
    )


def check_stores(stores: list[Campaign], ids: tuple[int, ...], *, is_whole: bool) -> Iterator[Finding]:
    """Check the stores of the key. `ids`: the configured ones, empty for all; `is_whole`: `stores` are all."""
    for store in stores:
        if ids and store.id not in ids:
            continue
        name = f"store {store.id} {store.domain or ''}".strip()
        why = store.why_skipped()
        if not why:
            yield passed(f"{name} will be synced")
        elif ids:
            yield Finding(ExitCode.KEY, f"{name} cannot be served: {why}", "Leave it out of ids in [campaigns].")
        else:
            yield passed(f"{name} will be skipped: {why}")
    for missing in sorted(set(ids) - {store.id for store in stores}) if is_whole else ():
        yield Finding(
            ExitCode.KEY,
            f"store {missing} is configured, but the key does not see it",
            "Check the number, or give the key access to the store in the seller's cabinet.",
        )
    if not stores:
        yield Finding(ExitCode.KEY, "the key sees no store", "Give the key access to the stores.")
