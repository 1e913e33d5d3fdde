"""One SQLite connection on a thread of its own; each function is one transaction."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from market_photos.archive.catalog.errors import damaged, unusable
from market_photos.archive.catalog.opening import BUSY_SECONDS, open_catalog
from market_photos.archive.catalog.rules import sound
from market_photos.archive.catalog.soundness import problem_anywhere
from market_photos.clock import Clock, Moment, ServerTime

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """The connection that the tables of a catalogue share.

    Its methods, and those of the tables, block and raise CatalogUnusable or ArchiveUnwritable. In the event loop,
    call them through `do`: one after another, on the catalogue's thread.
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
        self.require_same_file: Callable[[], None] = lambda: None
        """Raises ArchiveUnwritable if the catalogue's path leads to another file by now; see held_folder.py."""
        self.connection = open_catalog(
            path, campaign, read_only=read_only, may_be_new=may_be_new, busy_seconds=busy_seconds
        )
        self._synchronous = ""
        self._last_answer: Moment | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"catalog-{campaign}")

    async def do(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the function on the catalogue's thread. It completes even if the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def close(self, last: Callable[[], None]) -> None:
        """Wait for running functions, call `last`, and close the connection."""
        self._thread.shutdown()
        try:
            last()
        finally:
            self.connection.close()

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Commit at the end of the block, or roll back after an error. A nested transaction is part of the outer one.

        Without `durable`, a power cut may undo it, but not the end of the process; it becomes durable with the next
        transaction that is.
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
                self.require_same_file()
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
        except sqlite3.IntegrityError:
            self.check()  # raises if a row was damaged before; otherwise the new row is wrong
            raise
        except sqlite3.Error as error:
            raise unusable(self.path, error, self.connection) from error

    def _set_synchronous(self, mode: str) -> None:
        if mode != self._synchronous:
            self.connection.execute(f"PRAGMA synchronous = {mode}")
            self._synchronous = mode

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a query. `values`: one for each `?`, or one dict of names."""
        named = values[0] if values and isinstance(values[0], dict) else values
        try:
            return self.connection.execute(query, named).fetchall()
        except sqlite3.Error as error:
            raise unusable(self.path, error, self.connection) from error

    def check(self) -> None:
        """Read the whole catalogue. Raises CatalogDamaged for anything that a reader could meet."""
        try:
            problem = problem_anywhere(self.connection)
        except sqlite3.Error as error:
            raise unusable(self.path, error, self.connection) from error
        if problem:
            raise damaged(self.path, problem)

    def backup(self, target: Path) -> None:
        """Write a copy of the catalogue to a new file."""
        try:
            with closing(sqlite3.connect(target)) as copy:
                self.connection.backup(copy)
        except sqlite3.Error as error:
            raise unusable(target, error) from error

    @contextmanager
    def attached(self, path: Path, name: str) -> Iterator[None]:
        """Attach another catalogue during the block, for queries over both."""
        self.rows(f"ATTACH DATABASE ? AS {name}", str(path))
        try:
            yield
        finally:
            self.rows(f"DETACH DATABASE {name}")

    def now(self) -> int:
        """Return the time of `moment` in seconds since 1970."""
        return int(self.moment().best)

    def moment(self) -> Moment:
        """Return the current moment, with an estimate of the server's time if this process has sent no request.

        The estimate is exact within the boot of the last request on record. Otherwise it is the wall clock, but never
        earlier than that request: good enough to display.
        """
        now = self.clock.now()
        if now.server:
            return now
        if self._last_answer is None:
            self._last_answer = next((moment_of(*row) for row in self.rows(_LAST_ANSWER)), Moment(0.0))
        last, server = self._last_answer, ServerTime(now.wall, now.wall)
        if last.server and last.boot == now.boot and last.uptime <= now.uptime:
            server = last.server.later(now.uptime - last.uptime)
        elif last.server and last.server.latest > now.wall:
            server = last.server
        return now._replace(server=server)


_LAST_ANSWER = (
    "SELECT answered, boot, answered_uptime FROM requests q "
    f"WHERE {sound('requests', 'q')} AND answered IS NOT NULL ORDER BY id DESC LIMIT 1"
)


def moment_of(server: float | None, boot: str, uptime: float) -> Moment:
    """Return a moment from the catalogue, which stores no wall clock."""
    return Moment(0.0, boot, uptime, None if server is None else ServerTime(server, server))
