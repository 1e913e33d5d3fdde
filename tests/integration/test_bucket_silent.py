"""A storage that never answers keeps no command from ending at Ctrl-C."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.buckets import KEYS
from tests.integration.harness import World, a_world

pytest.importorskip("obstore", reason="the extra `s3` is not installed")
pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
END_S = 4.0


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def world(tmp_path: Path, listening: socket.socket) -> Iterator[World]:
    endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
    archive = {"url": "s3://silent/market", "endpoint": endpoint, "scratch": str(tmp_path / "scratch")}
    with a_world(tmp_path, archive=archive) as world:
        yield world


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("sync", "--json"), 130),
        (("doctor",), 130),
        (("worker", "tcp://127.0.0.1:9"), 0),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_ctrl_c_ends_a_command_that_waits_for_it(
    world: World, listening: socket.socket, command: tuple[str, ...], code: int
) -> None:
    process = world.start(*command, env=KEYS)
    listening.settimeout(30)
    connection, _ = listening.accept()
    with connection:
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        outcome = world.end_of(process)
    assert time.monotonic() - sent < END_S
    assert outcome.code == code, outcome.text
    assert "Traceback" not in outcome.stderr
