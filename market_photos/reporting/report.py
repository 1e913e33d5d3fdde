"""What a run did: for cron (exit code), for programs (JSON) and for a person at 7 in the morning (text). Pure.

All counts of photos come from the catalogue: discovered = archived + gone + failed + pending + pruned.
"""

from dataclasses import dataclass, field
from typing import Any

from market_photos.archive.catalog.photos import State, Tally
from market_photos.errors import ExitCode, MarketPhotosError, most_serious
from market_photos.text import human_bytes, human_time

#: Failed photos that the summary names for each store.
SHOWN_FAILURES = 10

MEANINGS = {
    ExitCode.COMPLETE: "complete: every known photo is in the archive",
    ExitCode.INTERNAL: "internal error: please report it, with the traceback in the log",
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
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    """Why records could not be read; the first few."""


@dataclass(frozen=True)
class Failure:
    photo: str
    reason: str
    next_try: str


@dataclass
class StoreReport:
    campaign: int
    name: str = ""
    counters: Counters = field(default_factory=Counters)
    tally: dict[State, Tally] = field(default_factory=dict)
    exit_code: ExitCode = ExitCode.COMPLETE
    error: MarketPhotosError | None = None
    failures: list[Failure] = field(default_factory=list)
    watermark: str | None = None
    would_fetch: int | None = None
    """Photos that a dry run found lacking."""

    @property
    def title(self) -> str:
        return f"Store {self.campaign} {self.name}".strip()

    def count(self, state: State) -> int:
        return self.tally.get(state, Tally()).photos

    def counts(self) -> dict[str, int]:
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
        return {
            "campaign": self.campaign,
            "name": self.name,
            **self.counts(),
            "exit_code": int(self.exit_code),
            "error": self.error.message if self.error else None,
            "watermark": self.watermark,
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
    """The exit code of one store. COMPLETE means: listed to the end, nothing unreadable, pending or failed."""
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
        # Without any other reason it is the run's own limit that left them.
        codes.append(ExitCode.LIMIT)
    return most_serious(codes)


@dataclass
class Report:
    stores: list[StoreReport]
    seconds: float
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """Stores that have no photos for us, and why."""
    hours_at_quota: float | None = None
    """Of a dry run: how long the slowest store would take."""
    other_requests: int = 0
    """Those that concerned no single store."""

    @property
    def exit_code(self) -> ExitCode:
        return most_serious([store.exit_code for store in self.stores])

    def as_json(self) -> dict[str, Any]:
        counts = [store.counts() for store in self.stores] or [StoreReport(0).counts()]
        totals: dict[str, Any] = {name: sum(count[name] for count in counts) for name in counts[0]}
        totals["requests"] += self.other_requests
        if self.hours_at_quota is not None:
            totals["would_fetch"] = sum(store.would_fetch or 0 for store in self.stores)
            totals["hours_at_quota"] = round(self.hours_at_quota, 2)
        return {
            **totals,
            "seconds": round(self.seconds, 3),
            "exit_code": int(self.exit_code),
            "stores": [store.as_json() for store in self.stores],
            "skipped": [{"store": title, "why": why} for title, why in self.skipped],
        }

    def lines(self) -> list[str]:
        """The summary, errors last, for that is where a person looks."""
        result = [f"Skipped {title}: {why}." for title, why in self.skipped]
        for store in self.stores:
            result += _store_lines(store)
        for store in self.stores:
            result += _problem_lines(store)
        return [*result, self._verdict()]

    def _verdict(self) -> str:
        if self.hours_at_quota is not None and self.exit_code is ExitCode.COMPLETE:
            photos = sum(store.would_fetch or 0 for store in self.stores)
            hours = f"about {human_time(self.hours_at_quota * 3600)} at the quota"
            return (
                f"A dry run: {photos:,} photos would be fetched with as many requests, {hours}. Nothing was fetched."
            )
        if self.exit_code is ExitCode.COMPLETE:
            return f"Complete in {human_time(self.seconds)}."
        return f"NOT COMPLETE after {human_time(self.seconds)}: {MEANINGS[self.exit_code]} (exit {self.exit_code:d})."


def failed_report(error: MarketPhotosError) -> dict[str, Any]:
    """As JSON, where the run ended before there was anything to count."""
    return {**Report([], 0.0).as_json(), "exit_code": int(error.exit_code), "error": error.message}


def _store_lines(store: StoreReport) -> list[str]:
    counts = store.counts()
    if not store.tally:
        return []
    listed = f"{store.counters.returns:,} returns listed; "
    if store.would_fetch is not None:
        return [f"{store.title}: {listed}{counts['already']:,} photos are here, {store.would_fetch:,} are lacking."]
    parts = [f"{counts['downloaded']:,} photos fetched ({human_bytes(counts['bytes'])})"]
    parts += [f"{counts['already']:,} already here"]
    parts += [f"{counts[name]:,} {name}" for name in ("gone", "failed", "pending", "pruned") if counts[name]]
    return [f"{store.title}: {listed}{', '.join(parts)}."]


def _problem_lines(store: StoreReport) -> list[str]:
    lines = []
    if store.error:
        lines += [f"{store.title}: {store.error.message}"] + [f"  {store.error.hint}"] * bool(store.error.hint)
    lines += [f"{store.title}: cannot be read: {problem}" for problem in store.counters.problems]
    if (more := store.counters.unreadable - len(store.counters.problems)) > 0:
        lines.append(f"{store.title}: … and {more:,} more records that cannot be read")
    for failure in store.failures[:SHOWN_FAILURES]:
        lines.append(f"{store.title}: failed: {failure.photo}: {failure.reason} ({failure.next_try})")
    if store.failures and (more := store.count(State.FAILED) - len(store.failures[:SHOWN_FAILURES])) > 0:
        lines.append(f"{store.title}: … and {more:,} more failed photos")
    return lines
