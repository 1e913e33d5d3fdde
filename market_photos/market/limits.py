"""The limits of one store: when a request may be sent, by quota and parallel requests.

A request passes in this order, and a cancellation at any point returns what it holds:

    quota token → slot → on record in the ledger → sent → the answer begins (the token's period starts)
    → the last byte is read (the slot is free)

The token comes first, as the wait for it may last an hour: a photo that waits for quota keeps no slot from the
listing. If the server closes the gate while a request waits for its slot, it waits for the gate and keeps its token.
"""

import asyncio
from collections.abc import Mapping
from typing import NamedTuple, Protocol, Self

from aiohttp import (
    ClientHandlerType,
    ClientOSError,
    ClientPayloadError,
    ClientRequest,
    ClientResponse,
    ConnectionTimeoutError,
    ServerDisconnectedError,
)

from market_photos.market.quota import Quota
from market_photos.market.server_quota import Token
from market_photos.market.slots import Slots

#: Errors by which the server's side breaks off an answer.
CUT = (ClientPayloadError, ServerDisconnectedError, ClientOSError)
#: Seconds for which a request may be on record before it is sent; short beside `quota.TRANSIT`, which includes them.
RECORDED_SECONDS = 2.0


class Ledger(Protocol):
    """The record of requests that the next run restores its quota from."""

    async def sent(self, method: str, photo: int | None) -> int:
        """Record a request durably before it is sent; return its number."""
        ...

    def answered(self, request_id: int) -> None:
        """Record an answer or a failure. It may reach the disk later: an unanswered request counts for longer."""
        ...

    def withdrawn(self, request_id: int) -> None:
        """Remove a request that was not sent."""
        ...


class Recorded(NamedTuple):
    """A request that is on record and not sent yet."""

    request_id: int
    at: float
    """Loop time at which it was recorded."""


class Limits:
    """The limits of one store: its slots, and a quota for each method."""

    def __init__(self, slots: Slots, quotas: Mapping[str, Quota], ledger: Ledger) -> None:
        self.slots = slots
        self.quotas = quotas
        self.ledger = ledger

    def admission(self, method: str, photo: int | None = None, recorded: Recorded | None = None) -> "Admission":
        """Return the admission of one call. `photo`: its row in the ledger; `recorded`: where it is on record."""
        return Admission(self, method, photo, recorded)


class Admission:
    """Passes the requests of one call through the limits: a context manager, and a client middleware.

        async with limits.admission("photo") as admission:
            async with session.get(url, middlewares=(guard, admission)) as response:
                ...  # observe_headers, quota_refused or parallel_limit_hit; then read the body

    A redirect hop or a repetition returns the slot and passes again with a token of its own. The slot is free when
    the block ends, or after a cool-down if the server may still serve the request.
    """

    def __init__(
        self, limits: Limits, method: str, photo: int | None = None, recorded: Recorded | None = None
    ) -> None:
        self._method = method
        self._photo = photo
        self._recorded = recorded
        self._quota = limits.quotas[method]
        self._slots = limits.slots
        self._ledger = limits.ledger
        self._token = Token()
        self._has_slot = False
        self._response: ClientResponse | None = None
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._free_slot()
        if recorded := self._take_recorded():
            self._ledger.withdrawn(recorded.request_id)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send the request once the limits admit it."""
        self._free_slot()
        async with self._quota.token() as self._token:
            request_id = await self._admit()
            self._quota.send(self._token)
            try:
                self._response = await handler(request)
            except BaseException as failure:
                self._failure = failure
                raise
            finally:
                self._ledger.answered(request_id)
        return self._response

    @property
    def in_flight(self) -> bool:
        """Whether the request has its slot: it is with the server, or about to be sent."""
        return self._has_slot

    def observe_headers(self, remaining: int | None, until_in: float | None) -> None:
        """Take the quota headers of any answer but a 420; see `Quota.observe_headers`."""
        self._quota.observe_headers(self._token, remaining, until_in)

    def quota_refused(self, until_in: float | None) -> None:
        """Record a quota-420; see `Quota.quota_refused`."""
        self._quota.quota_refused(self._token, until_in)

    def parallel_limit_hit(self) -> None:
        """Record a parallel-420; see `Slots.parallel_limit_hit`."""
        self._slots.parallel_limit_hit()

    async def _admit(self) -> int:
        """Wait for a slot and an open gate; return the number of the request on record."""
        while True:
            await self._take_slot()
            request_id = await self._record()
            if self._quota.is_open:
                return request_id
            self._ledger.withdrawn(request_id)
            self._free_slot()

    async def _take_slot(self) -> None:
        while not self._has_slot:
            await self._quota.wait_until_open()
            await self._slots.acquire()
            self._has_slot = True
            if not self._quota.is_open:
                self._free_slot()

    async def _record(self) -> int:
        if recorded := self._take_recorded():
            if asyncio.get_running_loop().time() - recorded.at < RECORDED_SECONDS:
                return recorded.request_id
            self._ledger.withdrawn(recorded.request_id)
        return await self._ledger.sent(self._method, self._photo)

    def _take_recorded(self) -> Recorded | None:
        recorded, self._recorded = self._recorded, None
        return recorded

    def _free_slot(self) -> None:
        self._quota.forget_in_flight(self._token)
        if self._has_slot:
            self._slots.release(late=still_served(self._response, self._failure))
        self._has_slot, self._response, self._failure = False, None, None


def still_served(response: ClientResponse | None, failure: BaseException | None) -> bool:
    """Return whether the server may still serve a request that has ended here, because we hung up first."""
    if response is not None:
        return not response.content.is_eof() and not isinstance(response.content.exception(), CUT)
    # a request without a connection was not counted by the server
    gave_up = isinstance(failure, (asyncio.CancelledError, TimeoutError))
    return gave_up and not isinstance(failure, ConnectionTimeoutError)
