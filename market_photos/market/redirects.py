"""Resolve the Location of a redirect, and recognise private addresses."""

import ipaddress
from errno import EACCES

from yarl import URL


class PrivateAddress(OSError):
    """A redirect leads to an address of this machine or of a private network."""

    def __init__(self) -> None:
        # without the address, as the connector joins different errors into one message
        super().__init__(EACCES, "a redirect to a private address is not followed")


def redirect_target(url: URL, location: str) -> URL | None:
    """Return the absolute URL of a Location header in an answer from `url`; None if it is not usable.

    Bytes that are not UTF-8, which aiohttp decodes as lone surrogates, are percent-encoded, as browsers do.
    """
    text = "".join(_escaped(char) for char in location)
    try:
        target = url.join(URL(text, encoded=text.isascii()))
        host = target.host or ""
        host.encode("idna")  # the resolver does this too, and fails for `a..b`
        is_whole = bool(host) and (is_ip(host) or "%" not in host) and target.port is not None
    except ValueError:
        return None
    return target if text and is_whole else None


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"%{code - 0xDC00:02X}"
    return f"%{code:02X}" if code <= 0x20 or code == 0x7F else char


def is_private(address: str) -> bool:
    """Return whether an IP address is not one of a public host."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return not ip.is_global or ip.is_multicast


def is_ip(host: str) -> bool:
    """Return whether a host is an IP address, not a name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
