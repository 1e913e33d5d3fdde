"""Call a monitor such as healthchecks.io when a run starts, succeeds or fails.

Besides market/client.py only this module opens connections. It sends no key and no headers of its own, and follows no
redirects; its body is a summary without secrets.
"""

import logging
from typing import Literal

import aiohttp
from yarl import URL

from market_photos.console import redact
from market_photos.errors import ConfigError
from market_photos.proxies import proxy_for

log = logging.getLogger(__name__)

#: Seconds for one call, and the number of calls. Together they bound the delay that a hanging monitor causes.
TIMEOUT = 4.0
ATTEMPTS = 2
#: Bytes of a summary that are sent: monitors keep 10 to 100 KB. Errors stand at its end.
MOST_BYTES = 10_000

Event = Literal["start", "success", "fail"]
_PATHS: dict[Event, str] = {"start": "/start", "success": "", "fail": "/fail"}


async def ping(url: str, event: Event, body: str = "") -> bool:
    """Call the monitor and return whether it accepted. Logs a warning if the network or the monitor fails."""
    target = address(url, event)
    problem = ""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:
        for _ in range(ATTEMPTS):
            problem = await _post(session, target, tail(redact(body)))
            if not problem:
                return True
    # The path is a secret: anybody who knows it can call.
    log.warning("ping_url: the monitor at %s did not take '%s': %s", target.host, event, problem)
    return False


def address(url: str, event: Event) -> URL:
    """Return the address for an event: `https://host/uuid?x=1` becomes `https://host/uuid/fail?x=1`."""
    base = URL(url)
    return base.with_path(base.path.rstrip("/") + _PATHS[event], keep_query=True)


def tail(text: str) -> bytes:
    """Encode a text, and keep the last bytes of one that is too long, cut at a character."""
    data = text.encode(errors="backslashreplace")
    return data if len(data) <= MOST_BYTES else data[-MOST_BYTES:].decode(errors="ignore").encode()


async def _post(session: aiohttp.ClientSession, target: URL, body: bytes) -> str:
    """Return what went wrong, or an empty string."""
    try:
        async with session.post(target, data=body, allow_redirects=False, proxy=proxy_for(target)) as response:
            return "" if response.status < 300 else f"it answers {response.status}"
    except ConfigError as error:
        return error.message
    except aiohttp.ClientResponseError as error:  # its str() has the address of the proxy with its password
        return f"{type(error).__name__}: {error.status}, {error.message}"
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        return type(error).__name__ if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
