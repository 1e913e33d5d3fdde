"""`market-photos browse` as a process: what it prints, how it ends."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.archives import ArchiveOf

SECONDS = 30


def environment(archive: Path) -> dict[str, str]:
    return {**os.environ, "MARKET_PHOTOS_ARCHIVE_DIRECTORY": str(archive)}


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "market_photos", "browse", *options]


def browse(archive: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*options),
        check=False,
        capture_output=True,
        text=True,
        env=environment(archive),
        cwd=archive.parent,
        timeout=SECONDS,
    )


@contextmanager
def started(arguments: list[str], archive: Path) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """browse as a process, and its address."""
    with subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(archive),
        cwd=archive.parent,
    ) as process:
        assert process.stdout
        try:
            yield process, process.stdout.readline().strip()
        finally:
            if process.poll() is None:
                process.kill()


def browsing(archive: Path, *options: str) -> "AbstractContextManager[tuple[subprocess.Popen[str], str]]":
    return started(command("--port", "0", *options), archive)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_browse_serves_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    """Prints the address and nothing else on standard output; ends in order, without a traceback."""
    ArchiveOf(tmp_path / "archive").add(order=40000123)
    with browsing(tmp_path / "archive") as (process, address):
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=SECONDS) as response:
            assert response.status == 200
        process.send_signal(number)
        out, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in errors
    assert "read-only" in errors


def test_browse_on_another_host_prints_a_token(tmp_path: Path) -> None:
    """A new one each time; without it there is nothing to see."""
    ArchiveOf(tmp_path / "archive").add()
    with browsing(tmp_path / "archive", "--host", "0.0.0.0") as (_, address):  # noqa: S104
        where, _, token = address.partition("?token=")
        port = where.rstrip("/").rpartition(":")[2]
        assert len(token) >= 32
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=SECONDS)
        refused.value.close()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/?token={token}", timeout=SECONDS) as response:
            assert token in response.headers["Set-Cookie"]


def test_foreseeable_errors_are_explained(tmp_path: Path) -> None:
    """No archive, a port that is taken, a host that this machine has not: what, and what to do; exit 2."""
    none = browse(tmp_path / "nothing")
    ArchiveOf(tmp_path / "archive").add()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = browse(tmp_path / "archive", "--port", str(taken.getsockname()[1]))
    host = browse(tmp_path / "archive", "--host", "192.0.2.1")
    for ended, told, hint in (
        (none, "no archive", "sync"),
        (port, "--port", "--port (0"),
        (host, "192.0.2.1", "--host"),
    ):
        assert ended.returncode == 2
        assert told in ended.stderr
        assert hint in ended.stderr
        assert "Traceback" not in ended.stderr
