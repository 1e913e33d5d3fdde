"""Read HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in upper or lower case."""

from yarl import URL

from market_photos.errors import ConfigError

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def proxy_for(url: URL) -> URL | None:
    """Return the proxy for a request to `url`; None for a direct request. Raises ConfigError.

    A plain http request exposes the key, and is for a server on this machine: it uses a proxy on this machine only.
    """
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - slow to import

    text = getproxies().get(url.scheme, "").strip()
    if not text or proxy_bypass(url.host or ""):
        return None
    proxy = _parsed(text if "://" in text else f"http://{text}", f"{url.scheme.upper()}_PROXY")
    return proxy if url.scheme == "https" or proxy.host in _LOOPBACK else None


def _parsed(text: str, variable: str) -> URL:
    # The text may contain a password: messages do not show it.
    try:
        proxy = URL(text)
        is_usable = proxy.scheme in {"http", "https"} and bool(proxy.host) and proxy.port is not None
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigError(
            f"{variable}: {text.partition('://')[0] or 'this'} is not a usable proxy.",
            "Name an HTTP proxy, http://host:port, or list the server in NO_PROXY.",
        )
    return proxy
