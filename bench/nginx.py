"""Serve a corpus with nginx: static files under the API's paths, a delay before each photo, a log of requests."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ECHO = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")

#: The certificate of a server with TLS, in its root.
CERT = "cert.pem"

_CONFIG = """
{load}{user}daemon off; worker_processes 2; worker_rlimit_nofile 8192;
pid {root}/nginx.pid; error_log {root}/error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_timeout 0;
  client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
  uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
  log_format times '$msec $request_time $uri';
  server {{
    listen 127.0.0.1:{port} {ssl}backlog=1024; {certificate} root {files}; default_type image/jpeg;
    location = /v2/campaigns {{ default_type application/json; try_files /campaigns =404; }}
    location ~ ^/v2/campaigns/(?<store>[0-9]+)/returns$ {{
      default_type application/json; try_files /pages/$store/p$arg_pageToken =404;
    }}
    location /v2/ {{ access_log {root}/access.log times; {delay} }}
    location @photo {{ access_log {root}/access.log times; }}
  }}
}}
"""


@dataclass(frozen=True)
class Answer:
    """A photo that the server sent; times in seconds since 1970, exact to a millisecond."""

    began: float
    ended: float
    path: str


class Nginx:
    def __init__(self, root: Path, url: str) -> None:
        self.url = url
        self._root = root
        self._log = root / "access.log"

    def trust(self) -> dict[str, str]:
        """Return the environment in which its certificate is trusted; aria2c needs an argument instead."""
        names = ("SSL_CERT_FILE", "CURL_CA_BUNDLE") if self.url.startswith("https") else ()
        return dict.fromkeys(names, str(self._root / CERT))

    def take_log(self) -> list[Answer]:
        """Return the photos served since the last call, in the order of their end."""
        lines = self._log.read_text().splitlines()
        with self._log.open("r+") as file:  # nginx appends, so it continues at the new end
            file.truncate(0)
        return [_answer(line) for line in lines]


def _answer(line: str) -> Answer:
    ended, took, path = line.split(" ", 2)
    return Answer(float(ended) - float(took), float(ended), path)


def missing() -> str:
    """Return why nginx cannot be used here; empty if it can."""
    if not executable():
        return "nginx is not installed (Debian: nginx-light)"
    return "" if ECHO.exists() else "nginx has no echo module (Debian: libnginx-mod-http-echo)"


def executable() -> str | None:
    return shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@contextmanager
def serving(files: Path, root: Path, *, delay: float = 0, tls: bool = False) -> Iterator[Nginx]:
    """Run a server on a free port of loopback that waits `delay` seconds before each photo.

    `tls` uses a new certificate, `cert.pem` in its root.
    """
    root.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = root / "nginx.conf"
    config.write_text(
        _CONFIG.format(
            root=root,
            files=files,
            port=port,
            user="user root; " if os.geteuid() == 0 else "",  # otherwise its workers cannot read our folder
            load=f"load_module {ECHO}; " if delay else "",
            ssl="ssl " if tls else "",
            certificate=_certificate(root) if tls else "",
            delay=f"echo_sleep {delay}; echo_exec @photo;" if delay else "",
        )
    )
    (root / "access.log").touch()
    process = subprocess.Popen([str(executable()), "-p", str(root), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield Nginx(root, f"{'https' if tls else 'http'}://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(10)


def _certificate(root: Path) -> str:
    """Make a certificate for a month; return the lines of the configuration that name it."""
    kind = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=127.0.0.1"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(root / "key.pem"), "-out", str(root / CERT)]
    subprocess.run(["openssl", "req", *kind.split(), *names], check=True, capture_output=True)
    return f"ssl_certificate {root / CERT}; ssl_certificate_key {root / 'key.pem'};"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(port: int) -> None:
    """Wait until the port answers, five seconds at most."""
    for _ in range(500):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.01)
    raise TimeoutError(f"nothing answers on port {port}")
