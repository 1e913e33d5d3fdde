"""Where a process can be made to die, so that a test can kill it at each step of its work and look at what is left.

`MARKET_PHOTOS_CRASH_AT=name:n` ends this process by SIGKILL the n-th time it comes by the point `name`. Killing from
outside hits the same place twice only by luck; this hits each of them, every time. It is no setting: it stands in no
configuration and does nothing unless it is asked for.
"""

import os
import signal

VARIABLE = "MARKET_PHOTOS_CRASH_AT"

#: Every point, in the order in which a photo meets them, then those of the owner's commands.
POINTS = (
    "run-begun",
    "page-recorded",
    "claimed",
    "request-recorded",
    "answer-begun",
    "body-read",
    "slot-freed",
    "folder-made",  # these three of a large photo before the two above
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
    "set-aside",
    "requeued",
    "rebuilding",
    "rebuilt",
    "tombstoned",
    "pruning",
    "pruned",
)

_name, _, _times = os.environ.get(VARIABLE, "").partition(":")
_left = int(_times) if _times.isdecimal() else 1


def point(name: str) -> None:
    """The process ends here where that was asked for."""
    global _left  # noqa: PLW0603 - one process dies once
    if name != _name:
        return
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
