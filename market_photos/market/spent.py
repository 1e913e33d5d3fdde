"""Requests of earlier runs that still count. Apart from the limiter: `status` needs no HTTP client."""

from collections.abc import Iterable
from typing import NamedTuple

from market_photos.clock import Moment, age

#: Seconds after its sending by which a request has arrived at the server, or never does. Resolving, connecting and
#: the TLS handshake each have time-outs well below; to be generous costs a restart a token or two.
TRANSIT = 600.0


class Spent(NamedTuple):
    """A request as the ledger kept it over a restart; `answered` is None if no answer (or failure) was recorded."""

    sent: Moment
    answered: Moment | None


def ages(requests: Iterable[Spent], now: Moment, period: float) -> list[float]:
    """What `Quota(restored=…)` needs: seconds since each answer, and 0 for a request that was never answered.

    A request whose age no clock tells counts as sent now, see `clock.age`.

    The latter is forgotten only when it must have arrived over a period ago. So keep requests for `period + TRANSIT`.
    """
    counted = [age(request.answered, now) for request in requests if request.answered]
    unknown = [request for request in requests if not request.answered and age(request.sent, now) < period + TRANSIT]
    return [*counted, *(0.0 for _ in unknown)]
