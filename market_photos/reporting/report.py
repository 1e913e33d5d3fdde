"""The report of a run: counts, exit code and JSON. summary.py writes it as text.

All counts of photos come from the catalogue: discovered = archived + gone + failed + pending + pruned.
"""

from dataclasses import dataclass, field
from typing import Any

from market_photos.archive.catalog.photos import State, Tally
from market_photos.errors import ExitCode, MarketPhotosError, most_serious
from market_photos.reporting.awaiting import AwaitingReturn, AwaitingSummary, merged, most_urgent_first

#: Failed photos of each store that the report names.
SHOWN_FAILURES = 10
MEANINGS = {
    ExitCode.COMPLETE: "complete: every known photo is in the archive",
    ExitCode.INTERNAL: "an error of market-photos itself or of its processes",
    ExitCode.USAGE: "usage or configuration",
    ExitCode.FAILED: "not everything could be fetched; the next run tries again",
    ExitCode.KEY: "the key is refused",
    ExitCode.ARCHIVE: "the archive cannot be written",
    ExitCode.RUNNING: "another run is at work on this archive",
    ExitCode.LIMIT: "stopped early by a limit of this run; the next run goes on",
    ExitCode.SERVER: "the server could not be reached or is down",
    ExitCode.CATALOG: "the catalogue cannot be used",
    ExitCode.VERIFY: "verify found problems",
    ExitCode.INTERRUPTED: "interrupted; the next run goes on",
    ExitCode.TERMINATED: "terminated; the next run goes on",
}


@dataclass
class Counters:
    """What this run did for one store so far."""

    pages: int = 0
    returns: int = 0
    found: int = 0
    requests: int = 0
    downloaded: int = 0
    size: int = 0
    gone: int = 0
    failed: int = 0
    internal_errors: int = 0
    """Errors of the program itself, each with its traceback in the log. Their photos count as failed."""
    listing: str = ""
    """The dates that are being listed; empty when the listing is finished."""
    refreshing: str = ""
    """The dates that a refresh lists beside it; empty if none does."""
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    """Why records could not be read; the first few."""

    def go_on_from(self, earlier: "Counters") -> None:
        """Add what another process did for the store before. What it listed, or could not read, was listed again."""
        for name in ("pages", "found", "requests", "downloaded", "size", "gone", "failed", "internal_errors"):
            setattr(self, name, getattr(self, name) + getattr(earlier, name))
        self.returns = max(self.returns, earlier.returns)


@dataclass(frozen=True)
class Failure:
    """A failed photo, in words."""

    photo: str
    reason: str
    next_try: str


@dataclass
class StoreReport:
    """What a run did for one store, and what is left to do."""

    campaign: int
    name: str = ""
    counters: Counters = field(default_factory=Counters)
    tally: dict[State, Tally] = field(default_factory=dict)
    exit_code: ExitCode = ExitCode.COMPLETE
    error: MarketPhotosError | None = None
    failures: list[Failure] = field(default_factory=list)
    watermark: str | None = None
    awaiting: AwaitingSummary = field(default_factory=AwaitingSummary)
    newly_awaiting: list[AwaitingReturn] = field(default_factory=list)
    """Those that no earlier report named, most urgent first."""
    would_fetch: int | None = None
    """Photos that a run would download; None if this is no dry run."""
    would_take: float = 0.0
    """Seconds that they take at the quota: a forecast."""

    @property
    def name_and_number(self) -> str:
        """The store for people: `101 shop`."""
        return f"{self.campaign} {self.name}".strip()

    @property
    def title(self) -> str:
        """The same at the beginning of a line: `Store 101 shop`."""
        return f"Store {self.name_and_number}"

    def go_on_from(self, earlier: "StoreReport") -> None:
        """Add what another process of this run did for the store before."""
        self.counters.go_on_from(earlier.counters)
        self.newly_awaiting = [*earlier.newly_awaiting, *self.newly_awaiting]

    def count(self, state: State) -> int:
        """Return the number of photos in a state."""
        return self.tally.get(state, Tally()).photos

    def counts(self) -> dict[str, int]:
        """Return the numbers of the JSON report. `downloaded` and `already` together are the archived photos."""
        archived = self.count(State.ARCHIVED)
        downloaded = min(self.counters.downloaded, archived)
        return {
            "discovered": sum(tally.photos for tally in self.tally.values()),
            "downloaded": downloaded,
            "already": archived - downloaded,
            "gone": self.count(State.GONE),
            "failed": self.count(State.FAILED),
            "pending": self.count(State.PENDING),
            "pruned": self.count(State.PRUNED),
            "bytes": self.counters.size,
            "requests": self.counters.requests,
        }

    def as_json(self) -> dict[str, Any]:
        """Return an entry of `stores` in the JSON report."""
        return {
            "campaign": self.campaign,
            "name": self.name,
            **self.counts(),
            "exit_code": int(self.exit_code),
            "error": self.error.message if self.error else None,
            "watermark": self.watermark,
            "awaiting": self.awaiting.as_json(),
            **({"would_fetch": self.would_fetch} if self.would_fetch is not None else {}),
        }


def verdict(
    tally: dict[State, Tally],
    *,
    error: MarketPhotosError | None,
    stopped: ExitCode,
    is_listed: bool,
    unreadable: int,
    internal_errors: int = 0,
) -> ExitCode:
    """Return the exit code of one store.

    COMPLETE means: listed to the end, and nothing is unreadable, pending or failed.
    """
    pending = tally.get(State.PENDING, Tally()).photos > 0
    failed = tally.get(State.FAILED, Tally()).photos > 0
    codes = [error.exit_code] if error else []
    if internal_errors:
        codes.append(ExitCode.INTERNAL)
    if stopped in (ExitCode.INTERRUPTED, ExitCode.TERMINATED) or pending or not is_listed:
        codes.append(stopped)
    if failed or unreadable:
        codes.append(ExitCode.FAILED)
    if pending:
        # The run's own limit is the reason if there is no other.
        codes.append(ExitCode.LIMIT)
    return most_serious(codes)


@dataclass
class Report:
    """What a run did."""

    stores: list[StoreReport]
    seconds: float
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Stores that cannot be served, and why."""
    hours_at_quota: float | None = None
    """Hours that the slowest store would take; None if this is no dry run."""
    other_requests: int = 0
    """Requests that concern no single store."""

    @property
    def exit_code(self) -> ExitCode:
        """Return the most serious code of the stores."""
        return most_serious([store.exit_code for store in self.stores])

    def as_json(self) -> dict[str, Any]:
        """Return the JSON report."""
        counts = [store.counts() for store in self.stores] or [StoreReport(0).counts()]
        totals: dict[str, Any] = {name: sum(count[name] for count in counts) for name in counts[0]}
        totals["requests"] += self.other_requests
        if self.hours_at_quota is not None:
            totals["would_fetch"] = sum(store.would_fetch or 0 for store in self.stores)
            totals["hours_at_quota"] = round(self.hours_at_quota, 2)
        news = most_urgent_first(found for store in self.stores for found in store.newly_awaiting)
        return {
            **totals,
            "seconds": round(self.seconds, 3),
            "exit_code": int(self.exit_code),
            "awaiting": merged(store.awaiting for store in self.stores).as_json(),
            "newly_awaiting": [found.as_json() for found in news],
            "stores": [store.as_json() for store in self.stores],
            "skipped": [{"store": title, "why": why} for title, why in self.skipped],
        }


def failed_report(error: MarketPhotosError) -> dict[str, Any]:
    """Return the JSON report of a run that ended before it counted anything."""
    return {**Report([], 0.0).as_json(), "exit_code": int(error.exit_code), "error": error.message}
