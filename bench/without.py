"""Run the program without fsync or SHA-256, to measure what each costs.

    python -m bench.without fsync hash -- sync -q

For measurements only: a power cut may lose files, and the catalogue has no hashes. The process ends with NOT_LEFT_OUT
if the step was done after all, or never reached: the measurement is then not valid.
"""

import hashlib
import os
import sqlite3
import sys
from collections import Counter
from typing import Any

#: The exit code of a measurement that is not valid.
NOT_LEFT_OUT = 70
#: How often each step was left out.
skipped: Counter[str] = Counter()


class _NoHash:
    """Stand in for SHA-256: the digest of anything is 32 zero bytes."""

    def __init__(self, data: Any = b"", **_: Any) -> None:
        skipped["hash"] += 1

    def update(self, data: Any) -> None:
        pass

    def digest(self) -> bytes:
        return bytes(32)

    def hexdigest(self) -> str:
        return "0" * 64


class _Unsynced(sqlite3.Connection):
    """A connection that never waits for the disk, whatever the program sets."""

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if not statement.lstrip().upper().startswith("PRAGMA SYNCHRONOUS"):
            return super().execute(statement, *values)
        skipped["synchronous"] += 1
        return super().execute("PRAGMA synchronous = OFF")

    def close(self) -> None:
        if super().execute("PRAGMA synchronous").fetchone()[0] != 0:
            skipped["still synced"] += 1
        super().close()


def leave_out(step: str) -> None:
    """Leave a step out of this process. `step`: fsync or hash."""
    if step == "hash":
        hashlib.sha256 = _NoHash  # type: ignore[assignment]
    elif step == "fsync":
        os.fsync = _no_fsync  # type: ignore[assignment]
        connect = sqlite3.connect

        def unsynced(*arguments: Any, **options: Any) -> sqlite3.Connection:
            kind = type("Unsynced", (_Unsynced, options.pop("factory", sqlite3.Connection)), {})
            connection: sqlite3.Connection = connect(*arguments, **options, factory=kind)
            connection.execute("PRAGMA synchronous")
            return connection

        sqlite3.connect = unsynced  # type: ignore[assignment]
    else:
        sys.exit(f"{step}: unknown; fsync and hash can be left out")


def _no_fsync(descriptor: Any) -> None:
    skipped["fsync"] += 1


def was_left_out(step: str) -> bool:
    """Return whether the program reached the step and did not do it."""
    if step == "fsync":
        return skipped["fsync"] > 0 and skipped["synchronous"] > 0 and not skipped["still synced"]
    return skipped[step] > 0


def main() -> None:
    """Run the program without some steps. The command line holds the steps, `--`, and the program's own arguments."""
    split = sys.argv.index("--")
    steps = sys.argv[1:split]
    for step in steps:
        leave_out(step)
    sys.argv[:] = ["market-photos", *sys.argv[split + 1 :]]
    from market_photos.cli.main import main as program  # noqa: PLC0415 - after the steps were left out

    try:
        program()
    finally:
        if not all(map(was_left_out, steps)):
            sys.stderr.write(f"not left out: {steps}, skipped {dict(skipped)}\n")
            os._exit(NOT_LEFT_OUT)


if __name__ == "__main__":
    main()
