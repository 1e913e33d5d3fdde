"""ministack that answers conditional puts as Ceph RGW 16 does: an ASGI application.

An ETag in quotes equals none. A writer that has lost a race gets an answer of 500, and 412 when it tries again.
"""

from typing import Any

from ministack.app import app as ministack

_REFUSED = 412
_lost: set[tuple[str, bytes]] = set()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer a request."""
    wanted = dict(scope.get("headers", ())).get(b"if-match")
    if wanted is None:
        await ministack(scope, receive, send)
        return
    is_quoted = wanted.startswith(b'"')
    if is_quoted:
        scope["headers"] = [(name, b"none" if name == b"if-match" else value) for name, value in scope["headers"]]
    attempt = (scope["path"], wanted)

    async def answer(message: dict[str, Any]) -> None:
        if message.get("status") == _REFUSED and not is_quoted and attempt not in _lost:
            _lost.add(attempt)
            message["status"] = 500
        await send(message)

    await ministack(scope, receive, answer)
