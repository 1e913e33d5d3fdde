"""Turn connection errors into refusals."""

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from yarl import URL

from market_photos.market.redirects import PrivateAddress
from market_photos.market.refusals import Reaction, Refusal, clean


@contextmanager
def wire_errors(url: URL) -> Iterator[None]:
    """Raise Refusal for time-outs and for errors of aiohttp; other exceptions pass."""
    try:
        yield
    except TimeoutError as error:
        raise Refusal(Reaction.RETRY, f"{host_name(url)}: no answer in time") from error
    except aiohttp.ClientError as error:
        raise broken(url, error) from error


def host_name(url: URL) -> str:
    """Return the host for messages."""
    return clean(url.host or "", 100)


def broken(url: URL, error: aiohttp.ClientError) -> Refusal:
    """Return the refusal for a request that failed with an error of aiohttp."""
    is_private = isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, PrivateAddress)
    is_final = is_private or isinstance(error, aiohttp.InvalidURL)
    reason = f"{host_name(url)}: {clean(_description(error), 300)}"
    return Refusal(Reaction.GIVE_UP if is_final else Reaction.RETRY, reason)


def _description(error: aiohttp.ClientError) -> str:  # noqa: PLR0911 - one line for each kind of error
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer was cut off"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not valid: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        where = " to the proxy" if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
        return f"cannot connect{where}: {error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed before the answer"
    if isinstance(error, aiohttp.ClientOSError):
        return f"the connection broke: {error.strerror or error}"
    if isinstance(error, aiohttp.ClientResponseError):
        # its str() contains the address of the photo
        is_proxy = isinstance(error, aiohttp.ClientHttpProxyError)
        who = f"the proxy answers HTTP {error.status}" if is_proxy else type(error).__name__
        return f"{who}: {error.message.partition(chr(10))[0]}"
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
