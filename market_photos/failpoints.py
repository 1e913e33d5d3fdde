"""Points at which a test can kill the process, to check what is left.

`MARKET_PHOTOS_CRASH_AT=name:n` ends the process by SIGKILL when it reaches the point `name` for the n-th time. It is
for tests only, and is not part of the configuration.
"""

import os
import signal

VARIABLE = "MARKET_PHOTOS_CRASH_AT"

#: The points of a run, in the order of a photo's way.
RUN_POINTS = (
    "run-begun",
    "page-recorded",
    "claimed",
    "request-recorded",
    "answer-begun",
    "body-read",
    "slot-freed",
    "folder-made",  # for a large photo, these three come before the two above
    "part-opened",
    "part-written",
    "part-finished",
    "renamed",
    "record-written",
    "record-renamed",
    "folder-synced",
    "row-written",
    "record-saved",
    "recorded",
    "watermark-moved",
    "run-ended",
)
#: Those of the maintenance commands.
UPKEEP_POINTS = (
    "set-aside",
    "requeued",
    "repair-kept",
    "rebuilding",
    "rebuilt",
    "tombstoned",
    "pruning",
    "pruned",
    "copying",
    "copied",
)

_name, _, _times = os.environ.get(VARIABLE, "").partition(":")
_left = int(_times) if _times.isdecimal() else 1


def point(name: str) -> None:
    """Kill the process if the variable names this point."""
    global _left  # noqa: PLW0603 - one process dies once
    if name != _name:
        return
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
