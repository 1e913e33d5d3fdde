"""The environment alone decides which proxy a request uses."""

import pytest
from yarl import URL

from market_photos.errors import ConfigError
from market_photos.proxies import proxy_for

API = "https://api.example/v2"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, API, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, API, "http://proxy:3128"),
        ({"https_proxy": "http://user:word@proxy:3128"}, API, "http://user:word@proxy:3128"),
        ({"HTTPS_PROXY": "proxy:3128"}, API, "http://proxy:3128"),
        ({"HTTPS_PROXY": ""}, API, None),
        ({"HTTP_PROXY": "http://proxy:3128"}, API, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "other,.example"}, API, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "*"}, API, None),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "other"}, API, "http://proxy:3128"),
        # the key in the clear never leaves this machine
        ({"HTTP_PROXY": "http://proxy:3128"}, "http://127.0.0.1:80", None),
        ({"HTTP_PROXY": "http://127.0.0.1:3128"}, "http://127.0.0.1:80", "http://127.0.0.1:3128"),
    ],
)
def test_the_environment_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, proxy: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(URL(url)) == (URL(proxy) if proxy else None)


@pytest.mark.parametrize(
    "value",
    ["socks5://me:secret@proxy:1080", "http://", "http://me:secret@proxy:99999", "://x", "http://me:secret@[::1"],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as raised:
        proxy_for(URL(API))
    assert "secret" not in raised.value.message + raised.value.hint
