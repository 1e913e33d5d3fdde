"""The runs of an archive on record in its folder `runs`, also those that ended before any store was known.

Each run has a file, on which its process holds a lock. A file without an end whose lock is free is that of a run that
was cut short.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from market_photos.archive import atomic, lock
from market_photos.archive.catalog.requests import PastRun
from market_photos.clock import Clock
from market_photos.errors import ExitCode, MarketPhotosError
from market_photos.reporting.summary import Outcome
from market_photos.settings import Archive

log = logging.getLogger(__name__)

FOLDER = "runs"
#: Runs of which the files are kept: three months of nights.
KEPT = 100


class RunRecord:
    """The record of one run. Set `outcome` when it has one. Failures are logged: they do not concern the run."""

    def __init__(self, archive: Archive, command: str, clock: Clock, held: ExitStack) -> None:
        self._archive = archive
        self._command = command
        self._clock = clock
        self._held = held
        self._is_begun = False
        self._started_at = clock.now().wall
        started = datetime.fromtimestamp(self._started_at, UTC)
        self._folder = archive.catalogs
        self._path = self._folder / FOLDER / f"{started:%Y%m%dT%H%M%S}-{os.getpid()}.json"

    def begin(self) -> None:
        """Record the start, unless the archive does not exist yet, or is not mounted. Blocks."""
        folder, marker = self._folder, self._archive.marker
        try:
            if not folder.is_dir() or (marker and not (folder / marker).exists()):
                return
            atomic.make_folder(self._path.parent, within=folder)
            for old in sorted(self._path.parent.glob("*.json"))[: 1 - KEPT]:
                old.unlink(missing_ok=True)
            self._held.enter_context(lock.Lock(self._path, self._command, self._clock))
            self._is_begun = True
        except (OSError, MarketPhotosError) as error:
            log.debug("%s: the start of this run is not recorded: %s", self._path, error)

    def end(self, outcome: Outcome) -> None:
        """Record the end, unless the archive has been moved since the start. Blocks."""
        content = {
            "command": self._command,
            "started_at": self._started_at,
            "ended_at": self._clock.now().wall,
            "exit_code": int(outcome.code),
            "summary": outcome.data | {"stores": len(outcome.data["stores"])},
        }
        try:
            # The run may have made the archive, but after ARCHIVE the folder may be another one.
            if not self._is_begun and outcome.code is not ExitCode.ARCHIVE:
                self.begin()
            if self._path.exists():
                with atomic.replacing(self._path) as file:
                    file.write(json.dumps(content).encode())
        except OSError as error:
            log.debug("%s: the end of this run is not recorded: %s", self._path, error)


@contextmanager
def recording_of(archive: Archive, command: str, clock: Clock) -> Iterator[RunRecord]:
    """Record the run of the block from its start on, until it ends or its process dies."""
    with ExitStack() as held:
        record = RunRecord(archive, command, clock, held)
        record.begin()
        yield record


def copy_runs(source: Path, target: Path) -> None:
    """Copy the records of runs that have ended to another archive's. Blocks. Raises OSError."""
    (target / FOLDER).mkdir(mode=0o700, exist_ok=True)
    for path in sorted((source / FOLDER).glob("*.json")):
        copy = target / FOLDER / path.name
        if not copy.exists() and lock.held_by(path) is None:
            with atomic.replacing(copy) as file:
                file.write(path.read_bytes())


def last_runs(archive: Path, most: int = 1) -> list[PastRun]:
    """Return the `most` last runs on record, newest first. Blocks."""
    with suppress(OSError):
        paths = sorted((archive / FOLDER).glob("*.json"), reverse=True)[:most]
        return [run for path in paths if path.is_file() and (run := _read(path))]
    return []


def _read(path: Path) -> PastRun | None:
    """Return a run; None for a file that no run has written."""
    try:
        is_at_work = lock.held_by(path) is not None
        content: dict[str, Any] = json.loads(path.read_bytes())
        if "since" in content:
            started = datetime.fromisoformat(content["since"]).timestamp()
            return PastRun(content["command"], int(started), None, None, {}, is_at_work)
        return PastRun(
            str(content["command"]),
            int(content["started_at"]),
            int(content["ended_at"]),
            ExitCode(content["exit_code"]),
            dict(content["summary"]),
        )
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
