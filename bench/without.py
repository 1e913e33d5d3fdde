"""`python -m bench.without fsync hash -- sync -q`: the program less what is named, to see what each costs.

For measurements only: what it leaves may be lost in a power cut, and its catalogue holds no hashes.
"""

import hashlib
import os
import sys
from typing import Any


class _NoHash:
    """Instead of SHA-256: 32 zeros for anything."""

    def __init__(self, data: Any = b"", **_: Any) -> None:
        pass

    def update(self, data: Any) -> None:
        pass

    def digest(self) -> bytes:
        return bytes(32)

    def hexdigest(self) -> str:
        return "0" * 64


def leave_out(what: str) -> None:
    if what == "hash":
        hashlib.sha256 = _NoHash  # type: ignore[assignment]
    elif what == "fsync":
        os.fsync = lambda fd: None
        from market_photos.archive import schema  # noqa: PLC0415

        real = schema.open_catalog

        def unsynced(path: Any, **options: Any) -> Any:
            connection = real(path, **options)
            connection.execute("PRAGMA synchronous = OFF")
            return connection

        from market_photos.archive import database  # noqa: PLC0415

        database.open_catalog = unsynced  # type: ignore[attr-defined]
    else:
        sys.exit(f"{what}: unknown")


if __name__ == "__main__":
    split = sys.argv.index("--")
    for part in sys.argv[1:split]:
        leave_out(part)
    sys.argv[:] = ["market-photos", *sys.argv[split + 1 :]]
    from market_photos.cli import main

    main()
