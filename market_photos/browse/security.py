"""Who may see the pages, and what a browser may do with them.

- Pages are read: GET and HEAD only.
- The Host header names this machine, or a page elsewhere could make its own name point here and read on (rebinding).
  Such a page has a name; so any address in digits is ours, and of names only those that we know.
- Beyond this machine a token is needed: once in the address, then in a cookie that no other site can send.
- No page runs or shows anything that does not come from here as a file.
"""

import hmac
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

COOKIE = "market_photos_token"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CSP = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
#: For files: whatever they hold, nothing of it is run.
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
    """To every response, errors and files included. A signal of the application."""
    for name, value in HEADERS.items():
        if name == "Server" or name not in response.headers:
            response.headers[name] = value


@dataclass(frozen=True)
class Door:
    """Who is let in."""

    names: frozenset[str]
    """Names that the Host header may have, in lower case."""
    token: str = ""
    """Empty: none is needed."""

    def knows_host(self, header: str) -> bool:
        """Whether a Host header is meant for us. The port is not looked at: a tunnel has another."""
        match = re.fullmatch(r"(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?", header)
        if not match:
            return False
        host = match[1].strip("[]").lower().removesuffix(".")
        return host in self.names or is_address(host)

    def knows_token(self, given: str) -> bool:
        return not self.token or hmac.compare_digest(given.encode(errors="replace"), self.token.encode())

    def lets_in(self, request: web.Request) -> bool:
        return self.knows_token(request.cookies.get(COOKIE, ""))


def door_for(host: str, token: str) -> Door:
    """The door of a server that listens on `host`."""
    own = {"localhost", host.lower()}
    if not is_loopback(host):
        own |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return Door(frozenset(own), token)


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    return host.lower() == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
