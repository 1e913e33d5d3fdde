"""Redirects: which address a Location header names, and which addresses may be connected to after one."""

import ipaddress
from errno import EACCES

from yarl import URL


class PrivateAddress(OSError):
    """A redirect leads to an address of this machine or of its own network."""

    def __init__(self) -> None:
        # without the address: the connector joins errors that differ
        super().__init__(EACCES, "a redirect to a private address is not followed")


def redirect_target(url: URL, location: str) -> URL | None:
    """Return the absolute address that `location` names, seen from `url`; None if nothing can be asked there.

    `location` is as aiohttp decodes it: bytes that are not UTF-8 are lone surrogates. They are percent-encoded, as
    browsers do it.
    """
    text = "".join(_escaped(char) for char in location)
    try:
        target = url.join(URL(text, encoded=text.isascii()))
        host = target.host or ""
        host.encode("idna")  # what the resolver does, and where it fails for `a..b`
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
    """Return whether an IP address belongs to this machine, to a private network or to no host at all."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return not ip.is_global or ip.is_multicast


def is_ip(host: str) -> bool:
    """Return whether a host is an IP address and no name."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
