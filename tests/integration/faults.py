"""A proxy in front of a storage that answers some requests with faults, or slowly."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.integration.buckets import Storage


class Fault(Enum):
    """What becomes of a request."""

    SLOW_DOWN = auto()
    """It is refused with 503."""
    CONFLICT = auto()
    """It is refused with 409."""
    DENIED = auto()
    """It is refused with 403."""
    LOST_REQUEST = auto()
    """The connection is reset before the storage sees it."""
    LOST_ANSWER = auto()
    """The storage does it, and the connection is reset."""


#: Says what becomes of a request, by its method and path; None: it passes.
Chooses = Callable[[str, str], Fault | None]
_REFUSALS = {
    Fault.SLOW_DOWN: (503, "SlowDown"),
    Fault.CONFLICT: (409, "ConditionalRequestConflict"),
    Fault.DENIED: (403, "AccessDenied"),
}


class FaultyStorage(Storage):
    """The storage behind the proxy. `chooses` may be changed at any time."""

    chooses: Chooses
    delay: float
    requests: list[tuple[str, Fault | None]]
    at_work: set[int]
    most_at_once: int


@contextmanager
def faulty(storage: Storage, chooses: Chooses = lambda *_: None, *, delay: float = 0.0) -> Iterator[FaultyStorage]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = proxied.chooses(self.command, self.path)
            proxied.requests.append((f"{self.command} {self.path}", fault))
            proxied.at_work.add(id(self))
            proxied.most_at_once = max(proxied.most_at_once, len(proxied.at_work))
            time.sleep(proxied.delay)
            proxied.at_work.discard(id(self))
            if fault in _REFUSALS:
                status, code = _REFUSALS[fault]
                self._answer(status, {}, f"<Error><Code>{code}</Code></Error>".encode())
                return
            if fault is not Fault.LOST_REQUEST:
                status, headers, content = self._forward(body)
                if fault is None:
                    self._answer(status, headers, content)
                    return
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

        def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            behind = http.client.HTTPConnection(urlsplit(storage.endpoint).netloc, timeout=30)
            try:
                behind.request(self.command, self.path, body, dict(self.headers))
                answer = behind.getresponse()
                return answer.status, dict(answer.getheaders()), answer.read()
            finally:
                behind.close()

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            length = headers.get("content-length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815 - the names of http.server

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_: object) -> None:
            """Say nothing of a connection that was reset."""

    server = Server(("127.0.0.1", 0), Handler)
    proxied = FaultyStorage(f"http://127.0.0.1:{server.server_port}", storage.process)
    proxied.chooses, proxied.delay, proxied.requests = chooses, delay, []
    proxied.at_work, proxied.most_at_once = set(), 0
    serving = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    serving.start()
    try:
        yield proxied
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
