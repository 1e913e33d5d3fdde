"""HTTPS_PROXY and its like lead through a real proxy (tinyproxy); the rules for quota and key stay the same."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from market_photos.errors import ExitCode, ServerUnavailable
from market_photos.sandbox import ALWAYS, Market, actions, running
from tests.integration.conftest import MakeWorld
from tests.integration.harness import World, fill, wait_until

pytestmark = [
    pytest.mark.skipif(shutil.which("tinyproxy") is None, reason="tinyproxy is not installed"),
    pytest.mark.usefixtures("quick"),
]


class Proxy:
    """A tinyproxy on this machine."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = _free_port()
        self._log = folder / "tinyproxy.log"
        self._config = folder / "tinyproxy.conf"
        own = [f"Port {self.port}", "Listen 127.0.0.1", f'LogFile "{self._log}"', "LogLevel Connect", "MaxClients 50"]
        self._config.write_text("\n".join([*own, *lines, ""]))

    @property
    def requests(self) -> list[str]:
        """Return the first lines of the requests that the proxy has seen."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [line.partition("): ")[2] for line in lines if "Request (" in line]

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        process = subprocess.Popen(["tinyproxy", "-d", "-c", self._config], stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: _is_open(self.port))
            yield self
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def tls_in_front_of(port: int, folder: Path) -> Iterator[int]:
    """Open a TLS port on 127.0.0.1 in front of a plain one; its certificate is folder/cert.pem."""
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=api -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, context, port), daemon=True).start()
        yield listener.getsockname()[1]


def _accept(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_relay, args=(plain, context, port), daemon=True).start()


def _relay(plain: socket.socket, context: ssl.SSLContext, port: int) -> None:
    """Relay one request and its answer."""
    try:
        with (
            context.wrap_socket(plain, server_side=True) as outside,
            socket.create_connection(("127.0.0.1", port)) as inside,
        ):
            inside.sendall(outside.recv(65536))
            while data := inside.recv(65536):
                outside.sendall(data)
    except OSError:
        pass


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _is_open(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with Proxy(tmp_path).running() as proxy:
        yield proxy


@pytest.fixture
def set_proxy(monkeypatch: pytest.MonkeyPatch, proxy: Proxy) -> Callable[..., None]:
    def set_it(**names: str) -> None:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        for name, value in names.items():
            monkeypatch.setenv(name, value)

    return set_it


def test_every_request_goes_through_the_proxy(world: World, proxy: Proxy, set_proxy: Callable[..., None]) -> None:
    """Each request is counted, faults pass through the proxy, and the archive is right."""
    photos = fill(world.market.stores[101], returns=10)
    world.sandbox.faults.add(actions.status(503), image_hash=photos[3].image_hash)
    world.sandbox.faults.add(actions.cut(1000), image_hash=photos[5].image_hash)
    set_proxy()
    report = world.sync()
    assert report.exit_code is ExitCode.COMPLETE
    assert len(proxy.requests) == len(world.log) == report.as_json()["requests"]
    world.assert_archive_is_right()


def test_no_proxy_is_honoured(world: World, proxy: Proxy, set_proxy: Callable[..., None]) -> None:
    fill(world.market.stores[101], returns=2)
    set_proxy(NO_PROXY="127.0.0.1")
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert proxy.requests == []


def test_the_key_does_not_follow_a_redirect_through_the_proxy(
    world: World, proxy: Proxy, set_proxy: Callable[..., None]
) -> None:
    (photo,) = fill(world.market.stores[101], returns=1)
    set_proxy()
    with running(Market()) as stranger:
        world.sandbox.faults.add(actions.redirect(f"{stranger.url}/cdn/1.jpg"), kind="photo")
        stranger.faults.add(actions.status(200, body=photo.body, content_type="image/jpeg"), kind="other")
        assert world.sync().exit_code is ExitCode.COMPLETE
        assert ["api-key" in entry.headers for entry in stranger.log] == [False]
    assert any("/cdn/1.jpg" in request for request in proxy.requests)


def test_a_literal_private_address_is_refused_behind_the_proxy_too(
    world: World, proxy: Proxy, set_proxy: Callable[..., None]
) -> None:
    fill(world.market.stores[101], returns=1)
    set_proxy(HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}")
    world.sandbox.faults.add(actions.redirect("https://10.0.0.1/x.jpg"), kind="photo", times=ALWAYS)
    assert world.sync().exit_code is ExitCode.FAILED
    assert not any("10.0.0.1" in request for request in proxy.requests)


@pytest.mark.slow
def test_a_proxy_that_is_down_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{_free_port()}")
    with pytest.raises(ServerUnavailable, match="cannot connect to the proxy"):
        world.sync()


def test_https_goes_through_a_tunnel_with_a_password(make_world: MakeWorld, tmp_path: Path) -> None:
    """The proxy sees host and port, but neither the key nor a path."""
    world = make_world({"limits": {"photo_requests": 6, "period_seconds": 2}})
    fill(world.market.stores[101], returns=12)
    with (
        tls_in_front_of(world.sandbox.port, tmp_path) as port,
        Proxy(tmp_path, "BasicAuth me secret").running() as proxy,
    ):
        world.settings["api"] = {"base_url": f"https://127.0.0.1:{port}"}
        certificate = {"SSL_CERT_FILE": str(tmp_path / "cert.pem")}
        wrong = world.program("sync", env=certificate | {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"})
        assert wrong.code == ExitCode.SERVER
        assert "the proxy answers HTTP 407" in wrong.stderr
        assert len(world.log) == 0
        done = world.program("sync", env=certificate | {"HTTPS_PROXY": f"http://me:secret@127.0.0.1:{proxy.port}"})
        assert done.code == ExitCode.COMPLETE
        assert {request for request in proxy.requests if world.log} == {f"CONNECT 127.0.0.1:{port} HTTP/1.1"}
    assert world.log.worst_window("photo", 2.0) <= 6
    world.assert_archive_is_right()
    assert "secret" not in "".join(world.written)
