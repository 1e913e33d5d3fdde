"""The catalogue's tables: one SQLite file a store.

States of a photo: pending -> archived | gone (404) | failed (with a reason and the time of the next attempt); any but
gone -> pruned (a tombstone: never downloaded again).
"""

import sqlite3
from contextlib import closing
from functools import cache

from market_photos.archive.catalog.rules import ALL, STATES, check
from market_photos.archive.catalog.soundness import Part, parts_of

APPLICATION_ID = 0x4D504341
#: The format. A change of the text below is a new one: `opening` compares it.
VERSION = 1

SCHEMA = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL, {check("meta")}) STRICT, WITHOUT ROWID;

CREATE TABLE returns(
    id INTEGER PRIMARY KEY,
    return_id INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    month TEXT NOT NULL,                 -- of the folder of its photos; never changes
    created_at INTEGER NOT NULL,         -- seconds since 1970
    record BLOB,                         -- the API's record, see record_codec.py; kept if it has photos or awaits
    saved INTEGER NOT NULL DEFAULT 0,    -- whether return.json on disk holds this record
    listed INTEGER NOT NULL DEFAULT 0,   -- the last listing that contained it
    status TEXT,                         -- refundStatus, also of a return without a record
    awaits INTEGER NOT NULL DEFAULT 0,   -- the seller's decision: 1, or 2 when a report has named it
    held_at INTEGER,                     -- since when it is exempt from pruning
    pruning INTEGER NOT NULL DEFAULT 0,  -- 1: pruned, but its files are not removed yet
    UNIQUE(return_id, order_id),
    {check("returns")}
) STRICT;
CREATE INDEX returns_to_save ON returns(id) WHERE saved = 0 AND record IS NOT NULL;
CREATE INDEX returns_to_prune ON returns(id) WHERE pruning = 1;
CREATE INDEX returns_awaiting ON returns(created_at, id) WHERE awaits > 0;

CREATE TABLE photos(
    id INTEGER PRIMARY KEY,
    return_row INTEGER NOT NULL REFERENCES returns(id),
    item INTEGER NOT NULL,
    image_hash TEXT NOT NULL,
    urgent INTEGER NOT NULL DEFAULT 0,   -- 1: its return awaits the seller's decision; orders the queue
    created_at INTEGER NOT NULL,         -- of the return; orders the queue
    state TEXT NOT NULL,
    changed_at INTEGER NOT NULL,         -- time of the last change of state
    suffix TEXT,
    size INTEGER,
    sha256 BLOB,
    content_type TEXT,
    note TEXT,                           -- anything unusual, or why it failed or is gone
    failures INTEGER NOT NULL DEFAULT 0, -- runs that failed to download it
    not_before INTEGER NOT NULL DEFAULT 0,
    UNIQUE(return_row, item, image_hash),
    {check("photos")}
) STRICT;
CREATE INDEX photo_queue ON photos(failures, urgent DESC, created_at DESC, id) WHERE state = 'pending';
CREATE INDEX photo_counts ON photos(state, size);

CREATE TABLE windows(
    first TEXT NOT NULL, last TEXT NOT NULL, done_at INTEGER NOT NULL,
    PRIMARY KEY(first, last),
    {check("windows")}
) STRICT, WITHOUT ROWID;

CREATE TABLE runs(
    id INTEGER PRIMARY KEY,
    command TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    exit_code INTEGER,
    summary TEXT,                        -- JSON: the counts, and the error if any
    {check("runs")}
) STRICT;

CREATE TABLE requests(                   -- of the last period: they count against the quota after a restart
    id INTEGER PRIMARY KEY,
    method TEXT NOT NULL,
    photo INTEGER,
    sent REAL, boot TEXT NOT NULL, sent_uptime REAL NOT NULL,
    answered REAL, answered_uptime REAL, -- latest possible server time; NULL if unknown
    {check("requests")}
) STRICT;

-- photos and bytes by state, kept by triggers: counting a million photos takes a tenth of a second
CREATE TABLE tallies(
    state TEXT PRIMARY KEY, photos INTEGER NOT NULL, size INTEGER NOT NULL,
    {check("tallies")}
) STRICT, WITHOUT ROWID;
INSERT INTO tallies VALUES {", ".join(f"('{state}', 0, 0)" for state in (*STATES, ALL))};

CREATE TRIGGER photo_added AFTER INSERT ON photos BEGIN
    UPDATE tallies SET photos = photos + 1, size = size + coalesce(new.size, 0) WHERE state IN (new.state, '{ALL}');
END;
CREATE TRIGGER photo_changed AFTER UPDATE OF state, size ON photos BEGIN
    UPDATE tallies SET photos = photos - 1, size = size - coalesce(old.size, 0) WHERE state IN (old.state, '{ALL}');
    UPDATE tallies SET photos = photos + 1, size = size + coalesce(new.size, 0) WHERE state IN (new.state, '{ALL}');
END;
CREATE TRIGGER photo_removed AFTER DELETE ON photos BEGIN
    UPDATE tallies SET photos = photos - 1, size = size - coalesce(old.size, 0) WHERE state IN (old.state, '{ALL}');
END;
"""


def create(connection: sqlite3.Connection, campaign: int) -> None:
    """Create the tables of an empty catalogue, in one transaction."""
    owner = f"INSERT INTO meta VALUES ('campaign', '{campaign:d}');"
    marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
    connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {owner} {marks} COMMIT;")


@cache
def expected_parts() -> frozenset[Part]:
    """Return the tables, indexes and triggers of a catalogue of this format."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return parts_of(connection)
