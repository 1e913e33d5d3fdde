"""Time, passed in.

Rules never read a clock: they are given a `Moment`, or a `Clock` where they need several. Inside the event loop,
waiting is `asyncio.sleep` and durations come from `loop.time()`, so a loop with a virtual clock turns days of waiting
into milliseconds of test.
"""

import time
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple, Protocol

#: The API's dates carry this offset, and days in the seller's cabinet begin and end by it. Russia has no summer time.
MOSCOW_OFFSET = 3 * 3600
MOSCOW = timezone(timedelta(seconds=MOSCOW_OFFSET), "MSK")

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Moment(NamedTuple):
    """A point in time that can be compared across processes, and across a wall clock that jumps.

    `wall` is in seconds since 1970 (UTC); `uptime` in seconds since the boot named by `boot`, sleep included;
    `boot` is empty where the system does not tell.
    """

    wall: float
    boot: str = ""
    uptime: float = 0.0


def age(then: Moment, now: Moment) -> float:
    """Seconds from `then` to `now`, never negative.

    Within one boot the uptime decides, for the wall clock may have been set meanwhile; otherwise the wall clock is
    all there is, and a `then` in its future counts as this instant.
    """
    if then.boot and then.boot == now.boot:
        return max(0.0, now.uptime - then.uptime)
    return max(0.0, now.wall - then.wall)


class Clock(Protocol):
    def now(self) -> Moment: ...


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""

    def now(self) -> Moment:
        uptime = time.clock_gettime(time.CLOCK_BOOTTIME) if self._boot else 0.0
        return Moment(time.time(), self._boot, uptime)


def iso(wall: float) -> str:
    """`2026-11-23T18:05:09Z`: seconds since 1970 as people and logs read them."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moscow_midnight(day: date) -> int:
    """Return the moment at which a day begins in Moscow, in seconds since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=MOSCOW).timestamp())


def moscow_day(wall: float) -> int:
    """Return the day that a moment (seconds since 1970) belongs to in Moscow, in days since 1970."""
    return int(wall + MOSCOW_OFFSET) // 86_400
