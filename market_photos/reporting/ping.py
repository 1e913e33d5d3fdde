"""Calls to a monitor (healthchecks.io and its like): a run has begun, ended well, or failed.

Besides market/client.py this is the only file that opens connections, and it never speaks to the Market: it knows no
key, sends no headers of its own, follows no redirects, and its body is a summary from which the key is taken out.
"""

import logging
from typing import Literal

import aiohttp
from yarl import URL

from market_photos.console import redact
from market_photos.errors import ConfigError
from market_photos.proxies import proxy_for

log = logging.getLogger(__name__)

#: Seconds for one call, and calls before it is given up. Together they bound what a monitor that hangs can cost.
TIMEOUT = 4.0
ATTEMPTS = 2
#: Bytes of a summary that are sent: monitors keep 10 to 100 KB. The end is what counts, errors stand there.
MOST_BYTES = 10_000

Event = Literal["start", "success", "fail"]
_PATHS: dict[Event, str] = {"start": "/start", "success": "", "fail": "/fail"}


async def ping(url: str, event: Event, body: str = "") -> bool:
    """Whether the monitor took it. Never raises for the network's or the monitor's fault: it warns."""
    target = address(url, event)
    problem = ""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:
        for _ in range(ATTEMPTS):
            problem = await _post(session, target, tail(redact(body)))
            if not problem:
                return True
    # the path is what gives the right to call: only the host is named
    log.warning("ping_url: the monitor at %s did not take '%s': %s", target.host, event, problem)
    return False


def address(url: str, event: Event) -> URL:
    """`https://host/uuid?x=1` -> `https://host/uuid/fail?x=1`."""
    base = URL(url)
    return base.with_path(base.path.rstrip("/") + _PATHS[event], keep_query=True)


def tail(text: str) -> bytes:
    """The last bytes of a text that is too long, cut at a character."""
    data = text.encode(errors="backslashreplace")
    return data if len(data) <= MOST_BYTES else data[-MOST_BYTES:].decode(errors="ignore").encode()


async def _post(session: aiohttp.ClientSession, target: URL, body: bytes) -> str:
    """What went wrong; empty where nothing did."""
    try:
        async with session.post(target, data=body, allow_redirects=False, proxy=proxy_for(target)) as response:
            return "" if response.status < 300 else f"it answers {response.status}"
    except ConfigError as error:
        return error.message
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        return type(error).__name__ if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
