"""In the catalogue, the states add up to discovered, no record is lost, and no photo is given out twice."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import MAX_FAILURES, RECHECK_GONE_AFTER, Claim, State, Tally, pause_after
from market_photos.model import PhotoKey, Return, ReturnRef
from tests.unit.worlds import CAMPAIGN, STORED, ToldClock, a_return, python

HOUR = 3600


@pytest.fixture
def clock() -> ToldClock:
    return ToldClock()


@pytest.fixture
def catalog(tmp_path: Path, clock: ToldClock) -> Iterator[Catalog]:
    with Catalog(tmp_path, CAMPAIGN, clock) as opened:
        yield opened


def claimed(catalog: Catalog) -> Claim:
    claim = catalog.photos.claim()
    assert claim is not None
    return claim


def drained(catalog: Catalog, only: ReturnRef | None = None) -> list[str]:
    claims = iter(lambda: catalog.photos.claim(only), None)
    return [claim.key.image_hash for claim in claims]


def states(catalog: Catalog) -> dict[str, int]:
    return {state.value: tally.photos for state, tally in catalog.photos.tally().items() if tally.photos}


def test_a_page_is_counted_once(catalog: Catalog) -> None:
    """A return on two pages, a photo named twice and a repeated page do not count twice."""
    first = [a_return(1, "a", "b"), a_return(2), a_return(1, "a", "b"), a_return(1, "a", order=2)]
    assert catalog.returns.record_page(first)[:2] == (3, 3)
    assert catalog.returns.record_page(first)[:2] == (0, 0)
    assert catalog.returns.record_page([])[:2] == (0, 0)
    assert catalog.returns.record_page([a_return(1, "a", "c"), a_return(2, "late")])[:2] == (0, 2)
    assert states(catalog) == {"pending": 5}


def test_a_return_that_moves_between_pages_is_noticed(catalog: Catalog) -> None:
    """Within one listing; the next listing brings every return again, and that is no sign of anything."""
    listed = [catalog.returns.record_page([a_return(1, "a")], listing).repeated for listing in (7, 7, 8, 8)]
    assert listed == [0, 1, 0, 1]


def test_hashes_that_differ_in_case_are_two_photos(catalog: Catalog) -> None:
    """Text is compared as it is, odd text as well."""
    odd = ["abc", "ABC", "a/b", "a\0b", "é", "e\u0301", "ж" * 300, "..", " "]
    assert catalog.returns.record_page([a_return(1, *odd)]).photos == len(odd)
    assert sorted(drained(catalog)) == sorted(odd)


def test_the_newest_return_comes_first(catalog: Catalog) -> None:
    """Tonight's photos before an old backlog, whichever were listed first; within a return in its order."""
    catalog.returns.record_page([a_return(1, "old", created_at=10), a_return(2, "new1", "new2", created_at=30)])
    assert claimed(catalog).key.image_hash == "new1"
    catalog.returns.record_page([a_return(3, "newest", created_at=40), a_return(4, "none", created_at=0)])
    assert drained(catalog) == ["newest", "new2", "old", "none"]


def test_photos_that_failed_earlier_come_after_those_never_tried(catalog: Catalog) -> None:
    """Order pending photos by fewest failures, then newest return; shelved ones wait for the next run."""
    catalog.returns.record_page([a_return(number, f"{number}", created_at=number) for number in (3, 4, 5)])
    for _ in range(2):
        catalog.photos.record_failed(claimed(catalog), "503")
        catalog.photos.requeue()
    catalog.returns.record_page([a_return(row, f"{row}", created_at=row) for row in (1, 2)])
    assert drained(catalog) == ["3", "2", "1", "5", "4"]
    assert catalog.photos.shelve() == 2
    assert states(catalog) == {"pending": 3, "failed": 2}


def test_claims_can_begin_with_the_oldest_photo_never_tried(catalog: Catalog) -> None:
    """When none of these is left, the order of the queue applies."""
    catalog.returns.record_page([a_return(number, f"{number}", created_at=number) for number in (1, 2, 3)])
    catalog.photos.record_failed(claimed(catalog), "503")
    catalog.photos.requeue()
    found = [catalog.photos.claim(oldest=True) for _ in range(4)]
    assert [claim and (claim.key.image_hash, claim.failures) for claim in found] == [
        ("1", 0),
        ("2", 0),
        ("3", 1),
        None,
    ]


def test_a_claim_carries_all_that_a_worker_needs_and_can_be_released(catalog: Catalog) -> None:
    """A released claim can be given again, also by the next process."""
    catalog.returns.record_page([a_return(5, "a", order=6)])
    claim = claimed(catalog)
    assert claim.key == PhotoKey(CAMPAIGN, 6, 5, 10, "a")
    assert claim.month == "2026-01"
    assert catalog.photos.claim() is None
    catalog.photos.release(claim)
    assert catalog.photos.claim() == claim


def test_a_claim_ends_with_the_process(tmp_path: Path, clock: ToldClock) -> None:
    """A claimed photo is still pending for the next run."""
    with Catalog(tmp_path, CAMPAIGN, clock) as catalog:
        catalog.returns.record_page([a_return(1, "a")])
        claim = claimed(catalog)
    with Catalog(tmp_path, CAMPAIGN, clock) as catalog:
        assert claimed(catalog) == claim


def test_claims_can_be_limited_to_one_return(catalog: Catalog) -> None:
    """`fetch` claims only these photos; the same return id in another order is another return."""
    catalog.returns.record_page([a_return(1, "a", "b"), a_return(2, "c", created_at=9), a_return(1, "d", order=2)])
    assert drained(catalog, ReturnRef(1, 1)) == ["a", "b"]
    assert catalog.photos.tally(ReturnRef(1, 1))[State.PENDING].photos == 2
    assert catalog.photos.tally(ReturnRef(9, 9))[State.PENDING].photos == 0
    assert drained(catalog) == ["c", "d"]


def test_each_photo_is_counted_in_exactly_one_state(catalog: Catalog, clock: ToldClock) -> None:
    """Bytes count archived photos, and failures have their reason."""
    catalog.returns.record_page([a_return(1, "a", "b", "c", "d")])
    catalog.photos.record_archived(claimed(catalog), STORED)
    catalog.photos.record_gone(claimed(catalog), "HTTP 404")
    catalog.photos.record_failed(claimed(catalog), "HTTP 502")
    assert catalog.photos.tally() == {
        State.PENDING: Tally(1, 0),
        State.ARCHIVED: Tally(1, 1000),
        State.GONE: Tally(1, 0),
        State.FAILED: Tally(1, 0),
        State.PRUNED: Tally(0, 0),
    }
    assert catalog.photos.failures(10) == [(PhotoKey(CAMPAIGN, 1, 1, 10, "c"), "HTTP 502", 1, int(clock.wall))]
    assert catalog.photos.failures(0) == []
    assert drained(catalog) == ["d"]


def test_an_archived_photo_is_never_asked_for_again(catalog: Catalog) -> None:
    """Not after another listing, not after any requeue."""
    catalog.returns.record_page([a_return(1, "a")])
    catalog.photos.record_archived(claimed(catalog), STORED)
    catalog.returns.record_page([a_return(1, "a", note="changed")])
    assert catalog.photos.requeue(everything=True) == catalog.photos.requeue(only=ReturnRef(1, 1)) == 0
    assert catalog.photos.claim() is None


@pytest.mark.parametrize(
    ("failures", "hours"), [(1, 0), (2, 0), (3, 0), (4, 1), (5, 2), (6, 4), (7, 8), (8, 12), (9, 12), (1000, 12)]
)
def test_pauses_let_a_nightly_run_try_every_night(failures: int, hours: int) -> None:
    assert pause_after(failures) == hours * HOUR


def test_a_failed_photo_is_tried_in_ten_runs(catalog: Catalog, clock: ToldClock) -> None:
    """It waits for the end of its pause; after ten runs only `--full` or `fetch` requests it."""
    catalog.returns.record_page([a_return(1, "a")])
    for failures in range(1, MAX_FAILURES + 1):
        catalog.photos.record_failed(claimed(catalog), "HTTP 502")
        pause = pause_after(failures)
        if pause:
            clock.pass_time(pause - 1)
            assert catalog.photos.requeue() == 0
            clock.pass_time(1)
        assert catalog.photos.given_up() == (failures == MAX_FAILURES)
        assert catalog.photos.requeue() == (failures < MAX_FAILURES)
    clock.pass_time(365 * 24 * HOUR)
    assert catalog.photos.requeue() == 0
    assert catalog.photos.requeue(everything=True) == 1
    catalog.photos.record_archived(claimed(catalog), STORED)
    assert catalog.photos.given_up() == 0


def test_a_return_fetched_by_name_waits_for_no_pause(catalog: Catalog) -> None:
    """And no other return is touched."""
    catalog.returns.record_page([a_return(1, "a"), a_return(2, "b")])
    for _ in range(5):
        catalog.photos.record_failed(claimed(catalog), "x")
        catalog.photos.record_failed(claimed(catalog), "x")
        catalog.photos.requeue(everything=True)
    catalog.photos.record_failed(claimed(catalog), "x")
    catalog.photos.record_failed(claimed(catalog), "x")
    assert catalog.photos.requeue() == 0
    assert catalog.photos.requeue(only=ReturnRef(1, 2)) == 1
    assert drained(catalog) == ["b"]


def test_a_gone_photo_is_asked_for_again_after_thirty_days(catalog: Catalog, clock: ToldClock) -> None:
    """Only `--full` requests it."""
    catalog.returns.record_page([a_return(1, "a")])
    catalog.photos.record_gone(claimed(catalog), "HTTP 404")
    clock.pass_time(RECHECK_GONE_AFTER - 1)
    assert catalog.photos.requeue(everything=True) == 0
    clock.pass_time(1)
    assert catalog.photos.requeue() == 0
    assert catalog.photos.requeue(everything=True) == 1
    catalog.photos.record_gone(claimed(catalog), "HTTP 404")
    assert catalog.photos.requeue(everything=True) == 0


def test_a_record_is_due_when_its_return_has_a_photo_or_has_changed(catalog: Catalog) -> None:
    """return.json is due when a photo is archived, and again when the record has changed; the folder never moves."""
    catalog.returns.record_page([a_return(1, "a", note="\ud800 ж"), a_return(2)])
    claim = claimed(catalog)
    assert catalog.returns.outdated_records(10) == []
    catalog.photos.record_archived(claim, STORED)
    assert catalog.returns.outdated_records(10) == [(claim.return_row, "2026-01", ReturnRef(1, 1))]
    assert catalog.returns.unsaved_record(claim.return_row) == {"id": 1, "orderId": 1, "note": "\ud800 ж"}
    catalog.returns.record_saved(claim.return_row)
    assert catalog.returns.outdated_records(10) == []
    assert catalog.returns.unsaved_record(claim.return_row) is None
    catalog.returns.record_page([a_return(1, "a", note="\ud800 ж")])
    assert catalog.returns.outdated_records(10) == []
    later = Return(CAMPAIGN, 1, 1, "2027-09-09", 5, "", {"id": 1, "new": True}, ())
    catalog.returns.record_page([later])
    assert catalog.returns.outdated_records(10) == []  # without photos a record is not kept
    catalog.returns.record_page([a_return(1, "a", note="other")])
    assert catalog.returns.outdated_records(10) == [(claim.return_row, "2026-01", ReturnRef(1, 1))]


def test_watermark_and_finished_windows_outlive_the_process(tmp_path: Path, clock: ToldClock) -> None:
    with Catalog(tmp_path, CAMPAIGN, clock) as catalog:
        assert catalog.returns.watermark() is None
        assert catalog.returns.finished_windows() == set()
        catalog.returns.move_watermark(1000.9)
        catalog.returns.finish_window("2024-01-01", "2024-01-31")
        catalog.returns.finish_window("2024-01-01", "2024-01-31")
        catalog.returns.set_meta("k", "v")
    with Catalog(tmp_path, CAMPAIGN, clock) as catalog:
        assert catalog.returns.watermark() == 1000
        assert catalog.returns.finished_windows() == {("2024-01-01", "2024-01-31")}
        assert (catalog.returns.meta("k"), catalog.returns.meta("none")) == ("v", None)
        catalog.returns.move_watermark(0)
        assert catalog.returns.watermark() == 0


def test_a_page_is_recorded_whole_or_not_at_all(catalog: Catalog) -> None:
    """What cannot be stored leaves nothing of its page behind, and the next page is recorded."""
    too_great = Return(CAMPAIGN, 1, 2**63, "", 0, "", {}, ())
    with pytest.raises(OverflowError):
        catalog.returns.record_page([a_return(1, "a"), too_great])
    assert states(catalog) == {}
    assert catalog.returns.record_page([a_return(1, "a")])[:2] == (1, 1)


def test_photos_asked_for_but_not_archived_are_listed_once_for_sweeping(catalog: Catalog) -> None:
    catalog.returns.record_page([a_return(1, "archived", "gone", "asked twice", "not asked")])
    for _ in range(3):
        claim = claimed(catalog)
        catalog.requests.sent("photo", claim.row)
        catalog.requests.sent("photo", claim.row)
        if claim.key.image_hash == "archived":
            catalog.photos.record_archived(claim, STORED)
        if claim.key.image_hash == "gone":
            catalog.photos.record_gone(claim, "x")
    catalog.requests.sent("returns", None)
    assert [claim.key.image_hash for claim in catalog.photos.unfinished()] == ["gone", "asked twice"]


async def test_concurrent_tasks_claim_each_photo_once(catalog: Catalog) -> None:
    """Any number of tasks at once: each photo is given out once, and what they record adds up."""
    catalog.returns.record_page([a_return(n, *(f"h{m}" for m in range(20)), created_at=n) for n in range(10)])
    seen: list[int] = []

    async def work() -> None:
        while claim := await catalog.do(catalog.photos.claim):
            seen.append(claim.row)
            await catalog.do(catalog.photos.record_archived, claim, STORED)

    await asyncio.gather(*(work() for _ in range(8)))
    assert sorted(seen) == list(range(1, 201))
    assert states(catalog) == {"archived": 200}


WORK = """
import sys
from pathlib import Path
from market_photos.archive.catalog.catalog import Catalog
from tests.unit.worlds import CAMPAIGN, STORED, ToldClock, a_return
catalog = Catalog(Path(sys.argv[1]), CAMPAIGN, ToldClock())
first = int(sys.argv[2])
for n in range(first, first + 100_000):
    catalog.returns.record_page([a_return(n, "a", "b", created_at=n)])
    print("page", n)
    claim = catalog.photos.claim()
    print("request", catalog.requests.sent("photo", claim.row))
    catalog.photos.record_archived(claim, STORED)
    print("archived", claim.row)
"""


@pytest.mark.parametrize("lines", [1, 2, 3, 50, 101, 300])
def test_kill_9_loses_nothing_that_was_recorded(tmp_path: Path, lines: int) -> None:
    """After two kills within transactions, every confirmed record is there, and the counts add up."""
    told: list[tuple[str, int]] = []
    for first in (0, 1_000_000):
        with python(WORK, tmp_path, first) as run:
            assert run.stdout is not None
            for _ in range(lines):
                run.stdout.readline()
            run.kill()
            told += [(line.split()[0], int(line.split()[1])) for line in run.stdout if line.endswith("\n")]
    with Catalog(tmp_path, CAMPAIGN, ToldClock(), read_only=True) as reader:
        assert sum(states(reader).values()) > 0  # readable without the rights to repair
    with Catalog(tmp_path, CAMPAIGN, ToldClock()) as catalog:
        found = states(catalog)
        pages = sum(found.values()) / 2
        archived = found.get("archived", 0)
        requests = len(catalog.requests.past_requests())
        assert pages >= sum(kind == "page" for kind, _ in told)
        assert archived >= sum(kind == "archived" for kind, _ in told)
        assert pages >= requests >= archived
        assert pages - archived <= 2  # one for each kill
        assert len(catalog.photos.unfinished()) == requests - archived


class Accounting(RuleBasedStateMachine):
    """After any sequence of steps the counts equal those of a plain model, and no photo has two workers."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.clock = ToldClock()
        self.catalog = Catalog(Path(self.folder.name), CAMPAIGN, self.clock)
        self.model: dict[tuple[int, str], str] = {}
        self.failures: Counter[tuple[int, str]] = Counter()
        self.at_work: list[Claim] = []

    def end(self, place: int, state: str) -> Claim:
        claim = self.at_work.pop(place % len(self.at_work))
        self.model[claim.key.return_id, claim.key.image_hash] = state
        return claim

    @rule(number=st.integers(1, 4), hashes=st.lists(st.sampled_from("abcA"), max_size=4, unique=True))
    def page(self, number: int, hashes: list[str]) -> None:
        new = {(number, image_hash) for image_hash in hashes} - self.model.keys()
        assert self.catalog.returns.record_page([a_return(number, *hashes, created_at=number)]).photos == len(new)
        self.model.update(dict.fromkeys(new, "pending"))

    @rule(number=st.none() | st.integers(1, 4))
    def claim(self, number: int | None) -> None:
        claim = self.catalog.photos.claim(None if number is None else ReturnRef(1, number))
        busy = {(taken.key.return_id, taken.key.image_hash) for taken in self.at_work}
        free = {
            key: state
            for key, state in self.model.items()
            if state == "pending" and key not in busy and number in {None, key[0]}
        }
        assert (claim is None) == (not free)
        if claim is not None:
            key = claim.key.return_id, claim.key.image_hash
            assert key in free
            if number is None:
                assert (self.failures[key], -key[0]) == min((self.failures[other], -other[0]) for other in free)
            self.at_work.append(claim)

    @precondition(lambda self: self.at_work)
    @rule(place=st.integers(0, 9))
    def archived(self, place: int) -> None:
        self.catalog.photos.record_archived(self.end(place, "archived"), STORED)

    @precondition(lambda self: self.at_work)
    @rule(place=st.integers(0, 9))
    def gone(self, place: int) -> None:
        self.catalog.photos.record_gone(self.end(place, "gone"), "HTTP 404")

    @precondition(lambda self: self.at_work)
    @rule(place=st.integers(0, 9))
    def failed(self, place: int) -> None:
        claim = self.end(place, "failed")
        self.failures[claim.key.return_id, claim.key.image_hash] += 1
        self.catalog.photos.record_failed(claim, "HTTP 502")

    @precondition(lambda self: self.at_work)
    @rule(place=st.integers(0, 9))
    def released(self, place: int) -> None:
        self.catalog.photos.release(self.end(place, "pending"))

    @rule(everything=st.booleans())
    def requeue(self, everything: bool) -> None:
        self.clock.pass_time(RECHECK_GONE_AFTER)
        back = {"failed", "gone"} if everything else {"failed"}
        due = [key for key, state in self.model.items() if state in back]
        if everything or self.catalog.photos.given_up() == 0:
            assert self.catalog.photos.requeue(everything=everything) == len(due)
            self.model.update(dict.fromkeys(due, "pending"))

    @rule()
    def killed(self) -> None:
        self.catalog.close()
        self.catalog = Catalog(Path(self.folder.name), CAMPAIGN, self.clock)
        self.at_work.clear()

    @invariant()
    def adds_up(self) -> None:
        expected = {state.value: list(self.model.values()).count(state.value) for state in State}
        assert {state.value: tally.photos for state, tally in self.catalog.photos.tally().items()} == expected

    def teardown(self) -> None:
        self.catalog.close()
        self.folder.cleanup()


TestAccounting = Accounting.TestCase
TestAccounting.settings = settings(max_examples=20, stateful_step_count=30)
