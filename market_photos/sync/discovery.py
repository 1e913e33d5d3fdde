"""Which stores a run visits."""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from random import Random
from typing import NamedTuple

from market_photos.clock import ServerClock
from market_photos.errors import KeyRefused
from market_photos.market.client import Client
from market_photos.market.limits import Limits
from market_photos.market.quota import Quota
from market_photos.market.records import Campaign, Page, parse_campaigns
from market_photos.market.refusals import Reaction, Refusal
from market_photos.market.requests import Endpoint, campaigns_request
from market_photos.market.retry import retrying
from market_photos.market.slots import Slots
from market_photos.sync.refused_photos import as_error
from market_photos.sync.shard import Shard

log = logging.getLogger(__name__)

#: Requests an hour for the list of stores, and for the key's scopes. Official.
CABINET_QUOTAS = {Endpoint.CAMPAIGNS: 1000, Endpoint.TOKEN: 100}
#: Pages of the list of stores at most: 100 000 stores.
MAX_PAGES = 1000
#: Stores that the message about a wrong number names.
SHOWN_STORES = 10
#: Further answers that are asked for where one Date contradicts another, or this machine's clock.
MAX_TIME_REQUESTS = 2


class Candidate(NamedTuple):
    """A store that the run may visit."""

    campaign: int
    name: str = ""
    refused: str = ""
    """Why it cannot be served; empty if it can."""
    is_listed: bool = True
    """Whether the API has named it; False if the list of stores could not be read."""

    @property
    def title(self) -> str:
        """The store's number and name, for people."""
        return f"store {self.campaign} {self.name}".strip()


class Discovered(NamedTuple):
    """The stores that were found."""

    candidates: list[Candidate]
    skipped: list[Candidate]
    """Stores that the key sees and that cannot be served; empty if the stores were named."""
    requests: int = 0
    """Requests that were sent for it."""

    def within(self, shard: Shard) -> "Discovered":
        """Return the stores of a shard."""
        candidates, skipped = ([one for one in found if one.campaign in shard] for found in self[:2])
        return Discovered(candidates, skipped, self.requests)


class Unrecorded:
    """A ledger that only counts: a run sends a handful of requests that concern no store."""

    def __init__(self) -> None:
        self.requests = 0

    async def sent(self, method: str, photo: int | None) -> int:
        """Count a request."""
        self.requests += 1
        return self.requests

    def answered(self, request_id: int) -> None:
        """Do nothing."""

    def withdrawn(self, request_id: int) -> None:
        """Count a request less."""
        self.requests -= 1


def cabinet_limits(rng: Random, ledger: Unrecorded | None = None) -> Limits:
    """Return the limits of requests that concern no store."""
    quotas: dict[str, Quota] = {method: Quota(amount, 3600) for method, amount in CABINET_QUOTAS.items()}
    return Limits(Slots(1, rng=rng), quotas, ledger or Unrecorded())


async def discover(client: Client, named: Iterable[int], clock: ServerClock, rng: Random) -> Discovered:
    """Return the named stores, or every store of the key that can be served.

    The answers set `clock`, by which a store's earlier requests count; while it is in doubt, one or two more requests
    are sent. Raises KeyRefused or ServerUnavailable. If the list of stores cannot be read, the named ones are
    returned all the same.
    """
    campaigns, ledger = sorted(set(named)), Unrecorded()
    limits = cabinet_limits(rng, ledger)
    is_whole = False
    try:
        stores, is_whole = await list_stores(client, limits, rng)
        seen = {store.id: store for store in stores}
    except Refusal as refusal:
        if not campaigns or refusal.reaction is Reaction.STOP_RUN:
            raise as_error(refusal, "the list of stores") from refusal
        log.warning("cannot get the list of stores: %s; using the configured stores", refusal)
        seen = {}
    await _settle_time(client, limits, clock)
    if campaigns:
        wanted = [_candidate(seen[campaign]) for campaign in campaigns if campaign in seen]
        wanted += [_unseen(campaign, seen if is_whole else None) for campaign in campaigns if campaign not in seen]
        return Discovered(sorted(wanted), [], ledger.requests)
    every = sorted(_candidate(store) for store in seen.values())
    open_stores = [candidate for candidate in every if not candidate.refused]
    return Discovered(open_stores, [candidate for candidate in every if candidate.refused], ledger.requests)


async def ask_time(client: Client, clock: ServerClock, rng: Random) -> int:
    """Set `clock` by the answer to one request, or a few while it is in doubt; return how many were sent.

    Raises KeyRefused. Another failure leaves the clock as it is, as for stores that are named.
    """
    ledger = Unrecorded()
    limits = cabinet_limits(rng, ledger)
    try:
        await retrying(partial(_read_page, client, limits, None), "the server's time", rng)
    except Refusal as refusal:
        if refusal.reaction is Reaction.STOP_RUN:
            raise as_error(refusal, "the list of stores") from refusal
        log.warning("cannot ask for the server's time: %s; using this machine's", refusal)
    await _settle_time(client, limits, clock)
    return ledger.requests


async def _settle_time(client: Client, limits: Limits, clock: ServerClock) -> None:
    """Request the list of stores again while the Date of its answers is in doubt, MAX_TIME_REQUESTS times at most."""
    for _ in range(MAX_TIME_REQUESTS):
        if not clock.is_in_doubt:
            return
        with suppress(Refusal):
            await client.read(campaigns_request(), limits.admission(Endpoint.CAMPAIGNS))


def _candidate(store: Campaign) -> Candidate:
    return Candidate(store.id, store.domain or "", store.why_skipped())


def _unseen(campaign: int, seen: Mapping[int, Campaign] | None) -> Candidate:
    """Return a store that is not among those `seen`; None if the list of stores could not be read."""
    if seen is None:
        return Candidate(campaign, is_listed=False)
    shown = [f"{store.id} {store.domain or ''}".strip() for store in seen.values()]
    names = ", ".join(shown[:SHOWN_STORES]) + f" and {len(shown) - SHOWN_STORES:,} more" * (len(shown) > SHOWN_STORES)
    return Candidate(campaign, refused=f"there is no such store for this key; it sees: {names or 'none'}")


def nothing_to_visit(skipped: list[Candidate]) -> KeyRefused:
    """Return the error of a run that found no store to visit."""
    if not skipped:
        return KeyRefused("The key sees no store.", "Give the key access to the stores in the seller's cabinet.")
    reasons = "; ".join(f"{candidate.title}: {candidate.refused}" for candidate in skipped)
    return KeyRefused(f"None of the stores that the key sees can be served: {reasons}.")


async def list_stores(client: Client, limits: Limits, rng: Random) -> tuple[list[Campaign], bool]:
    """Return every store that the key sees, and whether each of them could be read. Raises Refusal."""
    stores: list[Campaign] = []
    is_whole = True
    token: str | None = None
    for _ in range(MAX_PAGES):
        page = await retrying(partial(_read_page, client, limits, token), "the list of stores", rng)
        for problem in page.unreadable:
            log.warning("the list of stores: cannot be read: %s", problem)
        stores += page.rows
        is_whole = is_whole and not page.unreadable
        token = page.next_token
        if token is None:
            return stores, is_whole
    raise Refusal(Reaction.RETRY, "the list of stores goes in circles")


async def _read_page(client: Client, limits: Limits, token: str | None) -> Page[Campaign]:
    return parse_campaigns(await client.read(campaigns_request(token), limits.admission(Endpoint.CAMPAIGNS)))
