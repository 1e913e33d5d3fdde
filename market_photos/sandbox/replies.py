"""Build the API's JSON answers and errors."""

import json
from typing import Any

from market_photos.sandbox.wire import Reply

JSON = "application/json;charset=UTF-8"


class Refused(Exception):
    """Raised to answer with an error. The error codes are invented: none are documented."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.reply = error(status, code, message)


def json_reply(content: Any, status: int = 200) -> Reply:
    """Return an answer with this content as JSON."""
    return Reply(status, {"Content-Type": JSON}, json.dumps(content, ensure_ascii=False).encode())


def error(status: int, code: str, message: str) -> Reply:
    """Return the API's error body with this status."""
    return json_reply({"status": "ERROR", "errors": [{"code": code, "message": message}]}, status)
