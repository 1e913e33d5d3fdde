"""Object storage on this machine: ministack keeps the conditions of puts, also as Ceph does; rclone ignores them."""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store

from tests.integration.harness import script

#: What the program and the servers are told. Neither server checks it.
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "secret/of+the+tests/0123456789abcdef"}
#: Seconds after which a server must answer.
PATIENCE_S = 30.0
#: Seconds for which a lease counts in a program `with_leases`, and until it is taken over. On a busy machine a thread
#: may wait for seconds before it renews one.
TTL, SLACK = 8.0, 2.0


def with_leases(*lines: str, ttl: float = TTL, slack: float = SLACK) -> str:
    """The program, with leases that count for `ttl` seconds, after these lines."""
    return script(
        "from market_photos.archive import lease, objects",
        f"lease.TTL, lease.SLACK, lease.RENEW_SECONDS, lease.RETRY_SECONDS = {ttl}, {slack}, 1.0, 0.3",
        "objects.SHORT_SECONDS = objects.REPEAT_SECONDS = 2",
        *lines,
    )


def taking_over_after(seconds: float) -> str:
    """The program, which takes leases over so early, and frees the slots of the run before; all else is as always."""
    return script(
        "from functools import partial",
        "from market_photos.archive import lease",
        "from market_photos.sync import ledger",
        f"lease.SLACK = {seconds} - lease.TTL",
        "ledger.Slots, ledger.RECORDED_SECONDS = partial(ledger.Slots, cool_down=0.1), 0.1",
    )


@dataclass
class Storage:
    """A server. Each bucket is a test's own."""

    endpoint: str
    process: "subprocess.Popen[bytes]"

    def make_bucket(self) -> str:
        name = f"bucket-{secrets.token_hex(6)}"
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")).close()
        return name

    def settings(self, bucket: str, scratch: Path) -> dict[str, Any]:
        """The section [archive] for an archive in that bucket."""
        return {"url": f"s3://{bucket}/market", "endpoint": self.endpoint, "scratch": str(scratch)}


def store_of(storage: Storage, bucket: str) -> S3Store:
    return S3Store(
        bucket,
        prefix="market",
        endpoint=storage.endpoint,
        access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def objects(store: S3Store, prefix: str = "") -> dict[str, bytes]:
    """The content of every object, by its key."""
    found = {}
    for path in [meta["path"] for batch in obstore.list(store, prefix or None) for meta in batch]:
        with suppress(FileNotFoundError):  # removed meanwhile
            found[path] = bytes(obstore.get(store, path).bytes())
    return found


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@contextmanager
def ministack(folder: Path, *options: str, app: str = "ministack.app:app") -> Iterator[Storage]:
    """`options`: of hypercorn. Its output is in `storage.log`."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "hypercorn", "--workers", "0", app, "-b", address, *options]
    environment = {"SERVICES": "s3", "PYTHONPATH": str(Path(__file__).parents[2])} | KEYS
    with serving(command, f"http://{address}", folder, environment) as storage:
        yield storage


@contextmanager
def ceph_like(folder: Path) -> Iterator[Storage]:
    with ministack(folder, app="tests.integration.ceph_like:app") as storage:
        yield storage


@contextmanager
def rclone(folder: Path) -> Iterator[Storage]:
    address = f"127.0.0.1:{free_port()}"
    key = ",".join(KEYS.values())
    program = Path(sys.executable).parent / "rclone"
    (folder / "served").mkdir()
    command = [str(program), "serve", "s3", "--addr", address, "--auth-key", key, str(folder / "served")]
    with serving(command, f"http://{address}", folder, {"RCLONE_CONFIG": str(folder / "none.conf")}) as storage:
        yield storage


@contextmanager
def serving(command: list[str], endpoint: str, folder: Path, environment: dict[str, str]) -> Iterator[Storage]:
    with (folder / "storage.log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log, cwd=folder)
        try:
            _wait_until_it_answers(endpoint, process)
            yield Storage(endpoint, process)
        finally:
            process.kill()
            process.wait()


def _wait_until_it_answers(endpoint: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(endpoint, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not answer")
