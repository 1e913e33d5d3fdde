"""Which stores a run is to visit."""

import logging
from collections.abc import Iterable
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

log = logging.getLogger(__name__)

#: Requests an hour for the list of stores, and for the key's scopes. Official.
CABINET_QUOTAS = {Endpoint.CAMPAIGNS: 1000, Endpoint.TOKEN: 100}
#: Pages of stores after which something is wrong: 100 000 stores.
MAX_PAGES = 1000
#: Further answers that are asked for where one Date contradicts another, or this machine's clock.
MAX_TIME_REQUESTS = 2


class Candidate(NamedTuple):
    campaign: int
    name: str = ""
    refused: str = ""
    """Why it cannot be served; empty where it can."""

    @property
    def title(self) -> str:
        return f"store {self.campaign} {self.name}".strip()


class Discovered(NamedTuple):
    candidates: list[Candidate]
    skipped: list[Candidate]
    """Stores that the key sees and that cannot be served; empty where the stores were named."""
    requests: int = 0
    """How many it took to find out."""


class Unrecorded:
    """A ledger for the cabinet's own requests: a handful a run, never near their quota, so they are only counted."""

    def __init__(self) -> None:
        self.requests = 0

    async def sent(self, method: str, photo: int | None) -> int:
        self.requests += 1
        return self.requests

    def answered(self, request_id: int) -> None:
        pass

    def withdrawn(self, request_id: int) -> None:
        self.requests -= 1


def cabinet_limits(rng: Random, ledger: Unrecorded | None = None) -> Limits:
    """For requests that concern no store."""
    quotas: dict[str, Quota] = {method: Quota(amount, 3600) for method, amount in CABINET_QUOTAS.items()}
    return Limits(Slots(1, rng=rng), quotas, ledger or Unrecorded())


async def discover(client: Client, named: Iterable[int], clock: ServerClock, rng: Random) -> Discovered:
    """Return the stores that were named, or every store the key sees that has photos and an open API, if any.

    The answers tell `clock` the time, by which a store's earlier requests count: where it is in doubt, one or two
    more are asked for. Raises KeyRefused or ServerUnavailable. Named stores are visited even where the list of stores
    cannot be had: it would only tell their names and which of them are closed.
    """
    wanted, ledger = sorted(set(named)), Unrecorded()
    limits = cabinet_limits(rng, ledger)
    try:
        seen = {store.id: store for store in await list_stores(client, limits, rng)}
    except Refusal as refusal:
        if not wanted or refusal.reaction is Reaction.STOP_RUN:
            raise as_error(refusal, "the list of stores") from refusal
        log.warning("cannot get the list of stores: %s; going on with the configured ones", refusal)
        seen = {}
    await _settle_time(client, limits, clock)
    if wanted:
        return Discovered([_candidate(campaign, seen.get(campaign)) for campaign in wanted], [], ledger.requests)
    every = sorted(_candidate(store.id, store) for store in seen.values())
    open_stores = [candidate for candidate in every if not candidate.refused]
    return Discovered(open_stores, [candidate for candidate in every if candidate.refused], ledger.requests)


async def _settle_time(client: Client, limits: Limits, clock: ServerClock) -> None:
    """Ask for the list of stores again until its Date is beyond doubt; what is then still in doubt stays unknown."""
    for _ in range(MAX_TIME_REQUESTS):
        if not clock.is_in_doubt:
            return
        with suppress(Refusal):
            await client.read(campaigns_request(), limits.admission)


def _candidate(campaign: int, store: Campaign | None) -> Candidate:
    if store is None:
        return Candidate(campaign)
    return Candidate(campaign, store.domain or "", store.why_skipped())


def nothing_to_visit(skipped: list[Candidate]) -> KeyRefused:
    """Return the error of a run that found no store to visit."""
    if not skipped:
        return KeyRefused("The key sees no store.", "Give the key access to the stores in the seller's cabinet.")
    reasons = "; ".join(f"{candidate.title}: {candidate.refused}" for candidate in skipped)
    return KeyRefused(f"None of the stores that the key sees can be served: {reasons}.")


async def list_stores(client: Client, limits: Limits, rng: Random) -> list[Campaign]:
    """Every store the key sees. Raises Refusal."""
    stores: list[Campaign] = []
    token: str | None = None
    for _ in range(MAX_PAGES):
        page = await retrying(partial(_read_page, client, limits, token), "the list of stores", rng)
        for problem in page.unreadable:
            log.warning("the list of stores: cannot be read: %s", problem)
        stores += page.rows
        token = page.next_token
        if token is None:
            return stores
    raise Refusal(Reaction.RETRY, "the list of stores goes in circles")


async def _read_page(client: Client, limits: Limits, token: str | None) -> Page[Campaign]:
    return parse_campaigns(await client.read(campaigns_request(token), limits.admission))
