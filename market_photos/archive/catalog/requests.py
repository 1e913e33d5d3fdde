"""The requests that still count against a quota, and the runs.

A request is on record before it is sent, so neither a restart nor `kill -9` makes the quota forget it.
"""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from market_photos.archive.catalog.connection import Database, moment_of
from market_photos.archive.catalog.rules import sound
from market_photos.clock import SLACK, Moment, iso, span
from market_photos.errors import ExitCode

#: Seconds for which requests are kept at least: they also show which parts a killed run may have left.
KEEP_REQUESTS = 3600
#: Seconds by which the end of a run may lie ahead of the clock, which is corrected now and then.
CLOCK_SLACK = 300


class PastRequest(NamedTuple):
    """A request of the last period."""

    method: str
    sent: Moment
    answered: Moment | None


class Requests:
    """The table `requests`. Every method but `answered` and `withdrawn` blocks."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._answers: list[tuple[float | None, float, int]] = []
        self._withdrawn: list[tuple[int]] = []
        database.before_commit = self._write_waiting

    def sent(self, method: str, photo: int | None) -> int:
        """Record a request durably before it is sent; return its number."""
        moment = self._db.clock.now()
        with self._db.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO requests(method, photo, sent, boot, sent_uptime) VALUES (?, ?, ?, ?, ?)",
                (method, photo, _server_time(moment), moment.boot, moment.uptime),
            )
        return cursor.lastrowid or 0

    def assume_sent(self, counts: Iterable[tuple[str, int]]) -> None:
        """Record so many requests of each method as sent and answered now: nobody knows how many there were."""
        now = self._db.clock.now()
        server = _server_time(now)
        with self._db.transaction() as connection:
            for method, count in counts:
                connection.executemany(
                    "INSERT INTO requests(method, sent, boot, sent_uptime, answered, answered_uptime) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    [(method, server, now.boot, now.uptime, server, now.uptime)] * count,
                )

    def settle_ages(self) -> None:
        """Record each request whose age no clock knows, or that lies in the future, as sent now.

        It then counts for one period, and not for one more in each run.
        """
        now = self._db.clock.now()
        lost = [
            row["id"]
            for row in self._db.rows(_PAST)
            if (seconds := span(_last(_past_request(row)), now)) is None or seconds < -SLACK
        ]
        with self._db.transaction() as connection:
            connection.executemany(
                "UPDATE requests SET sent = :server, boot = :boot, sent_uptime = :uptime, "
                "answered = CASE WHEN answered_uptime IS NOT NULL THEN :server END, "
                "answered_uptime = CASE WHEN answered_uptime IS NOT NULL THEN :uptime END WHERE id = :id",
                [{"server": _server_time(now), "boot": now.boot, "uptime": now.uptime, "id": row} for row in lost],
            )

    def withdrawn(self, request: int) -> None:
        """Remove a request that was not sent, with the next transaction."""
        self._withdrawn.append((request,))

    def answered(self, request: int, moment: Moment) -> None:
        """Record an answer with the next transaction: until then the request counts as unanswered, the safe side."""
        self._answers.append((_server_time(moment), moment.uptime, request))

    def flush(self) -> None:
        """Write what waits for the next transaction."""
        if self._answers or self._withdrawn:
            with self._db.transaction():
                pass

    def _write_waiting(self, connection: sqlite3.Connection) -> None:
        answers, withdrawn = tuple(self._answers), tuple(self._withdrawn)  # the event loop may append meanwhile
        connection.executemany("UPDATE requests SET answered = ?, answered_uptime = ? WHERE id = ?", answers)
        connection.executemany("DELETE FROM requests WHERE id = ?", withdrawn)
        del self._answers[: len(answers)], self._withdrawn[: len(withdrawn)]

    def past_requests(self) -> list[PastRequest]:
        """Return the requests on record, oldest first."""
        return [_past_request(row) for row in self._db.rows(_PAST)]

    def forget_requests(self, period: float) -> None:
        """Remove requests older than `period` seconds.

        Call it after a sweep of `Photos.unfinished`, which finds by them what a killed run has left.
        """
        now, keep = self._db.clock.now(), max(period, KEEP_REQUESTS)
        server = now.server.earliest - keep if now.server else None
        with self._db.transaction() as connection:
            connection.execute(_FORGET, {"boot": now.boot, "uptime": now.uptime - keep, "server": server})


_PAST = f"SELECT * FROM requests q WHERE {sound('requests', 'q')} ORDER BY id"
#: The rule of `clock.span`: this boot by the uptime unless the server's clock contradicts, others by the latter.
_FORGET = """
DELETE FROM requests WHERE
    CASE boot WHEN :boot THEN max(sent_uptime, coalesce(answered_uptime, sent_uptime)) < :uptime ELSE true END
    AND CASE WHEN boot = :boot AND (:server IS NULL OR coalesce(answered, sent) IS NULL) THEN true
        ELSE coalesce(answered, sent) < :server END
"""


def _server_time(moment: Moment) -> float | None:
    return moment.server.latest if moment.server else None


def _past_request(row: sqlite3.Row) -> PastRequest:
    is_answered = row["answered_uptime"] is not None
    return PastRequest(
        row["method"],
        moment_of(row["sent"], row["boot"], row["sent_uptime"]),
        moment_of(row["answered"], row["boot"], row["answered_uptime"]) if is_answered else None,
    )


def _last(request: PastRequest) -> Moment:
    return request.answered or request.sent


class PastRun(NamedTuple):
    """A run on record."""

    command: str
    started_at: int
    ended_at: int | None
    exit_code: ExitCode | None
    summary: dict[str, Any]
    is_at_work: bool = False
    """Whether its process holds the lock. A run that has neither an end nor the lock was cut short."""

    @property
    def outcome(self) -> Literal["at work", "cut short", "dry run", "complete", "not complete"]:
        """How the run ended, if it has."""
        if self.exit_code is None:
            return "at work" if self.is_at_work else "cut short"
        if self.exit_code is not ExitCode.COMPLETE:
            return "not complete"
        return "dry run" if self.would_fetch is not None else "complete"

    @property
    def would_fetch(self) -> int | None:
        """The photos that a dry run found lacking; None for any other run."""
        found: int | None = self.summary.get("would_fetch")
        return found

    def as_json(self) -> dict[str, Any]:
        """Return the run as `status --json` shows it."""
        return {
            "command": self.command,
            "outcome": self.outcome,
            "started_at": iso(self.started_at),
            "ended_at": iso(self.ended_at) if self.ended_at is not None else None,
            "exit_code": int(self.exit_code) if self.exit_code is not None else None,
            "summary": self.summary,
        }


class Runs:
    """The table `runs`. Every method blocks."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(self, command: str) -> int:
        """Record the start of a run; return its number."""
        with self._db.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO runs(command, started_at) VALUES (?, ?)", (command, self._db.now())
            )
        return cursor.lastrowid or 0

    def end(self, run: int, exit_code: ExitCode, summary: dict[str, Any]) -> None:
        """Record the end of a run."""
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE runs SET ended_at = ?, exit_code = ?, summary = ? WHERE id = ?",
                (self._db.now(), int(exit_code), json.dumps(summary), run),
            )

    def last(self, most: int = 1) -> list[PastRun]:
        """Return the `most` last runs, newest first."""
        query = f"SELECT * FROM runs r WHERE {sound('runs', 'r')} ORDER BY id DESC LIMIT ?"
        return [_past_run(row) for row in self._db.rows(query, most)]

    def last_complete(self, command: str) -> int | None:
        """Return when the last run of this command ended with exit code 0, seconds since 1970; None without one.

        Dry runs do not count, and neither does an end in the future, which a wrong clock recorded.
        """
        query = (
            "SELECT max(ended_at) ended FROM runs r "
            "WHERE exit_code = 0 AND (command = ? OR command LIKE ? || ' %') AND ended_at <= ? "
            "AND json_extract(summary, '$.would_fetch') IS NULL "
            f"AND {sound('runs', 'r')}"
        )
        ended: int | None = self._db.rows(query, command, command, self._db.now() + CLOCK_SLACK)[0]["ended"]
        return ended


def _past_run(row: sqlite3.Row) -> PastRun:
    code = None if row["exit_code"] is None else ExitCode(row["exit_code"])
    return PastRun(row["command"], row["started_at"], row["ended_at"], code, json.loads(row["summary"] or "{}"))
