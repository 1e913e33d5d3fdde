"""The rules that every row of a catalogue satisfies.

Each rule is a CHECK of its table, a condition of the queries that read it, and a step of the full check. SQLite tests
a CHECK only when it writes, so readers of a file that may be damaged test the rules themselves, with `sound`.
"""

STATES = ("archived", "failed", "gone", "pending", "pruned")
#: The name of the sum over all states in the tallies: it reveals an edit that bypassed the triggers.
ALL = "all"


def _moment(column: str) -> str:
    """Return the rule for seconds since 1970, in the years 1 to 9999."""
    return f"${column} BETWEEN -62135596800 AND 253402300799"


def _seconds(column: str) -> str:
    """Return the rule for a finite number of seconds."""
    return f"${column} BETWEEN -1e12 AND 1e12"


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"${column} IN ({', '.join(map(repr, values))})"


def _date(column: str) -> str:
    return f"${column} GLOB '[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9]'"


#: SQL by table, with `$` before each column. A row for which it is NULL is not sound.
RULES = {
    "meta": "$key != 'watermark' OR ($value GLOB '[0-9]*' AND $value NOT GLOB '*[^0-9]*' AND length($value) < 12)",
    "returns": f"""
        $return_id >= 0 AND $order_id >= 0 AND {_moment("created_at")}
        AND ($month = 'undated' OR
            $month GLOB '[0-9][0-9][0-9][0-9]-[0-1][0-9]' AND substr($month, 6) BETWEEN '01' AND '12')
        AND $saved IN (0, 1) AND $pruning IN (0, 1) AND $listed >= 0 AND $awaits IN (0, 1, 2)
        AND ($held_at IS NULL OR {_moment("held_at")}) AND ($record IS NULL OR length($record) > 0)""",
    "photos": f"""
        $item >= 0 AND $image_hash != '' AND {_moment("created_at")} AND {_moment("changed_at")}
        AND $urgent IN (0, 1) AND {_one_of("state", STATES)} AND $failures >= 0 AND {_moment("not_before")}
        AND ($suffix IS NULL OR
            $suffix GLOB '.[a-z0-9]*' AND $suffix NOT GLOB '.*[^a-z0-9]*' AND length($suffix) <= 13)
        AND ($size IS NULL OR $size >= 0) AND ($sha256 IS NULL OR length($sha256) = 32)
        AND ($state != 'archived' OR ($suffix IS NOT NULL AND $size IS NOT NULL AND $sha256 IS NOT NULL))
        AND ($state != 'failed' OR ($note IS NOT NULL AND $failures > 0))""",
    "windows": f"{_date('first')} AND {_date('last')} AND {_moment('done_at')}",
    "runs": f"""
        {_moment("started_at")} AND ($ended_at IS NULL) = ($exit_code IS NULL)
        AND ($ended_at IS NULL OR {_moment("ended_at")})
        AND ($exit_code IS NULL OR $exit_code BETWEEN 0 AND 10 OR $exit_code IN (130, 143))
        AND ($summary IS NULL OR CASE WHEN json_valid($summary) THEN json_type($summary) = 'object' END)""",
    "requests": f"""
        {_one_of("method", ("campaigns", "photo", "return", "returns", "token"))}
        AND ($sent IS NULL OR {_seconds("sent")}) AND {_seconds("sent_uptime")}
        AND ($answered IS NULL OR {_seconds("answered")} AND $answered_uptime IS NOT NULL)
        AND ($answered_uptime IS NULL OR {_seconds("answered_uptime")})""",
    "tallies": f"{_one_of('state', (*STATES, ALL))} AND $photos >= 0 AND $size >= 0",
}
#: The column that identifies a row, for tables without a rowid.
_KEYS = {"meta": "key", "windows": "first", "tallies": "state"}


def check(table: str) -> str:
    """Return the CHECK constraint of the table."""
    return f"CONSTRAINT rules_of_{table} CHECK (({RULES[table].replace('$', '')}) IS TRUE)"


def sound(table: str, alias: str) -> str:
    """Return an SQL condition that is true for a sound row of `table` and raises an error for any other.

    `alias` is the table's name in the query, which needs a connection of `opening.open_catalog`.
    """
    rule = RULES[table].replace("$", f"{alias}.")
    return f"(({rule}) IS TRUE OR damaged('{table}', {alias}.{_KEYS.get(table, 'rowid')}))"
