"""The requests that still count against a quota, and the runs.

A request is on record before it is sent, so that neither a restart nor `kill -9` gives the quota back.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from market_photos.archive.catalog.connection import Database, moment_of
from market_photos.archive.catalog.rules import sound
from market_photos.clock import SLACK, Moment, iso, span
from market_photos.errors import ExitCode

#: Requests are kept at least this long, seconds: they also tell which parts a killed run may have left.
KEEP_REQUESTS = 3600
#: Seconds by which the end of a run may lie ahead of the clock: it is set a little now and then.
CLOCK_SLACK = 300


class PastRequest(NamedTuple):
    """A request of the last period."""

    method: str
    sent: Moment
    answered: Moment | None


class Requests:
    def __init__(self, database: Database) -> None:
        self._db = database
        self._answers: list[tuple[float | None, float, int]] = []
        self._unsent: list[tuple[int]] = []
        database.before_commit = self._flush_answers

    def sent(self, method: str, photo: int | None) -> int:
        """Puts a request on record, durably, before it is sent; its id."""
        moment = self._db.clock.now()
        with self._db.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO requests(method, photo, sent, boot, sent_uptime) VALUES (?, ?, ?, ?, ?)",
                (method, photo, _told(moment), moment.boot, moment.uptime),
            )
        return cursor.lastrowid or 0

    def assume(self, method: str, ages: Sequence[float]) -> None:
        """Put requests on record that must have been sent and answered so many seconds ago."""
        now = self._db.clock.now()
        moments = [now.ago(seconds) for seconds in ages]
        with self._db.transaction() as connection:
            connection.executemany(
                "INSERT INTO requests(method, sent, boot, sent_uptime, answered, answered_uptime) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                [(method, _told(one), one.boot, one.uptime, _told(one), one.uptime) for one in moments],
            )

    def settle_ages(self) -> None:
        """Let each request whose age no clock tells, or that comes from the future, count as sent now.

        It is on record as such from here on, so it counts for one period, not for one more in each run.
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
                [{"server": _told(now), "boot": now.boot, "uptime": now.uptime, "id": row} for row in lost],
            )

    def renew(self, request: int, method: str, photo: int | None) -> int:
        """A request that was put on record a while ago is sent only now; its id, which may be another."""
        with self._db.transaction() as connection:
            connection.execute("DELETE FROM requests WHERE id = ?", (request,))
            return self.sent(method, photo)

    def unsent(self, request: int) -> None:
        """It will not be sent. Taken off the record with the next transaction."""
        self._unsent.append((request,))

    def answered(self, request: int, moment: Moment) -> None:
        """Written with the next transaction: until then the request counts from a restart, the safe side."""
        self._answers.append((_told(moment), moment.uptime, request))

    def flush(self) -> None:
        """Writes what is known of answers; at the end of a run."""
        if self._answers or self._unsent:
            with self._db.transaction():
                pass

    def _flush_answers(self, connection: sqlite3.Connection) -> None:
        answers, unsent = (
            tuple(self._answers),
            tuple(self._unsent),
        )  # others may come in from the event loop meanwhile
        statement = "UPDATE requests SET answered = ?, answered_uptime = ? WHERE id = ?"
        connection.executemany(statement, answers)
        connection.executemany("DELETE FROM requests WHERE id = ?", unsent)
        del self._answers[: len(answers)], self._unsent[: len(unsent)]

    def past_requests(self) -> list[PastRequest]:
        """Those on record, oldest first."""
        return [_past_request(row) for row in self._db.rows(_PAST)]

    def forget_requests(self, period: float) -> None:
        """Drop requests that count no more. `period` in seconds.

        Only after a sweep of `Photos.unfinished`, which knows by them what a killed run has left.
        """
        now, keep = self._db.clock.now(), max(period, KEEP_REQUESTS)
        server = now.server.earliest - keep if now.server else None
        with self._db.transaction() as connection:
            connection.execute(_FORGET, {"boot": now.boot, "uptime": now.uptime - keep, "server": server})


_PAST = f"SELECT * FROM requests q WHERE {sound('requests', 'q')} ORDER BY id"
#: As `clock.span`: of this boot by the uptime, unless the server's clock contradicts; of another one by the server's.
_FORGET = """
DELETE FROM requests WHERE
    CASE boot WHEN :boot THEN max(sent_uptime, coalesce(answered_uptime, sent_uptime)) < :uptime ELSE true END
    AND CASE WHEN boot = :boot AND (:server IS NULL OR coalesce(answered, sent) IS NULL) THEN true
        ELSE coalesce(answered, sent) < :server END
"""


def _told(moment: Moment) -> float | None:
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
    command: str
    started_at: int
    ended_at: int | None
    exit_code: ExitCode | None
    summary: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return {
            "command": self.command,
            "started_at": iso(self.started_at),
            "ended_at": iso(self.ended_at) if self.ended_at is not None else None,
            "exit_code": int(self.exit_code) if self.exit_code is not None else None,
            "summary": self.summary,
        }


class Runs:
    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(self, command: str) -> int:
        with self._db.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO runs(command, started_at) VALUES (?, ?)", (command, self._db.now())
            )
        return cursor.lastrowid or 0

    def end(self, run: int, exit_code: ExitCode, summary: dict[str, Any]) -> None:
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE runs SET ended_at = ?, exit_code = ?, summary = ? WHERE id = ?",
                (self._db.now(), int(exit_code), json.dumps(summary), run),
            )

    def last(self, most: int = 1) -> list[PastRun]:
        """Newest first."""
        query = f"SELECT * FROM runs r WHERE {sound('runs', 'r')} ORDER BY id DESC LIMIT ?"
        return [_past_run(row) for row in self._db.rows(query, most)]

    def last_complete(self, command: str) -> int | None:
        """When the last run of this command ended with exit code 0, seconds since 1970; None where none ever did.

        Dry runs bring nothing and do not count, nor does an end that lies ahead: the clock was wrong then.
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
