"""The report of a run as text: in full for logs and monitors, and in six lines for the end of a run."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from market_photos.archive.catalog.photos import State
from market_photos.errors import BY_SEVERITY, ExitCode, MarketPhotosError
from market_photos.reporting.awaiting import merged
from market_photos.reporting.report import MEANINGS, SHOWN_FAILURES, Report, StoreReport, failed_report
from market_photos.text import counted, human_bytes, human_time

#: Stores that the full report names one by one. Of more, it gives the totals and names those that are not complete.
SHOWN_STORES = 20
#: Lines of the summary, and of these for stores one by one.
SUMMARY_LINES = 6
SUMMARY_STORES = 2
_GO_ON = "Next: run the same command again; it goes on where it stopped."
#: The next step after a run, unless an error has a hint of its own.
_NEXT_STEPS = {
    ExitCode.INTERNAL: "Next: run the same command again, and keep the traceback for those who maintain the program.",
    ExitCode.FAILED: "Next: run the same command again. `market-photos browse` shows what failed, with the reasons.",
    ExitCode.LIMIT: _GO_ON,
    ExitCode.INTERRUPTED: _GO_ON,
    ExitCode.TERMINATED: _GO_ON,
}


def full_report(report: Report) -> list[str]:
    """Return the whole report as text. Errors come last, where people look first."""
    result = [f"Skipped {title}: {why}." for title, why in report.skipped]
    shown = report.stores
    if len(shown) > SHOWN_STORES:
        troubled = [store for store in report.stores if store.exit_code is not ExitCode.COMPLETE]
        shown = troubled[:SHOWN_STORES]
        first = f" The first {SHOWN_STORES} of them are:" * (len(troubled) > SHOWN_STORES)
        result += [_totals(report) + first]
    result += [line for store in shown for line in _count_lines(store)]
    result += _awaiting_lines(report)
    for store in shown:
        result += _problem_lines(store)
    return [*result, _verdict(report), *_next_step(report)]


def summary(report: Report) -> list[str]:
    """Return the report in at most SUMMARY_LINES lines: counts, what is wrong, the verdict, the next step."""
    counts = [line for store in report.stores for line in _count_lines(store)]
    if len(counts) > SUMMARY_STORES:
        counts = [_totals(report)]
    counts += _awaiting_lines(report)
    end = [_verdict(report), *_next_step(report)]
    problems = list(_problems(report))
    room = SUMMARY_LINES - len(counts) - len(end)
    if len(problems) > room:
        problems[room - 1 :] = [f"… and {counted(len(problems) - room + 1, 'more problem')}; -v shows all."]
    return [*counts, *problems, *end]


def _totals(report: Report) -> str:
    found = report.as_json()
    returns = sum(store.counters.returns for store in report.stores)
    line = f"{counted(len(report.stores), 'store')}: {_counts_text(found, returns, found.get('would_fetch'))}"
    troubled = sum(store.exit_code is not ExitCode.COMPLETE for store in report.stores)
    return line + f" Not complete: {troubled:,}." * bool(troubled)


def _awaiting_lines(report: Report) -> list[str]:
    awaiting = merged(store.awaiting for store in report.stores)
    return [f"{awaiting}."] if awaiting.total else []


def _problems(report: Report) -> Iterator[str]:
    """Yield a line for each kind of problem, the most serious first."""
    by_message: dict[str, list[StoreReport]] = {}
    for store in sorted(report.stores, key=lambda store: BY_SEVERITY.index(store.exit_code)):
        if store.error:
            by_message.setdefault(store.error.message, []).append(store)
    for message, stores in by_message.items():
        yield f"{_titles(stores)}: {message}"
    if failures := [failure for store in report.stores for failure in store.failures]:
        failed = sum(store.count(State.FAILED) for store in report.stores)
        (reason, _), *others = Counter(failure.reason for failure in failures).most_common()
        example = next(failure for failure in failures if failure.reason == reason)
        more = f", and {counted(len(others), 'other reason')}" if others else ""
        yield f"{counted(failed, 'photo')} failed: {reason} (for example {example.photo}){more}."
    if unreadable := sum(store.counters.unreadable for store in report.stores):
        first = next((problem for store in report.stores for problem in store.counters.problems), "")
        yield f"{counted(unreadable, 'record')} cannot be read: {first}"
    if report.skipped:
        title, why = report.skipped[0]
        more = f", and {len(report.skipped) - 1:,} more" if len(report.skipped) > 1 else ""
        yield f"Skipped {title}{more}: {why}."


def _verdict(report: Report) -> str:
    code, took = report.exit_code, human_time(report.seconds)
    if code is ExitCode.LIMIT:
        pending = sum(store.count(State.PENDING) for store in report.stores)
        return f"Stopped after {took} by a limit of this run, {counted(pending, 'photo')} pending (exit {code:d})."
    if code is not ExitCode.COMPLETE:
        return f"NOT COMPLETE after {took}: {MEANINGS[code]} (exit {code:d})."
    return _forecast(report) if report.hours_at_quota is not None else f"Complete in {took}."


def _forecast(report: Report) -> str:
    photos = sum(store.would_fetch or 0 for store in report.stores)
    found = f"A dry run: {counted(photos, 'photo')} would be fetched with as many requests"
    if not report.hours_at_quota:
        return f"{found}, which the quota allows at once. Nothing was fetched."
    return f"{found}, about {human_time(report.hours_at_quota * 3600)} at the quota. Nothing was fetched."


def _next_step(report: Report) -> list[str]:
    if report.exit_code is ExitCode.COMPLETE:
        lacking = any(store.would_fetch for store in report.stores)
        return ["Next: the same command without --dry-run downloads them."] * lacking
    errors = [store.error for store in report.stores if store.exit_code is report.exit_code and store.error]
    hint = next((error.hint for error in errors if error.hint), "")
    step = f"Next: {hint}" if hint else _NEXT_STEPS.get(report.exit_code, "")
    return [step] * bool(step)


class Outcome(NamedTuple):
    """How a run ended, with or without a report."""

    code: ExitCode
    lines: list[str]
    data: dict[str, Any]
    """The JSON report."""


def outcome_of(report: Report | None, error: BaseException | None) -> Outcome:
    """Return the outcome of a run that has a report, or that `error` ended before."""
    if report is not None:
        return Outcome(report.exit_code, full_report(report), report.as_json())
    if isinstance(error, MarketPhotosError):
        failure = error
    elif isinstance(error, KeyboardInterrupt):
        failure = MarketPhotosError("Stopped before it began.")
        failure.exit_code = ExitCode.INTERRUPTED
    else:
        failure = MarketPhotosError(f"Internal error: {type(error).__name__}.", "Keep the traceback in the log.")
    code = failure.exit_code
    lines = [f"error: {failure.message}", *[f"  {failure.hint}"] * bool(failure.hint)]
    return Outcome(code, [*lines, f"NOT COMPLETE: {MEANINGS[code]} (exit {code:d})."], failed_report(failure))


def _count_lines(store: StoreReport) -> list[str]:
    if not store.tally:
        return []
    return [f"{store.title}: {_counts_text(store.counts(), store.counters.returns, store.would_fetch)}"]


def _counts_text(counts: dict[str, int], returns: int, would_fetch: int | None) -> str:
    listed = f"{counted(returns, 'return')} listed; "
    if would_fetch is not None:
        return f"{listed}{counted(counts['already'], 'photo')} here, {would_fetch:,} lacking."
    parts = [f"{counted(counts['downloaded'], 'photo')} fetched ({human_bytes(counts['bytes'])})"]
    parts += [f"{counts['already']:,} already here"]
    parts += [f"{counts[name]:,} {name}" for name in ("gone", "failed", "pending", "pruned") if counts[name]]
    return f"{listed}{', '.join(parts)}."


def _titles(stores: list[StoreReport]) -> str:
    """Return the titles of stores: `Store 101 shop, Store 102 and 7 more`."""
    more = f" and {len(stores) - SUMMARY_STORES:,} more" if len(stores) > SUMMARY_STORES else ""
    return ", ".join(store.title for store in stores[:SUMMARY_STORES]) + more


def _problem_lines(store: StoreReport) -> list[str]:
    lines = []
    if store.error:
        lines += [f"{store.title}: {store.error.message}"] + [f"  {store.error.hint}"] * bool(store.error.hint)
    lines += [f"{store.title}: cannot be read: {problem}" for problem in store.counters.problems]
    if (more := store.counters.unreadable - len(store.counters.problems)) > 0:
        lines.append(f"{store.title}: … and {counted(more, 'more record')} that cannot be read")
    for failure in store.failures[:SHOWN_FAILURES]:
        lines.append(f"{store.title}: failed: {failure.photo}: {failure.reason} ({failure.next_try})")
    if store.failures and (more := store.count(State.FAILED) - len(store.failures[:SHOWN_FAILURES])) > 0:
        lines.append(f"{store.title}: … and {counted(more, 'more failed photo')}")
    return lines
