"""A way to a server for one of its clients, which a test can close or block."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple
from urllib.parse import urlsplit

_HEAD = re.compile(rb"([A-Z]+) ([^ ?]+)\S* HTTP/1\.1\r\n")


class Passed(NamedTuple):
    """A request that came to the gate; `at` comes from time.monotonic()."""

    method: str
    path: str
    at: float


class Gate:
    """Relays connections to a server, and notes the requests in them."""

    def __init__(self, url: str) -> None:
        server = urlsplit(url)
        self._server = (str(server.hostname), int(server.port or 0))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends = {self._listener}
        self._is_open = True
        self.url = f"{server.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.passed: list[Passed] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Cut off all connections, and refuse new ones."""
        self.block()
        for end in list(self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def block(self) -> None:
        """Let nothing through any more; connections stay open, as where a cable is pulled."""
        self._is_open = False

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.create_connection(self._server) as server:
            self._ends |= {client, server}
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()
            for data in self._received(client):
                # A client sends no request before the answer to the last one: a head begins what is received.
                if head := _HEAD.match(data):
                    self.passed.append(Passed(head[1].decode(), head[2].decode(), time.monotonic()))
                server.sendall(data)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            for data in self._received(server):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def _received(self, end: socket.socket) -> Iterator[bytes]:
        while data := end.recv(65536):
            if self._is_open:
                yield data


@contextmanager
def gate(url: str) -> Iterator[Gate]:
    """A gate in front of the server at this address."""
    opened = Gate(url)
    try:
        yield opened
    finally:
        opened.close()
