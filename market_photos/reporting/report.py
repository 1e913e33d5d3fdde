"""The report of a run: exit code, JSON and text.

All counts of photos come from the catalogue: discovered = archived + gone + failed + pending + pruned.
"""

from dataclasses import dataclass, field
from typing import Any

from market_photos.archive.catalog.photos import State, Tally
from market_photos.errors import ExitCode, MarketPhotosError, most_serious
from market_photos.text import human_bytes, human_time

#: Failed photos of each store that the summary names.
SHOWN_FAILURES = 10
#: Stores that the summary names one by one. Of more, it gives the totals and names those that are not complete.
SHOWN_STORES = 20

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
    refreshing: str = ""
    """The dates that a refresh lists beside it; empty if none does."""
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)
    """Why records could not be read; the first few."""


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
    would_fetch: int | None = None
    """Photos that a run would download; None if this is no dry run."""

    @property
    def title(self) -> str:
        """Return the store with its number and name."""
        return f"Store {self.campaign} {self.name}".strip()

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
        return {
            **totals,
            "seconds": round(self.seconds, 3),
            "exit_code": int(self.exit_code),
            "stores": [store.as_json() for store in self.stores],
            "skipped": [{"store": title, "why": why} for title, why in self.skipped],
        }

    def lines(self) -> list[str]:
        """Return the summary. Errors come last, where people look first."""
        result = [f"Skipped {title}: {why}." for title, why in self.skipped]
        shown = self.stores
        if len(self.stores) > SHOWN_STORES:
            troubled = [store for store in self.stores if store.exit_code is not ExitCode.COMPLETE]
            shown = troubled[:SHOWN_STORES]
            result += [self._totals(len(troubled))]
        for store in shown:
            result += _store_lines(store)
        for store in shown:
            result += _problem_lines(store)
        return [*result, self._verdict()]

    def _totals(self, troubled: int) -> str:
        """Return the line that stands for many stores."""
        counts = [store.counts() for store in self.stores]
        totals = {name: sum(count[name] for count in counts) for name in counts[0]}
        returns = sum(store.counters.returns for store in self.stores)
        would_fetch = [store.would_fetch for store in self.stores if store.would_fetch is not None]
        line = _line(f"{len(self.stores):,} stores", returns, totals, sum(would_fetch) if would_fetch else None)
        if not troubled:
            return line
        first = f" (the first {SHOWN_STORES} are named)" * (troubled > SHOWN_STORES)
        return f"{line} Not complete: {troubled:,}{first}."

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
    """Return the JSON report of a run that ended before it counted anything."""
    return {**Report([], 0.0).as_json(), "exit_code": int(error.exit_code), "error": error.message}


def _store_lines(store: StoreReport) -> list[str]:
    return [_line(store.title, store.counters.returns, store.counts(), store.would_fetch)] if store.tally else []


def _line(title: str, returns: int, counts: dict[str, int], would_fetch: int | None) -> str:
    listed = f"{returns:,} returns listed; "
    if would_fetch is not None:
        return f"{title}: {listed}{counts['already']:,} photos are here, {would_fetch:,} are lacking."
    parts = [f"{counts['downloaded']:,} photos fetched ({human_bytes(counts['bytes'])})"]
    parts += [f"{counts['already']:,} already here"]
    parts += [f"{counts[name]:,} {name}" for name in ("gone", "failed", "pending", "pruned") if counts[name]]
    return f"{title}: {listed}{', '.join(parts)}."


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
