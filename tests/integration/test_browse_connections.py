"""Connections that send nothing, send slowly, or do not read keep no browser out."""

import resource
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.archives import ArchiveOf, photo_address
from tests.integration.test_browse_command import SECONDS, command, started

#: More than the files that the process may open.
MANY = 1100


@pytest.fixture
def store(tmp_path: Path) -> ArchiveOf:
    store = ArchiveOf(tmp_path / "archive")
    store.bring(store.add(order=40000123, return_id=9))
    return store


FEW_FILES = ["sh", "-c", 'ulimit -n 256 && exec "$@"', "sh", *command("--port", "0")]
IDLE_FOR_A_SECOND = [
    sys.executable,
    "-c",
    "from market_photos.browse import connections; connections.IDLE_SECONDS = 1; "
    "from market_photos.cli.main import main; main()",
    *command("--port", "0")[3:],
]


def connected(address: str, open_ones: ExitStack, sent: bytes = b"") -> socket.socket:
    where = urlsplit(address)
    assert where.hostname
    connection = open_ones.enter_context(socket.create_connection((where.hostname, where.port or 80), SECONDS))
    connection.sendall(sent)
    return connection


def seconds_for_page(address: str) -> float:
    began = time.monotonic()
    with urllib.request.urlopen(f"{address}return/101/40000123/9", timeout=SECONDS) as response:
        assert b"40000123" in response.read()
    return time.monotonic() - began


def log_of(process: "subprocess.Popen[str]") -> list[str]:
    process.terminate()
    return process.communicate(timeout=SECONDS)[1].splitlines()


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """Allow this process enough files for its side of the connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n"], ids=["silent", "half a head"])
def test_1100_silent_connections_block_no_reader(store: ArchiveOf, sent: bytes) -> None:
    with started(FEW_FILES, store.archive) as (process, address), ExitStack() as open_ones:
        seconds_for_page(address)
        for _ in range(MANY):
            connected(address, open_ones, sent)
        for _ in range(3):
            assert seconds_for_page(address) < 2
        lines = log_of(process)
        assert len(lines) < 5, "\n".join(lines)


def test_connections_that_do_not_read_block_no_reader(store: ArchiveOf) -> None:
    """The photo is larger than any buffer, and more connections ask for it than one address may have."""
    back = store.add()
    store.bring(back, b"\xff\xd8\xff" + bytes(20_000_000))
    ask = f"GET {photo_address('file', back)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with started(FEW_FILES, store.archive) as (process, address), ExitStack() as open_ones:
        for _ in range(200):
            connected(address, open_ones, ask)
        assert seconds_for_page(address) < 2
        lines = log_of(process)
        assert len(lines) < 5, "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "dripped"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\na: ", b"a"),
        (b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
    ],
    ids=["silent", "drip", "after an answer"],
)
def test_an_idle_connection_is_closed(store: ArchiveOf, sent: bytes, dripped: bytes) -> None:
    """This holds without other connections; bytes of an endless head do not count as activity."""
    with started(IDLE_FOR_A_SECOND, store.archive) as (_, address), ExitStack() as open_ones:
        connection = connected(address, open_ones, sent)
        connection.settimeout(0.2)
        until = time.monotonic() + SECONDS
        with suppress(ConnectionError):
            while time.monotonic() < until:
                try:
                    if not connection.recv(10_000):
                        return
                except TimeoutError:
                    connection.sendall(dripped)
            pytest.fail("still open")


def test_running_out_of_file_descriptors_keeps_the_log_short(store: ArchiveOf) -> None:
    """The process stays alive and answers once it can open files again."""
    with started(FEW_FILES, store.archive) as (process, address), ExitStack() as open_ones:
        seconds_for_page(address)
        used = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used + 1, 256))
        for _ in range(200):
            connected(address, open_ones, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(2)  # the server tries again and again
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (256, 256))
        assert seconds_for_page(address) < 2
        assert 1 <= len(log_of(process)) < 10
