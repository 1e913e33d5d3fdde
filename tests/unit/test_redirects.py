"""Redirects name addresses, some of them private."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from market_photos.market.redirects import is_ip, is_private, redirect_target

HERE = URL("https://api.example/v2/a/b?c=d")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/x", "https://api.example/x"),
        ("x", "https://api.example/v2/a/x"),
        ("?e", "https://api.example/v2/a/b?e"),
        ("//cdn.example:8443/1%2F2?sig=a%2Bb%20c", "https://cdn.example:8443/1%2F2?sig=a%2Bb%20c"),
        ("https://cdn.example/фото.jpg", "https://cdn.example/%D1%84%D0%BE%D1%82%D0%BE.jpg"),
        ("/\udcf4\udcee\udcf2\udcee.jpg", "https://api.example/%F4%EE%F2%EE.jpg"),
        ("/a b\tc", "https://api.example/a%20b%09c"),
        ("https://пример.рф/", "https://xn--e1afmkfd.xn--p1ai/"),
        ("https://\udcf4.example/", None),
        ("https://a..b/", None),
        ("https://host:99999999/", None),
        ("https://[::1", None),
        ("https://%31/", None),
        ("file:///etc/passwd", None),
        ("data:image/png,x", None),
        ("", None),
    ],
)
def test_a_location_is_an_address_or_nothing(location: str, target: str | None) -> None:
    found = redirect_target(HERE, location)
    assert (str(found) if found else None) == target


@given(
    st.one_of(
        st.text(), st.text().map("https://{}".format), st.binary().map(lambda b: b.decode(errors="surrogateescape"))
    )
)
@example("https://\ud800/")
@example("//" + "a" * 70)
def test_any_location_is_understood_or_refused(location: str) -> None:
    """An understood address is printable ASCII on the wire, and a resolver accepts its host."""
    found = redirect_target(HERE, location)
    if found is not None:
        assert found.raw_path_qs.isascii()
        assert found.raw_path_qs.isprintable()
        assert found.origin()
        (found.host or "").encode("idna")


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("93.184.216.34", False),
        ("2a02:6b8::1", False),
        ("127.0.0.1", True),
        ("0.0.0.0", True),  # noqa: S104 - this machine
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("192.168.0.1", True),
        ("169.254.169.254", True),
        ("100.64.0.1", True),
        ("224.0.0.1", True),
        ("::1", True),
        ("::", True),
        ("fe80::1%eth0", True),
        ("fd00::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:93.184.216.34", False),
    ],
)
def test_private_addresses_are_recognised(address: str, private: bool) -> None:
    assert is_private(address) is private


@pytest.mark.parametrize(("host", "is_one"), [("1.2.3.4", True), ("::1", True), ("fe80::1%1", True), ("a.b", False)])
def test_addresses_are_told_from_names(host: str, is_one: bool) -> None:
    assert is_ip(host) is is_one
