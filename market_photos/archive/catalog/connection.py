"""One SQLite connection on one thread, one function = one whole transaction."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from market_photos.archive.catalog.rules import sound
from market_photos.archive.catalog.schema import BUSY_SECONDS, damaged, open_catalog, unusable
from market_photos.archive.catalog.soundness import problem_anywhere
from market_photos.clock import Clock, Moment, ServerTime

#: Rows in one statement; SQLite takes 999 values before its version 3.32.
ROWS = 100
P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """The connection that the tables of a catalogue share.

    Its methods, and so those of the tables, block and raise CatalogUnusable or ArchiveUnwritable. Inside the event
    loop they are called through `do`, one after another on a thread of their own.
    """

    def __init__(
        self,
        path: Path,
        campaign: int,
        clock: Clock,
        *,
        read_only: bool = False,
        may_be_new: bool = True,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self.path = path
        self.campaign = campaign
        self.clock = clock
        self.before_commit: Callable[[sqlite3.Connection], None] = lambda _: None
        self.require_ground: Callable[[], None] = lambda: None
        """Raises where the file is no longer the one that others find under its name; see ground.py."""
        self.connection = open_catalog(
            path, campaign, read_only=read_only, may_be_new=may_be_new, busy_seconds=busy_seconds
        )
        self._synchronous = ""
        self._last_told: Moment | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"catalog-{campaign}")

    async def do(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs it on the catalogue's thread. A cancelled caller does not undo it: what was begun is completed."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def close(self, last: Callable[[], None]) -> None:
        """Waits for what is under way, then does the last thing."""
        self._thread.shutdown()
        try:
            last()
        finally:
            self.connection.close()

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One inside another is a part of it.

        `durable`: whether a power cut must not undo it. What is not durable outlives the process all the same, and
        becomes durable with the next transaction that is.
        """
        if self.connection.in_transaction:
            yield self.connection
            return
        try:
            self._set_synchronous("FULL" if durable else "NORMAL")
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.before_commit(self.connection)
                self.require_ground()
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
        except sqlite3.IntegrityError:
            self.check()  # a row that broke the rules before? If none did, what was written is wrong
            raise
        except sqlite3.Error as error:
            raise unusable(self.path, error, self.connection) from error

    def _set_synchronous(self, mode: str) -> None:
        if mode != self._synchronous:
            self.connection.execute(f"PRAGMA synchronous = {mode}")
            self._synchronous = mode

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """`values`: one for each `?`, or one dict of names."""
        named = values[0] if values and isinstance(values[0], dict) else values
        try:
            return self.connection.execute(query, named).fetchall()
        except sqlite3.Error as error:
            raise unusable(self.path, error, self.connection) from error

    def check(self) -> None:
        """Read all of it. Raises CatalogDamaged for whatever any reader could meet."""
        try:
            problem = problem_anywhere(self.connection)
        except sqlite3.Error as error:
            raise unusable(self.path, error, self.connection) from error
        if problem:
            raise damaged(self.path, problem)

    @contextmanager
    def attached(self, path: Path, name: str) -> Iterator[None]:
        """Another catalogue beside this one, for one query over both."""
        self.rows(f"ATTACH DATABASE ? AS {name}", str(path))
        try:
            yield
        finally:
            self.rows(f"DETACH DATABASE {name}")

    def now(self) -> int:
        """Return seconds since 1970, see `moment`."""
        return int(self.moment().best)

    def moment(self) -> Moment:
        """Return the moment, its server time estimated where no answer has told it to this process.

        Within the boot of the last request it is known; otherwise it is this machine's wall clock, but no time
        before that request. Good enough for what people read; a run that sends requests knows better.
        """
        now = self.clock.now()
        if now.server:
            return now
        if self._last_told is None:
            self._last_told = next((moment_of(*row) for row in self.rows(_LAST_TOLD)), Moment(0.0))
        last, server = self._last_told, ServerTime(now.wall, now.wall)
        if last.server and last.boot == now.boot and last.uptime <= now.uptime:
            server = last.server.later(now.uptime - last.uptime)
        elif last.server and last.server.latest > now.wall:
            server = last.server
        return now._replace(server=server)


_LAST_TOLD = (
    "SELECT answered, boot, answered_uptime FROM requests q "
    f"WHERE {sound('requests', 'q')} AND answered IS NOT NULL ORDER BY id DESC LIMIT 1"
)


def moment_of(server: float | None, boot: str, uptime: float) -> Moment:
    """Return a moment as the catalogue keeps it, which keeps no wall clock."""
    return Moment(0.0, boot, uptime, None if server is None else ServerTime(server, server))


def execute_rows(connection: sqlite3.Connection, query: str, rows: Sequence[tuple[Any, ...]]) -> int:
    """Executes it over the rows, many at a time: it has `{rows}` where they go; how many rows it changed.

    Other threads go on while SQLite works on them; row by row they would wait for each other a hundred times a page.
    """
    changed = 0
    for start in range(0, len(rows), ROWS):
        some = rows[start : start + ROWS]
        marks = f"({', '.join('?' * len(some[0]))})"
        filled = query.replace("{rows}", ", ".join([marks] * len(some)))
        changed += connection.execute(filled, list(chain.from_iterable(some))).rowcount
    return changed
