"""The requests of one store, on record in its catalogue, and the limits that a run restores from them."""

import logging
from random import Random

from market_photos import failpoints
from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.place import TAKEN_OVER
from market_photos.clock import Clock, age
from market_photos.market.limits import RECORDED_SECONDS, Limits
from market_photos.market.quota import TRANSIT, Quota, token_ages
from market_photos.market.requests import Endpoint, quotas
from market_photos.market.slots import Slots
from market_photos.reporting.report import Counters
from market_photos.settings import Limits as LimitSettings

log = logging.getLogger(__name__)


class RequestLedger:
    """Records requests in the store's catalogue and counts them."""

    def __init__(self, catalog: Catalog, clock: Clock, counters: Counters) -> None:
        self._catalog = catalog
        self._clock = clock
        self._counters = counters

    async def sent(self, method: str, photo: int | None) -> int:
        """Record a request durably before it is sent; return its number."""
        request_id = await self._catalog.do(self._catalog.requests.sent, method, photo)
        failpoints.point("request-recorded")
        return request_id

    def answered(self, request_id: int) -> None:
        """Record an answer or a failure now; it reaches the disk with the next transaction."""
        self._counters.requests += 1
        self._catalog.requests.answered(request_id, self._clock.now())

    def withdrawn(self, request_id: int) -> None:
        """Remove a request that was not sent, with the next transaction."""
        self._catalog.requests.withdrawn(request_id)


async def restored_limits(
    catalog: Catalog, settings: LimitSettings, clock: Clock, ledger: RequestLedger, rng: Random, *, strays: int = 0
) -> Limits:
    """Return the quotas and slots as earlier runs left them.

    `strays`: requests that another process may still send, so that each quota is smaller by as many.
    """
    past = await catalog.do(catalog.requests.past_requests)
    now, period = clock.now(), settings.period_seconds
    reserves = {Endpoint.PHOTO: settings.reserve_requests}
    whole = quotas(settings.photo_requests, settings.return_requests)
    amounts = {method: max(1, amount - strays) for method, amount in whole.items()}
    restored: dict[str, Quota] = {
        method: Quota(
            amount,
            period,
            reserve=min(reserves.get(method, 0), amount - 1),
            restored=token_ages([request for request in past if request.method == method], now, period),
            rng=rng,
        )
        for method, amount in amounts.items()
    }
    slots = Slots(settings.parallel_requests, rng=rng)
    # The server may still serve requests of a run that was killed a moment ago.
    for request in past:
        if request.answered is None and (left := slots.cool_down + RECORDED_SECONDS - age(request.sent, now)) > 0:
            slots.hold(1, left)
    return Limits(slots, restored, ledger)


def forget_old_requests(catalog: Catalog, settings: LimitSettings) -> None:
    """Remove requests that no longer count. Blocks. Only after the parts of a killed run have been removed."""
    catalog.requests.forget_requests(settings.period_seconds + TRANSIT)


def spend_quota(catalog: Catalog, settings: LimitSettings, stamp: str) -> None:
    """Record the whole quota as spent now: what was sent since the catalogue was copied is not known. Blocks.

    `stamp`: of the store's place. It tells a run that was taken over from a catalogue that is not the last one.
    """
    if stamp.startswith(TAKEN_OVER):
        log.info(
            "store %s: taken over from a run that did not end in order. The quota of a period counts as spent",
            catalog.campaign,
        )
    else:
        log.warning(
            "store %s: the catalogue is older than the last run: it was put back from a backup, or lost. "
            "Photos that are on disk are not requested, and the quota of a period counts as spent",
            catalog.campaign,
        )
    catalog.requests.assume_sent(quotas(settings.photo_requests, settings.return_requests).items())
