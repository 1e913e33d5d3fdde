"""The errors that a person may meet, by who must act.

    MarketPhotosError                 has a message (what, where), a hint (what to do) and an exit code
    ├── UsageError             2      the caller: a wrong option, an impossible range of dates
    │   └── ConfigError        2      the caller: file, key, value, allowed range
    ├── KeyRefused             4      the owner of the key: it is missing, revoked, or lacks the scope
    ├── ArchiveUnwritable      5      the owner of the disk: it is full, read-only, or not mounted
    │   └── StoreUnwritable    5      the owner of the bucket: it forbids what one store needs; the others go on
    ├── AlreadyRunning         6      nobody: wait until the other run ends
    ├── ServerUnavailable      8      the operator of the Market or of the network
    ├── CatalogUnusable        9      the owner of the archive: its catalogue is locked, missing, or too new
    │   └── CatalogDamaged     9      the owner of the archive: run `rebuild`
    ├── NothingArchived        3      the operator: none of the photos is in the archive yet, or any more
    ├── EvidenceBroken        10      the owner of the archive: a photo is missing or has changed
    └── StoreRefused           4      the owner of the store: the key may not read it; the other stores go on

What a single request meets and the run handles itself (a quota that is used up, a photo that is gone) is a
`market.refusals.Refusal`.
"""

from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of the process. README.md explains each."""

    COMPLETE = 0
    INTERNAL = 1
    USAGE = 2
    FAILED = 3
    KEY = 4
    ARCHIVE = 5
    RUNNING = 6
    LIMIT = 7
    SERVER = 8
    CATALOG = 9
    VERIFY = 10
    INTERRUPTED = 130
    TERMINATED = 143


#: Most serious first. A run over several stores ends with the most serious code of its stores.
BY_SEVERITY = (
    ExitCode.INTERNAL,
    ExitCode.TERMINATED,
    ExitCode.INTERRUPTED,
    ExitCode.USAGE,
    ExitCode.CATALOG,
    ExitCode.ARCHIVE,
    ExitCode.KEY,
    ExitCode.SERVER,
    ExitCode.RUNNING,
    ExitCode.VERIFY,
    ExitCode.FAILED,
    ExitCode.LIMIT,
    ExitCode.COMPLETE,
)


def most_serious(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the most serious of the codes; COMPLETE if there are none."""
    return min(codes, key=BY_SEVERITY.index, default=ExitCode.COMPLETE)


def how_to_install(extra: str) -> str:
    """Return what to do where the packages of an extra are missing: no index has this program."""
    return (
        f"Install the extra in a checkout: pipx install --force '.[{extra}]', or in a venv: pip install '.[{extra}]'."
    )


class MarketPhotosError(Exception):
    """A foreseen error. It is printed as `message` and `hint`, without a traceback."""

    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(MarketPhotosError):
    """The command line is wrong."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """The configuration is wrong."""


class KeyRefused(MarketPhotosError):
    """The API refuses the key."""

    exit_code = ExitCode.KEY


class StoreRefused(MarketPhotosError):
    """The API refuses one store."""

    exit_code = ExitCode.KEY


class ArchiveUnwritable(MarketPhotosError):
    """The archive cannot be read or written."""

    exit_code = ExitCode.ARCHIVE


class StoreUnwritable(ArchiveUnwritable):
    """What one store needs is forbidden in the archive."""


def ends_every_store(error: MarketPhotosError | None) -> bool:
    """Return whether an error of one store is one of all: the key is refused, or the disk is full."""
    return isinstance(error, KeyRefused | ArchiveUnwritable) and not isinstance(error, StoreUnwritable)


class AlreadyRunning(MarketPhotosError):
    """Another process holds the lock of the store or the archive."""

    exit_code = ExitCode.RUNNING


class ServerUnavailable(MarketPhotosError):
    """The server cannot be reached or fails."""

    exit_code = ExitCode.SERVER


class CatalogUnusable(MarketPhotosError):
    """A catalogue cannot be opened."""

    exit_code = ExitCode.CATALOG


class CatalogDamaged(CatalogUnusable):
    """A catalogue holds what no run writes."""


class NothingArchived(MarketPhotosError):
    """None of the photos is in the archive."""

    exit_code = ExitCode.FAILED


class EvidenceBroken(MarketPhotosError):
    """Archived photos are not as they were downloaded."""

    exit_code = ExitCode.VERIFY
