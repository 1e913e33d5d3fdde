"""The API's way to say something, and to refuse."""

import json
from typing import Any

from market_photos.sandbox.wire import Reply

JSON = "application/json;charset=UTF-8"


class Refused(Exception):
    """Answered with an error. The codes are ours: none are documented."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.reply = error(status, code, message)


def json_reply(content: Any, status: int = 200) -> Reply:
    return Reply(status, {"Content-Type": JSON}, json.dumps(content, ensure_ascii=False).encode())


def error(status: int, code: str, message: str) -> Reply:
    return json_reply({"status": "ERROR", "errors": [{"code": code, "message": message}]}, status)
