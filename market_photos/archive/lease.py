"""The lease of a store in a bucket: who is at work on it, and which checkpoint of its catalogue counts.

One small object, changed only by compare and swap. Its holder renews it every RENEW_SECONDS, and stops when the last
confirmed renewal began TTL seconds ago or more, by CLOCK_BOOTTIME, which counts sleep too. Another process may take
the lease over TTL + SLACK after its last change. That is measured by the clock of the storage alone: the difference
between the Last-Modified of a probe and that of the lease.
"""

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from market_photos.archive.lock import Holder, this_process
from market_photos.archive.objects import Bucket, Found
from market_photos.archive.probe import probing
from market_photos.archive.storage_errors import Conflict
from market_photos.clock import Clock
from market_photos.errors import AlreadyRunning, ArchiveUnwritable, CatalogDamaged, CatalogUnusable, MarketPhotosError
from market_photos.text import human_time

log = logging.getLogger(__name__)

LEASE_NAME = "lease.json"
#: The format of its content that this version writes.
FORMAT = 1
#: Seconds for which a renewal counts, and between two renewals.
TTL = 90.0
RENEW_SECONDS = 30.0
#: Seconds between two renewals of which the first was refused.
RETRY_SECONDS = 3.0
#: Seconds after the TTL before a lease is taken over. A request may be on record for two seconds before it is sent
#: (market/limits.py), Last-Modified has whole seconds, and a request takes its time to the server.
SLACK = 15.0
#: Seconds by which the wall clock of a machine may be wrong, where only people look.
WALL_SLACK = 120.0


@dataclass(frozen=True)
class LeaseState:
    """The content of the object."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid")

    holder: str
    """A random name of the process's hold."""
    who: Holder
    """The process."""
    sequence: int
    """One more with each change."""
    is_released: bool
    checkpoint: str
    """The key of the checkpoint that counts; empty if there is none."""
    stamp: str
    """See catalog/adoption.py."""
    lacks_photos: bool = True
    newest_return: float = 0.0
    """See urgency.py."""
    format: int = FORMAT
    """The number of this list of fields."""

    def pack(self) -> bytes:
        """Return the state as JSON."""
        return json.dumps(asdict(self) | {"who": self.who._asdict()}).encode()

    @staticmethod
    def unpack(found: Found) -> "LeaseState":
        """Return the state in an object. Raises CatalogUnusable if a newer version wrote it, CatalogDamaged."""
        try:
            return _STATE.validate_json(found.content)
        except ValidationError as error:
            if _format_of(found.content) > FORMAT:
                raise CatalogUnusable(
                    f"{found.key}: was written by a newer version of market-photos.",
                    "Update market-photos on this machine.",
                ) from None
            raise CatalogDamaged(
                f"{found.key}: is no lease of market-photos.", "Run `market-photos rebuild` for this store."
            ) from error


_STATE = TypeAdapter(LeaseState)


def _format_of(content: bytes) -> int:
    """Return the format that an object names, 0 if it names none."""
    try:
        return int(json.loads(content)["format"])
    except (ValueError, TypeError, KeyError):
        return 0


def boottime() -> float:
    """Return the seconds since the boot, sleep included."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease(AbstractContextManager["Lease"]):
    """A store's lease, held and renewed by a thread until the block ends. Every thread may use it."""

    def __init__(
        self,
        bucket: Bucket,
        campaign: int,
        command: str,
        clock: Clock,
        *,
        replaces_damaged: bool = False,
        now: Callable[[], float] = boottime,
    ) -> None:
        """Take the lease. Raises AlreadyRunning, ArchiveUnwritable, CatalogUnusable.

        `replaces_damaged`: take over what is no lease, as if a run had been killed.
        """
        self._bucket = bucket
        self._held = bucket.while_valid(self.require_valid)
        self._key = f"{campaign}/{LEASE_NAME}"
        self._now = now
        self._lock = threading.Lock()
        self._lost: MarketPhotosError | None = None
        self._valid_until = 0.0
        self._etag = ""
        self._sequence = 0
        self._is_changed = False
        self._ended = threading.Event()
        self._take(campaign, this_process(command, clock), replaces_damaged)
        self._keeper = threading.Thread(target=self._keep, name=f"lease-{campaign}", daemon=True)
        self._keeper.start()

    def _take(self, campaign: int, who: Holder, replaces_damaged: bool) -> None:
        found = self._bucket.get(self._key)
        mine = LeaseState(secrets.token_hex(8), who, 0, False, "", "")
        try:
            self.previous = LeaseState.unpack(found) if found else None
            """The state that the lease had; None if it is new."""
        except CatalogDamaged:
            if not replaces_damaged:
                raise
            self.previous = LeaseState("", Holder(), 0, False, "", "")
        if found and self.previous:
            if not self.previous.is_released:
                require_dead(self._bucket, campaign, self.previous, found.modified)
            mine = replace(self.previous, holder=mine.holder, who=who, is_released=False)
            self._etag, self._sequence = found.etag, self.previous.sequence
        if not self._write(self._bucket, mine):
            raise AlreadyRunning(f"{self._bucket.url}/{campaign}: another run has just begun here.", _WAIT)

    @property
    def state(self) -> LeaseState:
        """The state as it was last confirmed."""
        return self._state

    @property
    def is_taken_over(self) -> bool:
        """Whether the holder before did not release it: it was killed or cut off."""
        return self.previous is not None and not self.previous.is_released

    def require_valid(self) -> None:
        """Raise AlreadyRunning or ArchiveUnwritable if another process may be at work on the store by now."""
        if self._lost is None and self._now() >= self._valid_until:
            self._lost = ArchiveUnwritable(
                f"{self._bucket.url}/{self._key}: could not be renewed for {TTL:.0f} s, so another machine may take "
                "the store over. Nothing more was requested.",
                "Check the network to the storage, and whether this machine slept; the same command then goes on.",
            )
        if self._lost:
            raise self._lost

    def change(self, **changes: Any) -> None:
        """Change fields of the state, for as long as the lease is valid.

        Raises as `require_valid`, or ArchiveUnwritable where the storage refuses it.
        """
        with self._lock:
            self._is_changed = True
            self._renew(**changes)
            if self._state.is_released:
                self._ended.set()

    def _renew(self, **changes: Any) -> None:
        self.require_valid()
        if not self._write(self._held, replace(self._state, **changes)):
            self._lost = AlreadyRunning(
                f"{self._bucket.url}/{self._key}: another run has taken this store over.",
                "This machine was cut off, or stood still, for too long; the other run does its work.",
            )
            raise self._lost

    def _write(self, bucket: Bucket, wanted: LeaseState) -> bool:
        """Write the state as the next in sequence; return False where another process has changed the lease."""
        for _ in range(2):
            began = self._now()
            try:
                content = (wanted := replace(wanted, sequence=self._sequence + 1)).pack()
                if self._etag:
                    self._etag = bucket.swap(self._key, content, self._etag)
                else:
                    self._etag = bucket.create(self._key, content)
            except Conflict:
                found = bucket.get(self._key)
                current = LeaseState.unpack(found) if found else None
                if found is None or current is None or current.holder != wanted.holder:
                    return False
                # An earlier put was done, and its answer was lost: write once more, from what is there.
                self._etag, self._sequence = found.etag, current.sequence
            else:
                self._state, self._sequence, self._valid_until = wanted, wanted.sequence, began + TTL
                return True
        return False

    def _keep(self) -> None:
        """Renew the lease until it ends or is lost."""
        while not self._ended.wait(self._until_renewal()) and not self._lost:
            try:
                with self._lock:
                    self._renew()
            except MarketPhotosError as error:
                log.warning("%s", error.message)

    def _until_renewal(self) -> float:
        """Return the seconds for which the last renewal still counts without a new one."""
        return max(RETRY_SECONDS, self._valid_until - TTL + RENEW_SECONDS - self._now())

    def __exit__(self, *_: object) -> None:
        """Stop renewing. A lease under which nothing was changed is given back as it was."""
        self._ended.set()
        self._keeper.join()
        if self._is_changed or self.is_taken_over:
            return
        try:
            self.change(is_released=True)
        except MarketPhotosError as error:
            log.warning("%s", error.message)


_WAIT = "Wait for it, or stop it; `market-photos status` shows how far it is."


def is_probably_held(state: LeaseState, modified: float) -> bool:
    """Return whether a process seems to hold the lease. For display only: it goes by this machine's wall clock."""
    return not state.is_released and time.time() - modified < TTL + SLACK + WALL_SLACK


def require_dead(bucket: Bucket, campaign: int, state: LeaseState, modified: float) -> None:
    """Raise AlreadyRunning unless a lease that was last changed at `modified` may be taken over."""
    with probing(bucket) as probe:
        bucket.put(probe, b"")
        found = bucket.get(probe)
    left = TTL + SLACK - ((found.modified if found else modified) - modified)
    if left <= 0:
        return
    again = f"run this command again in {human_time(left)}"
    if not state.who.command:
        raise AlreadyRunning(
            f"{bucket.url}/{campaign}: the lease is damaged, so another run may be at work here.",
            f"Stop such a run if there is one, then {again}.",
        )
    raise AlreadyRunning(
        f"{bucket.url}/{campaign}: another run is at work here: {state.who}.",
        f"{_WAIT} If it has died, {again}.",
    )
