"""Time, passed in.

Rules never read a clock: they are given a `Moment`, or a `Clock` where they need several. Inside the event loop,
waiting is `asyncio.sleep` and durations come from `loop.time()`, so a loop with a virtual clock turns days of waiting
into milliseconds of test.

The wall clock of this machine decides nothing that lasts: it may be days off, and set at any time. Quotas, updates
and pauses go by the server's clock, which each answer tells (`ServerClock`); our own clock measures the time that
has passed since, within one boot.
"""

import time
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple, Protocol

#: The API's dates carry this offset, and days in the seller's cabinet begin and end by it. Russia has no summer time.
MOSCOW_OFFSET = 3 * 3600
MOSCOW = timezone(timedelta(seconds=MOSCOW_OFFSET), "MSK")
#: What a Date may say, in seconds since 1970: from the year 2017, before which there was no such API, to 2191.
_POSSIBLE = (1.5e9, 7e9)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Seconds by which two clocks may differ over a period and still agree: drift, and servers whose clocks differ.
SLACK = 5.0
#: Answers in a row that outweigh all earlier ones: the server's clock was set.
MOST_VOTES = 3


class ServerTime(NamedTuple):
    """The server's clock, as far as its answers tell: between these two, in seconds since 1970."""

    earliest: float
    latest: float

    def later(self, seconds: float) -> "ServerTime":
        return ServerTime(self.earliest + seconds, self.latest + seconds)


class Moment(NamedTuple):
    """A point in time that can be compared across processes.

    `wall` is this machine's own time in seconds since 1970 (UTC), right or wrong; `uptime` is in seconds since the
    boot named by `boot`, sleep included; `server` is the server's time, None where it is not known.
    """

    wall: float
    boot: str = ""
    uptime: float = 0.0
    server: ServerTime | None = None

    @property
    def best(self) -> float:
        """Seconds since 1970 by the server's clock, or by this machine's where that is not known."""
        return self.server.earliest if self.server else self.wall

    def ago(self, seconds: float) -> "Moment":
        """Return the moment so many seconds earlier."""
        server = self.server.later(-seconds) if self.server else None
        return Moment(self.wall - seconds, self.boot, self.uptime - seconds, server)


def span(then: Moment, now: Moment) -> float | None:
    """Return the seconds from `then` to `now`, rather too few than too many; None where no clock tells.

    Within one boot the uptime decides. But a machine that was restored from a snapshot, or moved, may have the same
    boot id and an uptime that compares to nothing: where the server's clock says that less time has passed, it is
    believed.
    """
    by_server = now.server.earliest - then.server.latest if now.server and then.server else None
    if not then.boot or then.boot != now.boot:
        return by_server
    by_uptime = now.uptime - then.uptime
    return by_uptime if by_server is None or by_uptime <= by_server + SLACK else by_server


def age(then: Moment, now: Moment) -> float:
    """Return the seconds from `then` to `now`, 0 where `then` is in the future or no clock tells."""
    return max(0.0, span(then, now) or 0.0)


class Clock(Protocol):
    def now(self) -> Moment: ...


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        # A system that names no boot has an uptime that means something within this process only.
        self._boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else str(uuid.uuid4())
        self._uptime = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def now(self) -> Moment:
        return Moment(time.time(), self._boot, time.clock_gettime(self._uptime))


class ServerClock:
    """The server's clock, from the Date of its answers and the uptime of this machine; one per run.

    A Date counts whole seconds and belongs to some moment between request and answer, so each answer gives an
    interval, and several that agree give a narrower one. One odd Date decides nothing: while as many answers
    contradict as agree, the time is not known.
    """

    def __init__(self, machine: Clock) -> None:
        self._machine = machine
        self._believed = (0, ServerTime(0, 0))  # how many answers say so; the server's time minus our uptime
        self._rival = self._believed

    @classmethod
    def of(cls, clock: Clock) -> "ServerClock":
        """Return the clock itself where it is one already."""
        return clock if isinstance(clock, cls) else cls(clock)

    def now(self) -> Moment:
        moment = self._machine.now()
        return moment._replace(server=self.at(moment))

    def at(self, moment: Moment) -> ServerTime | None:
        """Return the server's time at a moment of this process, by all that is known now."""
        votes, offset = self._believed
        return offset.later(moment.uptime) if votes > self._rival[0] else None

    def told(self, date: float, sent: Moment, answered: Moment) -> None:
        """Take the Date of an answer, in seconds since 1970, to a request that was sent and answered then."""
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


def _agree(one: ServerTime, other: ServerTime) -> bool:
    return one.earliest <= other.latest + SLACK and other.earliest <= one.latest + SLACK


def _both(known: ServerTime, read: ServerTime) -> ServerTime:
    """Return what both allow; the newer one alone where the clocks have drifted apart a little."""
    both = ServerTime(max(known.earliest, read.earliest), min(known.latest, read.latest))
    return both if both.earliest <= both.latest else read


def iso(wall: float) -> str:
    """`2026-11-23T18:05:09Z`: seconds since 1970 as people and logs read them."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moscow_midnight(day: date) -> int:
    """Return the moment at which a day begins in Moscow, in seconds since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=MOSCOW).timestamp())


def moscow_day(wall: float) -> int:
    """Return the day that a moment (seconds since 1970) belongs to in Moscow, in days since 1970."""
    return int(wall + MOSCOW_OFFSET) // 86_400
