"""One transaction a photo: its row, the claim of the next and that one's request stand or fall together."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.archive.catalog.returns import PackedPage
from market_photos.errors import CatalogUnusable
from market_photos.reporting.report import Counters
from market_photos.sync.store import RESERVED_SECONDS, CatalogLedger
from tests.unit.worlds import CAMPAIGN, STORED, ToldClock, a_return


def filled(folder: Path, clock: ToldClock, returns: int = 2) -> Catalog:
    catalog = Catalog(folder, CAMPAIGN, clock)
    catalog.returns.record_page(PackedPage([a_return(number, "a") for number in range(1, returns + 1)]))
    return catalog


def test_storing_a_photo_claims_the_next_and_records_its_request(tmp_path: Path) -> None:
    """The photo is archived, the next one is claimed by nobody else, its request is on record for another process."""
    with filled(tmp_path, ToldClock()) as catalog:
        pending = catalog.photos.tally()[State.PENDING].photos
        first = catalog.photos.claim()
        assert first
        turn = catalog.turn(first, STORED, "photo")
        assert turn.claim
        assert turn.claim.row != first.row
        assert catalog.photos.tally()[State.PENDING].photos == pending - 1
        with Catalog(tmp_path, CAMPAIGN, ToldClock(), read_only=True) as reader:
            assert [request.method for request in reader.requests.past_requests()] == ["photo"]
            assert [claim.row for claim in reader.photos.unfinished()] == [turn.claim.row]
        assert catalog.returns.unsaved_record(first.return_row)
        catalog.turn(turn.claim, STORED, "photo", has_record=True)
        assert catalog.returns.unsaved_record(turn.claim.return_row) is None


def test_storing_the_last_photo_claims_none(tmp_path: Path) -> None:
    with filled(tmp_path, ToldClock(), returns=1) as catalog:
        while claim := catalog.photos.claim():
            last = catalog.turn(claim, STORED, "photo", only=(1, 1))
        assert (last.claim, last.request) == (None, 0)
        assert catalog.requests.past_requests() == []


def test_a_failed_transaction_changes_nothing(tmp_path: Path) -> None:
    """A request that cannot be recorded leaves the photo pending."""
    with filled(tmp_path, ToldClock()) as catalog:
        claim = catalog.photos.claim()
        assert claim
        before = catalog.photos.tally()
        other = sqlite3.connect(catalog.path, isolation_level=None)
        other.execute("ALTER TABLE requests RENAME COLUMN sent TO elsewhere")
        with pytest.raises(CatalogUnusable):
            catalog.turn(claim, STORED, "photo")
        other.execute("ALTER TABLE requests RENAME COLUMN elsewhere TO sent")
        other.close()
        assert catalog.photos.tally() == before


@pytest.mark.parametrize(
    ("waits", "given_back", "sent_at"),
    [
        (0, False, [0.0]),
        (RESERVED_SECONDS - 0.1, False, [0.0]),
        (RESERVED_SECONDS + 0.1, False, [RESERVED_SECONDS + 0.1]),  # a restart must not believe it older than it is
        (3 * 3600, False, [3 * 3600.0]),
        (0, True, []),
    ],
)
def test_a_request_recorded_in_advance_is_sent_renewed_or_taken_back(
    tmp_path: Path, waits: float, given_back: bool, sent_at: list[float]
) -> None:
    """It is sent soon, or its record is renewed, or taken back: one request on record for each that is sent."""
    clock = ToldClock()
    began = clock.now().uptime
    with filled(tmp_path, clock) as catalog:
        ledger = CatalogLedger(catalog, clock, Counters(), period=3600)
        claim = catalog.photos.claim()
        assert claim
        turn = catalog.turn(claim, STORED, "photo")
        assert turn.claim
        ledger.reserve("photo", turn.claim.row, turn.request)
        clock.pass_time(waits)
        if given_back:
            ledger.give_back("photo", turn.claim.row)
        else:
            asyncio.run(ledger.sent("photo", turn.claim.row))
        catalog.requests.flush()
        sent = [request.sent.uptime - began for request in catalog.requests.past_requests()]
        assert sent == pytest.approx(sent_at)
