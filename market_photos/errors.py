"""Every error a person may meet, by who must act.

    MarketPhotosError                 has a message (what, where), a hint (what to do) and an exit code
    ├── UsageError             2      the caller: a wrong option, an impossible span of dates
    │   └── ConfigError        2      the caller: file, key, value, allowed range
    ├── KeyRefused             4      the key's owner: missing, revoked, or without the scope
    ├── ArchiveUnwritable      5      whoever owns the disk: full, below the floor, read-only, not mounted
    ├── AlreadyRunning         6      nobody: another run is at work, wait for it
    ├── ServerUnavailable      8      the Market, or the network on the way to it
    ├── CatalogUnusable        9      whoever owns the archive: locked, missing, or made by a newer version
    │   └── CatalogDamaged     9      whoever owns the archive: `rebuild` makes a new one
    ├── EvidenceBroken        10      whoever owns the archive: a photo is missing, or not what was once fetched
    └── StoreRefused           4      the store's owner: this one store is closed to the key; the others go on

What a single request may meet and the run deals with itself (a spent quota, a photo that is gone) is no error but a
`market.protocol.Refusal`.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process tells cron. README.md explains each."""

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


#: The first that applies is the code of a run over several stores.
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


def most_serious(codes: "list[ExitCode]") -> ExitCode:
    """The code that a person must hear of first; COMPLETE when there is none."""
    return min(codes, key=BY_SEVERITY.index, default=ExitCode.COMPLETE)


class MarketPhotosError(Exception):
    """Foreseen: printed as `message` and `hint`, without a traceback."""

    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(MarketPhotosError):
    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    pass


class KeyRefused(MarketPhotosError):
    exit_code = ExitCode.KEY


class StoreRefused(MarketPhotosError):
    exit_code = ExitCode.KEY


class ArchiveUnwritable(MarketPhotosError):
    exit_code = ExitCode.ARCHIVE


class AlreadyRunning(MarketPhotosError):
    exit_code = ExitCode.RUNNING


class ServerUnavailable(MarketPhotosError):
    exit_code = ExitCode.SERVER


class CatalogUnusable(MarketPhotosError):
    exit_code = ExitCode.CATALOG


class CatalogDamaged(CatalogUnusable):
    pass


class EvidenceBroken(MarketPhotosError):
    exit_code = ExitCode.VERIFY
