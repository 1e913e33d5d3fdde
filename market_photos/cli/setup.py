"""What `init` checks and writes; it asks nobody."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from market_photos.archive import atomic
from market_photos.cli.config import toml, variable_of
from market_photos.clock import SystemClock
from market_photos.config import Settings
from market_photos.errors import ArchiveUnwritable, ExitCode, KeyRefused, UsageError
from market_photos.market.client import Client
from market_photos.market.records import Campaign, parse_key_info
from market_photos.market.refusals import Refusal
from market_photos.market.requests import Endpoint, token_request
from market_photos.settings import OFFICIAL_URL, Archive
from market_photos.sync.discovery import cabinet_limits, list_stores
from market_photos.sync.doctor import check_archive, check_scopes
from market_photos.sync.refused_photos import as_error


@dataclass(frozen=True)
class Setup:
    """An installation for one user: its files, and what the configuration says."""

    config: Path
    key_file: Path
    base_url: str
    directory: Path
    campaigns: tuple[int, ...]

    def content(self) -> dict[str, dict[str, object]]:
        """Return the sections of the configuration."""
        is_beside = self.key_file.parent == self.config.parent
        sections: dict[str, dict[str, object]] = {
            "api": {"key_file": self.key_file.name if is_beside else self.key_file},
            "archive": {"directory": self.directory},
        }
        if self.base_url != OFFICIAL_URL:
            sections["api"]["base_url"] = self.base_url
        if self.campaigns:
            sections["campaigns"] = {"ids": self.campaigns}
        return sections

    def text(self) -> str:
        """Return the configuration file."""
        lines = ["# Made by `market-photos init`. `market-photos config --example` explains every setting."]
        for section, settings in self.content().items():
            lines += [f"[{section}]", *(f"{name} = {toml(value)}" for name, value in settings.items())]
        return "\n".join(lines) + "\n"

    def overridden(self) -> Iterator[str]:
        """Yield the environment variables that override what the configuration says."""
        for section, settings in self.content().items():
            for name, value in settings.items():
                if os.environ.get(variable := variable_of(section, name), "") not in {"", str(value)}:
                    yield variable


def require_place(path: Path, *, replace: bool) -> None:
    """Raise UsageError if the folder of a new file does not exist, or the file does."""
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: there is no such folder.", f"Make it first: mkdir -p {path.parent}")
    if os.path.lexists(path) and not replace:
        raise UsageError(f"{path} exists already.", "--force replaces it.")


async def stores_of(settings: Settings, key: str) -> list[Campaign]:
    """Return the stores that the key sees. Raises KeyRefused or ServerUnavailable."""
    api, rng, limits = settings.api, SystemRandom(), cabinet_limits(SystemRandom())
    async with Client(api.base_url, key, SystemClock(), read_timeout=api.read_timeout_seconds) as client:
        try:
            info = parse_key_info(await client.read(token_request(), limits.admission(Endpoint.TOKEN)))
            stores, _ = await list_stores(client, limits, rng)
        except Refusal as refusal:
            raise as_error(refusal, f"the stores of the key from {api.base_url}") from refusal
    finding = check_scopes(info.name, info.scopes)
    if finding.code is not ExitCode.COMPLETE:
        raise KeyRefused(f"{finding.text}.", finding.hint)
    if not stores:
        raise KeyRefused("The key sees no store.", "Give the key access to the stores in the seller's cabinet.")
    return stores


def require_stores(stores: list[Campaign], campaigns: Iterable[int]) -> None:
    """Raise KeyRefused unless the key sees each of these stores, and each can be synced."""
    seen = {store.id: store for store in stores}
    for campaign in campaigns:
        if campaign not in seen:
            numbers = ", ".join(map(str, sorted(seen)))
            raise KeyRefused(f"This key sees no store {campaign}.", f"It sees: {numbers}.")
        if why := seen[campaign].why_skipped():
            raise KeyRefused(f"Store {campaign} cannot be synced: {why}.", "Leave it out.")


def usable_directory(settings: Settings, directory: Path) -> Path:
    """Return the absolute path of the folder. Raises UsageError or ArchiveUnwritable if no archive can be there."""
    try:
        directory = Archive(directory=directory).directory.absolute()
    except ValueError:
        raise UsageError(f"{directory}: is not a usable path.", "Give the path of a folder.") from None
    archive = settings.archive.model_copy(update={"directory": directory})
    for finding in check_archive(settings.model_copy(update={"archive": archive})):
        if finding.code is not ExitCode.COMPLETE:
            raise ArchiveUnwritable(f"{finding.text}.", finding.hint)
    return directory


def write_private(path: Path, text: str, *, replace: bool) -> None:
    """Write a file with mode 0600; replace an existing one only with `replace`. Raises UsageError."""
    try:
        if replace:
            with atomic.replacing(path) as file:
                file.write(text.encode())
        else:
            with open(path, "xb", opener=atomic.open_private) as file:
                file.write(text.encode())
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}.", "Check the path and its folder.") from None
