"""`market-photos browse` as a process: what it prints, how it ends."""

import os
import signal
import socket
import stat
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
    """Start browse as a process; yield it and its address."""
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
    """It prints only the address on standard output, and ends without a traceback."""
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
    """Each start makes a new token; without it, nothing is shown."""
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


def test_a_token_in_a_file_stays(tmp_path: Path) -> None:
    """browse makes it once; every visitor needs it, also on this machine, and it is printed nowhere."""
    archive, file = tmp_path / "archive", tmp_path / "token"
    ArchiveOf(archive).add(order=40000123)
    (tmp_path / "config.toml").write_text(
        f'[archive]\ndirectory = "{archive}"\n[browse]\ntoken_file = "token"\n', encoding="utf-8"
    )
    tokens = []
    for _ in range(2):
        with browsing(archive, "--config", str(tmp_path / "config.toml")) as (process, address):
            tokens.append(file.read_text().strip())
            assert "token" not in address
            with pytest.raises(urllib.error.HTTPError, match="401") as refused:
                urllib.request.urlopen(address, timeout=SECONDS)
            refused.value.close()
            with urllib.request.urlopen(f"{address}?token={tokens[0]}", timeout=SECONDS) as response:
                assert tokens[0] in response.headers["Set-Cookie"]
            process.send_signal(signal.SIGTERM)
            out, errors = process.communicate(timeout=SECONDS)
            assert (process.returncode, tokens[0] in out + errors) == (0, False)
    assert tokens[0] == tokens[1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(("content", "mode", "told"), [("short", 0o600, "16 to 200"), ("x" * 30, 0o644, "chmod 600")])
def test_a_token_file_that_is_unsafe_is_refused(tmp_path: Path, content: str, mode: int, told: str) -> None:
    ArchiveOf(tmp_path / "archive").add()
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(mode)
    (tmp_path / "config.toml").write_text(f'[browse]\ntoken_file = "{file}"\n')
    ended = browse(tmp_path / "archive", "--config", str(tmp_path / "config.toml"))
    assert (ended.returncode, told in ended.stderr, "Traceback" in ended.stderr) == (2, True, False)


def test_a_reverse_proxy_may_serve_it_by_its_name(tmp_path: Path) -> None:
    """Only by the name that is allowed, and only with the token."""
    ArchiveOf(tmp_path / "archive").add()
    with browsing(tmp_path / "archive", "--allow-host", "Photos.Example") as (_, address):
        where, _, token = address.partition("?token=")
        assert len(token) >= 32
        for host, status in (("photos.example", 401), ("other.example", 421)):
            request = urllib.request.Request(where, headers={"Host": host})
            with pytest.raises(urllib.error.HTTPError, match=str(status)) as refused:
                urllib.request.urlopen(request, timeout=SECONDS)
            refused.value.close()
        request = urllib.request.Request(f"{where}?token={token}", headers={"Host": "photos.example"})
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            assert response.status == 200


def test_an_archive_is_shown_without_a_configuration(tmp_path: Path) -> None:
    ArchiveOf(tmp_path / "archive").add()
    arguments = command("--port", "0", "--archive", str(tmp_path / "archive"))
    with started(arguments, tmp_path / "nothing") as (_, address), urllib.request.urlopen(address) as response:
        assert response.status == 200


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
