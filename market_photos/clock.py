"""Clocks and moments, passed as arguments.

Functions that decide take a `Moment`, or a `Clock` if they need several moments. In the event loop, durations come
from `loop.time()`, so that a test can use a loop with a virtual clock.

The wall clock of this machine may be wrong, and may be set at any time. Quotas, updates and pauses therefore use the
server's clock, which `ServerClock` learns from the answers; the uptime of this machine measures the time between.
"""

import time
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple, Protocol

#: The offset of the API's dates and of the days in the seller's cabinet, in seconds. Russia has no summer time.
MOSCOW_OFFSET = 3 * 3600
MOSCOW = timezone(timedelta(seconds=MOSCOW_OFFSET), "MSK")
#: The range of believable Date headers, in seconds since 1970: the years 2017 to 2191.
_POSSIBLE = (1.5e9, 7e9)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Seconds by which two clocks may differ and still agree: clocks drift, and those of several servers differ.
SLACK = 5.0
#: So many answers in a row outweigh all earlier ones: the server's clock was set.
MOST_VOTES = 3


class ServerTime(NamedTuple):
    """An interval that contains the server's time, in seconds since 1970."""

    earliest: float
    latest: float

    def later(self, seconds: float) -> "ServerTime":
        """Return the interval `seconds` later."""
        return ServerTime(self.earliest + seconds, self.latest + seconds)


class Moment(NamedTuple):
    """A point in time that several processes can compare.

    `wall` is this machine's time in seconds since 1970 (UTC), which may be wrong. `uptime` is in seconds since the
    boot with the id `boot`, sleep included. `server` is the server's time, None if it is not known.
    """

    wall: float
    boot: str = ""
    uptime: float = 0.0
    server: ServerTime | None = None

    @property
    def best(self) -> float:
        """Seconds since 1970 by the server's clock, or by this machine's if that is not known."""
        return self.server.earliest if self.server else self.wall


def span(then: Moment, now: Moment) -> float | None:
    """Return the seconds from `then` to `now`, at the least; None if no clock covers both.

    Within one boot the uptime decides, unless less time has passed by the server's clock: a machine that was restored
    from a snapshot has the same boot id and an uptime that cannot be compared.
    """
    by_server = now.server.earliest - then.server.latest if now.server and then.server else None
    if not then.boot or then.boot != now.boot:
        return by_server
    by_uptime = now.uptime - then.uptime
    return by_uptime if by_server is None or by_uptime <= by_server + SLACK else by_server


def age(then: Moment, now: Moment) -> float:
    """Return the seconds from `then` to `now`, 0 if `then` is in the future or no clock covers both."""
    return max(0.0, span(then, now) or 0.0)


class Clock(Protocol):
    """A source of moments."""

    def now(self) -> Moment:
        """Return the current moment."""


class SystemClock:
    """The clocks of this machine."""

    def __init__(self) -> None:
        # Without a boot id, an uptime can be compared within this process only.
        self._boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else str(uuid.uuid4())
        self._uptime = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def now(self) -> Moment:
        """Return the current moment, without the server's time."""
        return Moment(time.time(), self._boot, time.clock_gettime(self._uptime))


class ServerClock:
    """Derives the server's time from the Date of its answers and the uptime of this machine. One per run.

    A Date is in whole seconds and belongs to some moment between request and answer. So each answer gives an
    interval, and several that agree give a narrower one. While as many answers contradict as agree, the time is not
    known.
    """

    def __init__(self, machine: Clock) -> None:
        self._machine = machine
        self._believed = (0, ServerTime(0, 0))  # votes; the server's time minus our uptime
        self._rival = self._believed

    @classmethod
    def of(cls, clock: Clock) -> "ServerClock":
        """Return `clock` itself if it is a ServerClock, else a new one on top of it."""
        return clock if isinstance(clock, cls) else cls(clock)

    def now(self) -> Moment:
        """Return the current moment with the server's time."""
        moment = self._machine.now()
        return moment._replace(server=self.at(moment))

    def at(self, moment: Moment) -> ServerTime | None:
        """Return the server's time at a moment of this process; None if it is not known."""
        votes, offset = self._believed
        return offset.later(moment.uptime) if votes > self._rival[0] else None

    @property
    def is_in_doubt(self) -> bool:
        """Return whether one more answer is needed to believe the server's time.

        That is so while the answers contradict each other, or where there was only one and this machine's own clock
        contradicts it: one of the two is wrong.
        """
        votes, offset = self._believed
        moment = self._machine.now()
        own = ServerTime(moment.wall, moment.wall).later(-moment.uptime)
        return votes > 0 and (votes <= self._rival[0] or (votes == 1 and not _agree(offset, own)))

    def observe_date(self, date: float, sent: Moment, answered: Moment) -> None:
        """Take the Date of an answer into account. `date` is in seconds since 1970."""
        if not _POSSIBLE[0] <= date <= _POSSIBLE[1]:
            return
        read = ServerTime(date - answered.uptime, date + 1 - sent.uptime)
        votes, offset = self._believed
        rivals, rival = self._rival
        if votes and _agree(offset, read):
            self._believed, self._rival = (min(votes + 1, MOST_VOTES), _both(offset, read)), (0, read)
            return
        rivals, rival = (rivals + 1, _both(rival, read)) if rivals and _agree(rival, read) else (1, read)
        if rivals > votes or rivals >= MOST_VOTES:
            self._believed, self._rival = (rivals, rival), (0, read)
        else:
            self._rival = (rivals, rival)


def _agree(first: ServerTime, second: ServerTime) -> bool:
    return first.earliest <= second.latest + SLACK and second.earliest <= first.latest + SLACK


def _both(known: ServerTime, read: ServerTime) -> ServerTime:
    """Return the intersection; the newer interval if the clocks have drifted apart a little."""
    both = ServerTime(max(known.earliest, read.earliest), min(known.latest, read.latest))
    return both if both.earliest <= both.latest else read


def iso(wall: float) -> str:
    """Return seconds since 1970 as text: `2026-11-23T18:05:09Z`."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moscow_time(text: str) -> datetime | None:
    """Return an ISO 8601 text in Moscow time, which it is in without an offset; None if no calendar has it."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(MOSCOW) if moment.tzinfo else moment.replace(tzinfo=MOSCOW)
    except (ValueError, OverflowError):
        return None


def moscow_midnight(day: date) -> int:
    """Return the moment at which a day begins in Moscow, in seconds since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=MOSCOW).timestamp())


def moscow_day(wall: float) -> int:
    """Return the day that a moment (seconds since 1970) belongs to in Moscow, in days since 1970."""
    return int(wall + MOSCOW_OFFSET) // 86_400
