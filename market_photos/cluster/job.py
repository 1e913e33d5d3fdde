"""What goes through the engine: the job that a run hands out in batches of stores, and what became of them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from market_photos.errors import ExitCode, MarketPhotosError
from market_photos.reporting.report import StoreReport
from market_photos.sync.discovery import Candidate
from market_photos.sync.plan import Plan
from market_photos.sync.run import Options


class LogOptions(NamedTuple):
    """What a process writes on standard error, as for `console.set_up_logging`."""

    verbose: int = 0
    quiet: bool = False
    as_json: bool = False


@dataclass(frozen=True)
class Job:
    """What the batches of one run have in common. Each process reads the configuration and the key itself."""

    id: str
    config: Path | None
    plan: Plan
    options: Options
    log: LogOptions
    budget: Path | None = None
    """The file of a SharedBudget; None if there is no limit."""

    @classmethod
    def new(cls, config: Path | None, plan: Plan, options: Options, log: LogOptions) -> "Job":
        """Return a job with an id, which the locks of its stores show."""
        id_ = uuid4().hex[:8]
        options = replace(options, command=f"{options.command} (run {id_})")
        return cls(id_, config and config.absolute(), plan, options, log)


class Result(NamedTuple):
    """What became of a batch."""

    reports: list[StoreReport]
    requests: int
    """Requests that concern no single store."""
    left: frozenset[int] = frozenset()
    """The stores that a stop has kept from their end. Those that had begun have a report as well."""
    by: str = ""
    """The worker, as the engine names it; empty for a process of this machine, and where none returned the result."""


class StopRequest(NamedTuple):
    """Why batches end early."""

    code: ExitCode
    reason: str


def reports_of(candidates: list[Candidate], error: MarketPhotosError) -> list[StoreReport]:
    """Return the reports of stores that ended with this error."""
    return [StoreReport(store.campaign, store.name, exit_code=error.exit_code, error=error) for store in candidates]


def sendable(reports: Iterable[StoreReport]) -> list[StoreReport]:
    """Return the reports with what the engine can send of their errors.

    It would send their causes and tracebacks, too; those of an error that many tasks have raised are too deep.
    """
    found = list(reports)
    for error in (report.error for report in found):
        if error:
            error.__traceback__ = error.__cause__ = error.__context__ = None
    return found
