"""Who is let in."""

import pytest

from market_photos.browse.security import AccessPolicy, access_policy, is_loopback


@pytest.mark.parametrize(
    ("header", "is_known"),
    [
        ("127.0.0.1:8800", True),
        ("localhost:9000", True),
        ("LOCALHOST.", True),
        ("[::1]:8800", True),
        ("192.168.1.5:8800", True),
        ("evil.example:8800", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example@127.0.0.1", False),
        ("127.0.0.1:8800/evil", False),
        ("0x7f.1", False),
        ("", False),
        ("localhost:", False),
        ("локалхост", False),
    ],
)
def test_only_our_own_hosts_are_accepted(header: str, is_known: bool) -> None:
    """A page elsewhere can point its own name at this machine, but it cannot have an address for a name."""
    assert access_policy("127.0.0.1", "").is_own_host(header) is is_known


def test_a_configured_host_is_accepted_by_its_name() -> None:
    assert access_policy("Archive.Local", "t").is_own_host("archive.local:8800")


@pytest.mark.parametrize(("given", "is_known"), [("secret", True), ("", False), ("secre", False), ("\udcff", False)])
def test_a_token_is_compared_whole(given: str, is_known: bool) -> None:
    assert AccessPolicy(frozenset(), "secret").is_token(given) is is_known


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.8.8.8", True), ("0.0.0.0", False), ("x", False)],  # noqa: S104
)
def test_a_host_other_than_loopback_needs_a_token(host: str, is_here: bool) -> None:
    assert is_loopback(host) is is_here
