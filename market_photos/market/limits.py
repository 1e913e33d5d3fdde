"""May this request go, and when: quota and slots of one store.

A request passes in this order, and a cancel on the way gives everything back:

    quota token → slot → the ledger has it on disk → sent → the answer begins (the token's period starts)
    → the last byte is read (the slot is free)

The token comes first, as its wait may last an hour: a photo that waits for quota keeps no slot from the listing.
While a request waits for its slot the server may close the gate; then it waits for that, its token in hand.
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

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

#: What breaks off an answer from the server's side.
CUT = (ClientPayloadError, ServerDisconnectedError, ClientOSError)


class Ledger(Protocol):
    """Where requests are kept so that the next run knows them. The catalogue does it; market/ does not import it."""

    async def sent(self, method: str, photo: int | None) -> int:
        """Return its number once it is on disk: a request must not leave before."""
        ...

    def answered(self, request_id: int) -> None:
        """May reach the disk later, or never: a request without an answer weighs more, not less."""
        ...

    def withdrawn(self, request_id: int) -> None:
        """It was not sent after all."""
        ...


class Limits:
    """The limits of one store: its slots, and a quota for each method."""

    def __init__(self, slots: Slots, quotas: Mapping[str, Quota], ledger: Ledger) -> None:
        self.slots = slots
        self.quotas = quotas
        self.ledger = ledger

    def admission(self, method: str, photo: int | None = None) -> "Admission":
        """`photo`: what the ledger is to know the request by."""
        return Admission(method, photo, self.quotas[method], self.slots, self.ledger)


class Admission:
    """One request's way through the limits, and the client middleware that leads each real request through it.

        async with limits.passage("photo") as passage:
            async with session.get(url, middlewares=(guard, passage)) as response:
                ...  # passage.heed, .refused or .crowded; then read the body

    A redirect hop or a retry of the same call gives its slot back and passes again, with a token of its own. The slot
    is free when the block ends: at once if the server was through, after the cool-down if we hung up first.
    """

    def __init__(self, method: str, photo: int | None, quota: Quota, slots: Slots, ledger: Ledger) -> None:
        self._method = method
        self._photo = photo
        self._quota = quota
        self._slots = slots
        self._ledger = ledger
        self._token = Token()
        self._has_slot = False
        self._response: ClientResponse | None = None
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._free_slot()

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        self._free_slot()
        async with self._quota.token() as self._token:
            request_id = await self._admitted()
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
        """Whether it has its slot: its request is with the server, or about to leave."""
        return self._has_slot

    def observe_headers(self, remaining: int | None, until_in: float | None) -> None:
        """Any answer but a 420; see `Quota.observe_headers`."""
        self._quota.observe_headers(self._token, remaining, until_in)

    def quota_refused(self, until_in: float | None) -> None:
        """A quota-420; see `Quota.quota_refused`."""
        self._quota.quota_refused(self._token, until_in)

    def parallel_limit_hit(self) -> None:
        """A parallel-420; see `Slots.parallel_limit_hit`."""
        self._slots.parallel_limit_hit()

    async def _admitted(self) -> int:
        """The number of the request in the ledger, once there is a slot for it and the gate is open."""
        while True:
            await self._take_slot()
            request_id = await self._ledger.sent(self._method, self._photo)
            if self._quota.is_open:
                return request_id
            # it did not leave, but after a restart it counts as if it had: rare, and on the safe side
            self._ledger.withdrawn(request_id)
            self._free_slot()

    async def _take_slot(self) -> None:
        while not self._has_slot:
            await self._quota.wait_until_open()
            await self._slots.acquire()
            self._has_slot = True
            if not self._quota.is_open:
                self._free_slot()

    def _free_slot(self) -> None:
        self._quota.forget_in_flight(self._token)
        if self._has_slot:
            self._slots.release(late=still_served(self._response, self._failure))
        self._has_slot, self._response, self._failure = False, None, None


def still_served(response: ClientResponse | None, failure: BaseException | None) -> bool:
    """Whether the server may still be busy with a request whose time here is over: we hung up first."""
    if response is not None:
        return not response.content.is_eof() and not isinstance(response.content.exception(), CUT)
    # who could not connect has not been counted
    gave_up = isinstance(failure, (asyncio.CancelledError, TimeoutError))
    return gave_up and not isinstance(failure, ConnectionTimeoutError)
