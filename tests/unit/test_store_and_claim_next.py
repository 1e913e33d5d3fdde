"""One transaction for each photo records its row, the claim of the next photo, and the request of that one."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.errors import CatalogUnusable
from market_photos.market.limits import RECORDED_SECONDS, Limits, Recorded
from market_photos.market.quota import Quota
from market_photos.market.slots import Slots
from market_photos.model import ReturnRef
from market_photos.reporting.report import Counters
from market_photos.sync.ledger import RequestLedger
from tests import virtual
from tests.unit.worlds import CAMPAIGN, STORED, ToldClock, a_return


def filled(folder: Path, clock: ToldClock, returns: int = 2) -> Catalog:
    catalog = Catalog(folder, CAMPAIGN, clock)
    catalog.returns.record_page([a_return(number, "a") for number in range(1, returns + 1)])
    return catalog


def test_storing_a_photo_claims_the_next_and_records_its_request(tmp_path: Path) -> None:
    """The photo is archived, the next one is claimed by nobody else, its request is on record for another process."""
    with filled(tmp_path, ToldClock()) as catalog:
        pending = catalog.photos.tally()[State.PENDING].photos
        first = catalog.photos.claim()
        assert first
        following = catalog.store_and_claim_next(first, STORED)
        assert following
        assert following.row != first.row
        assert catalog.photos.tally()[State.PENDING].photos == pending - 1
        with Catalog(tmp_path, CAMPAIGN, ToldClock(), read_only=True) as reader:
            assert [request.method for request in reader.requests.past_requests()] == ["photo"]
            assert [claim.row for claim in reader.photos.unfinished()] == [following.row]
        assert catalog.returns.unsaved_record(first.return_row)
        catalog.store_and_claim_next(following, STORED, is_record_saved=True)
        assert catalog.returns.unsaved_record(following.return_row) is None


def test_storing_the_last_photo_claims_none(tmp_path: Path) -> None:
    with filled(tmp_path, ToldClock(), returns=1) as catalog:
        while claim := catalog.photos.claim():
            assert catalog.store_and_claim_next(claim, STORED, ReturnRef(1, 1)) is None
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
            catalog.store_and_claim_next(claim, STORED)
        other.execute("ALTER TABLE requests RENAME COLUMN elsewhere TO sent")
        other.close()
        assert catalog.photos.tally() == before


@pytest.mark.parametrize(
    ("waits", "is_sent", "sent_at"),
    [
        (0, True, [0.0]),
        (RECORDED_SECONDS - 0.1, True, [0.0]),
        (RECORDED_SECONDS + 0.1, True, [RECORDED_SECONDS + 0.1]),  # a restart must not believe it older than it is
        (3 * 3600, True, [3 * 3600.0]),
        (0, False, []),
    ],
)
def test_a_request_recorded_in_advance_is_sent_recorded_anew_or_withdrawn(
    tmp_path: Path, waits: float, is_sent: bool, sent_at: list[float]
) -> None:
    """Each request that is sent has one record, which is not older than it."""
    clock = ToldClock()
    began = clock.now().uptime

    async def scenario(catalog: Catalog) -> None:
        ledger = RequestLedger(catalog, clock, Counters())
        limits = Limits(Slots(1), {"photo": Quota(10, 3600)}, ledger)
        claim = catalog.photos.claim()
        assert claim
        following = catalog.store_and_claim_next(claim, STORED)
        assert following
        recorded = Recorded(following.request, asyncio.get_running_loop().time())
        await asyncio.sleep(waits)
        clock.pass_time(waits)
        async with limits.admission("photo", following.row, recorded) as admission:
            if is_sent:
                with pytest.raises(OSError, match="on purpose"):
                    await admission(cast(Any, None), _fail)

    with filled(tmp_path, clock) as catalog:
        virtual.run(scenario(catalog))
        catalog.requests.flush()
        sent = [request.sent.uptime - began for request in catalog.requests.past_requests()]
        assert sent == pytest.approx(sent_at)


async def _fail(_: Any) -> Any:
    raise OSError("on purpose")
