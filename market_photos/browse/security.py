"""Restrict who may read the pages, and what a browser may do with them.

- Only GET and HEAD are allowed.
- The Host header must name this machine. Otherwise a foreign page could let its own name resolve to this address and
  read the archive (DNS rebinding). Such an attack needs a name, so every numeric address is accepted.
- Other machines need a token: first in the address, then in a cookie that other sites cannot send.
- A page may load only files of this server.
"""

import hmac
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

COOKIE = "market_photos_token"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CSP = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
#: For photos: nothing in such a file is executed.
FILE_CSP = "default-src 'none'; img-src 'self'; frame-ancestors 'none'; sandbox"

HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "private, no-cache",
    "Server": "market-photos",
}


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers to every response, also to errors and files (a signal handler of the application)."""
    for name, value in HEADERS.items():
        if name == "Server" or name not in response.headers:
            response.headers[name] = value


@dataclass(frozen=True)
class AccessPolicy:
    """Which requests are allowed."""

    names: frozenset[str]
    """Names allowed in the Host header, in lower case."""
    token: str = ""
    """Empty if none is needed."""

    def is_own_host(self, header: str) -> bool:
        """Return whether a Host header names this server. The port is ignored: that of a tunnel differs."""
        match = re.fullmatch(r"(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?", header)
        if not match:
            return False
        host = match[1].strip("[]").lower().removesuffix(".")
        return host in self.names or is_address(host)

    def is_token(self, given: str) -> bool:
        """Return whether this is the token, or none is needed."""
        return not self.token or hmac.compare_digest(given.encode(errors="replace"), self.token.encode())

    def allows(self, request: web.Request) -> bool:
        """Return whether the request has the token in its cookie, or needs none."""
        return self.is_token(request.cookies.get(COOKIE, ""))


def access_policy(host: str, token: str, other_names: Iterable[str] = ()) -> AccessPolicy:
    """Return the policy of a server that listens on `host`, and that a reverse proxy may serve by other names."""
    own = {"localhost", host.lower(), *(name.lower() for name in other_names)}
    if not is_loopback(host):
        own |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return AccessPolicy(frozenset(own), token)


def is_address(host: str) -> bool:
    """Return whether a host is a numeric IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether a host can be reached from this machine only."""
    return host.lower() == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
