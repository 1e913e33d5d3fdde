"""The exit code, the counts and the words of a run's end."""

import pytest

from market_photos.archive.catalog.photos import State, Tally
from market_photos.errors import ExitCode, MarketPhotosError, StoreRefused
from market_photos.reporting.report import (
    MEANINGS,
    Counters,
    Failure,
    Report,
    StoreReport,
    failed_report,
    verdict,
)
from market_photos.reporting.summary import full_report, summary

OK, LIMIT, FAILED, KEY, INT = (
    ExitCode.COMPLETE,
    ExitCode.LIMIT,
    ExitCode.FAILED,
    ExitCode.KEY,
    ExitCode.INTERRUPTED,
)


@pytest.mark.parametrize(
    ("pending", "failed", "error", "stopped", "is_listed", "unreadable", "code"),
    [
        (0, 0, None, OK, True, 0, OK),
        (1, 0, None, OK, True, 0, LIMIT),
        (0, 1, None, OK, True, 0, FAILED),
        (1, 1, None, OK, True, 0, FAILED),
        (0, 0, None, OK, True, 1, FAILED),
        (0, 0, StoreRefused("no"), OK, False, 0, KEY),
        (1, 1, None, INT, True, 0, INT),
        (0, 0, None, INT, True, 0, INT),
        (0, 0, None, LIMIT, True, 0, OK),
        (0, 0, None, LIMIT, False, 0, LIMIT),
        (0, 0, None, KEY, True, 0, OK),
    ],
)
def test_the_exit_code_is_0_only_if_nothing_is_pending_or_failed(  # noqa: PLR0917 - the columns of the table
    pending: int,
    failed: int,
    error: MarketPhotosError | None,
    stopped: ExitCode,
    is_listed: bool,
    unreadable: int,
    code: ExitCode,
) -> None:
    """Exit 0 means: listed to the end, nothing unreadable, pending or failed. A limit that nobody met is no stop."""
    tally = {State.PENDING: Tally(pending), State.FAILED: Tally(failed), State.ARCHIVED: Tally(9, 90)}
    assert verdict(tally, error=error, stopped=stopped, is_listed=is_listed, unreadable=unreadable) is code


def report() -> Report:
    tally = {State.ARCHIVED: Tally(7, 700), State.GONE: Tally(1), State.FAILED: Tally(12), State.PENDING: Tally(2)}
    store = StoreReport(101, "shop", Counters(requests=20, downloaded=4, size=400, returns=9), tally, FAILED)
    store.failures = [Failure(f"photo {n}", "HTTP 500", "the next run tries again") for n in range(10)]
    closed = StoreReport(102, exit_code=KEY, error=StoreRefused("The API refuses this store.", "Ask for access."))
    return Report([store, closed], 12.3, [("store 201", "it is a LAAS store")], other_requests=1)


def test_counts_add_up() -> None:
    found = report().as_json()
    assert {name: found[name] for name in ("discovered", "downloaded", "already", "gone", "failed", "pending")} == {
        "discovered": 22,
        "downloaded": 4,
        "already": 3,
        "gone": 1,
        "failed": 12,
        "pending": 2,
    }
    assert (found["requests"], found["bytes"], found["exit_code"]) == (21, 400, 4)
    assert [store["exit_code"] for store in found["stores"]] == [3, 4]


def test_the_summary_repeats_the_errors_at_its_end() -> None:
    text = "\n".join(full_report(report()))
    assert "Skipped store 201: it is a LAAS store." in text
    assert "4 photos fetched (400 bytes), 3 already here, 1 gone, 12 failed, 2 pending" in text
    assert "… and 2 more failed photos" in text
    assert text.endswith("NOT COMPLETE after 12 s: the key is refused (exit 4).\nNext: Ask for access.")
    assert text.index("photo 0: HTTP 500") > text.index("12 failed")


def test_many_stores_are_summed_up_and_only_those_in_trouble_are_named() -> None:
    tally = {State.ARCHIVED: Tally(2, 20)}
    stores = [StoreReport(n, "", Counters(downloaded=2, size=20, returns=1), tally) for n in range(1000)]
    lines = full_report(Report(stores, 60.0))
    assert lines[0].startswith("1,000 stores: 1,000 returns listed; 2,000 photos fetched (20.0 KB), 0 already here")
    assert len(lines) == 2
    stores[7].exit_code, stores[7].error = KEY, StoreRefused("The API refuses this store.", "Ask for access.")
    lines = full_report(Report(stores, 60.0))
    assert lines[0].endswith(" Not complete: 1.")
    assert [line for line in lines if line.startswith("Store")] == [
        "Store 7: 1 return listed; 2 photos fetched (20 bytes), 0 already here.",
        "Store 7: The API refuses this store.",
    ]
    for store in stores:
        store.exit_code = INT
    lines = full_report(Report(stores, 60.0))
    assert lines[0].endswith(" Not complete: 1,000. The first 20 of them are:")
    assert len(lines) < 30


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


def test_a_run_that_failed_at_the_start_has_the_same_report_shape() -> None:
    found = failed_report(StoreRefused("no"))
    assert report().as_json().keys() <= found.keys()
    assert (found["exit_code"], found["discovered"], found["error"]) == (4, 0, "no")


def many(number: int, **fields: object) -> list[StoreReport]:
    return [StoreReport(campaign, tally={State.ARCHIVED: Tally(1, 9)}, **fields) for campaign in range(number)]  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [1, 2, 3, 1000])
@pytest.mark.parametrize("error", [None, StoreRefused("The API refuses this store.", "Give the key access.")])
def test_the_end_of_a_run_has_at_most_six_lines_and_the_next_step_last(
    number: int, error: MarketPhotosError | None
) -> None:
    found = report()
    for n, store in enumerate(many(number)):
        store.error = error and StoreRefused(f"{error.message} {n}", error.hint)
        store.exit_code = KEY if error else OK
        found.stores.append(store)
    lines = summary(found)
    assert len(lines) <= 6
    assert lines[-1].startswith("Next: ")
    assert lines[-2] == "NOT COMPLETE after 12 s: the key is refused (exit 4)."
    assert "photos fetched" in lines[0]


def test_a_complete_run_needs_no_next_step() -> None:
    assert summary(Report(many(1000), 2.0)) == [
        "1,000 stores: 0 returns listed; 0 photos fetched (0 bytes), 1,000 already here.",
        "Complete in 2.0 s.",
    ]


def test_failures_are_told_by_their_reasons() -> None:
    (line,) = [line for line in summary(report()) if "failed: " in line]
    assert line == "12 photos failed: HTTP 500 (for example photo 0)."


def test_a_dry_run_says_what_it_would_do() -> None:
    store = StoreReport(101, "shop", Counters(returns=1), {State.ARCHIVED: Tally(1)}, would_fetch=62)
    assert summary(Report([store], 0.1, hours_at_quota=0.0)) == [
        "Store 101 shop: 1 return listed; 1 photo here, 62 lacking.",
        "A dry run: 62 photos would be fetched with as many requests, which the quota allows at once. "
        "Nothing was fetched.",
        "Next: the same command without --dry-run downloads them.",
    ]


def test_a_planned_stop_is_not_called_an_error() -> None:
    store = StoreReport(101, tally={State.PENDING: Tally(40)}, exit_code=LIMIT)
    assert summary(Report([store], 60.0))[-2:] == [
        "Stopped after 1 min 00 s by a limit of this run, 40 photos pending (exit 7).",
        "Next: run the same command again; it goes on where it stopped.",
    ]
