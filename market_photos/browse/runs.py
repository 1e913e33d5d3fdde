"""Read the last runs and the state of every store from catalogues and indexes. Everything here blocks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from market_photos.archive import layout, lock
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import State
from market_photos.browse import index
from market_photos.browse.stores import Stores, collect_troubles
from market_photos.clock import Clock, age, moscow_day
from market_photos.model import PhotoKey
from market_photos.settings import Limits

SHOWN_RUNS = 8
SHOWN_FAILURES = 5
#: The chart of reasons covers returns created in this many days.
REASON_DAYS = 30


@dataclass(frozen=True)
class PastRun:
    command: str
    began: int
    ended: int | None
    exit_code: int | None
    downloaded: int
    failed: int
    pending: int
    error: str


@dataclass
class StoreRuns:
    campaign: int
    name: str = ""
    trouble: str = ""
    tally: dict[str, int] = field(default_factory=dict)
    runs: Sequence[PastRun] = ()
    at_work: str = ""
    watermark: int | None = None
    quota: int = 0
    quota_left: int = 0
    seconds_left: float = 0.0
    failures: Sequence[tuple[PhotoKey, str, int, int]] = ()
    given_up: int = 0

    @property
    def pending(self) -> int:
        return self.tally.get(State.PENDING, 0)


@dataclass
class Overview:
    stores: list[StoreRuns]
    fetched: dict[int, int]
    """Photos archived, by days since 1970 in Moscow."""
    reasons: dict[str, int]
    today: int


def overview(stores: Stores, limits: Limits, clock: Clock) -> Overview:
    """Return the state of every store. A store that cannot be read has its `trouble` set."""
    found = [_of_store(stores, campaign, limits, clock) for campaign in stores.campaigns()]
    today = moscow_day(clock.now().wall)
    fetched: Counter[int] = Counter()
    reasons: Counter[str] = Counter()
    for campaign in stores.campaigns():
        with collect_troubles({}, campaign), stores.index(campaign) as connection:
            if connection is not None:
                fetched.update(dict(index.get_meta(connection, "fetched", [])))
                reasons.update(index.values_since(connection, "r", today - REASON_DAYS + 1))
    return Overview(found, dict(fetched), dict(reasons), today)


def _of_store(stores: Stores, campaign: int, limits: Limits, clock: Clock) -> StoreRuns:
    troubles: dict[int, str] = {}
    found = StoreRuns(campaign)
    with (
        collect_troubles(troubles, campaign),
        Catalog(stores.folder(campaign), campaign, clock, read_only=True) as catalog,
    ):
        _read(found, catalog, limits)
    found.at_work = lock.held_by(stores.folder(campaign) / layout.LOCK_NAME) or ""
    found.trouble = troubles.get(campaign, "")
    return found


def _read(found: StoreRuns, catalog: Catalog, limits: Limits) -> None:
    found.name = catalog.returns.meta("name") or ""
    found.watermark = catalog.returns.watermark()
    found.tally = {state.value: tally.photos for state, tally in catalog.photos.tally().items()}
    found.runs = [
        _run(one.command, one.started_at, one.ended_at, one.exit_code, one.summary)
        for one in catalog.runs.last(SHOWN_RUNS)
    ]
    found.failures = catalog.photos.failures(SHOWN_FAILURES)
    found.given_up = catalog.photos.given_up()
    now, period = catalog.now(), limits.period_seconds
    sent = [one for one in catalog.requests.past_requests() if one.method == "photo"]
    # For display only: an unanswered request counts from the time when it was sent.
    spent = sum(age(one.answered or one.sent, now) < period for one in sent)
    found.quota = limits.photo_requests
    found.quota_left = max(0, limits.photo_requests - spent)
    found.seconds_left = max(0, found.pending - found.quota_left) / limits.photo_requests * period


def _run(command: str, began: int, ended: int | None, code: int | None, summary: dict[str, Any]) -> PastRun:
    def count(name: str) -> int:
        value = summary.get(name)
        return value if isinstance(value, int) else 0

    error = summary.get("error")
    return PastRun(
        command,
        began,
        ended,
        None if code is None else int(code),
        count("downloaded"),
        count("failed"),
        count("pending"),
        error if isinstance(error, str) else "",
    )
