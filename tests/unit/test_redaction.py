"""The key is taken out of texts in every spelling, and before they are cut."""

import json
from urllib.parse import quote

import pytest

from market_photos.console import SHORTEST_SECRET, Redactor, redact
from market_photos.market.refusals import clean, error_texts

KEY = 'ACMA:k/e+y"\\ é:0123456789abcdef'


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        quote(KEY),
        quote(KEY, safe=""),
        quote(KEY, safe="").lower().replace("acma", "ACMA"),
        quote(quote(KEY, safe=""), safe=""),
        "".join(f"%{byte:02X}" for byte in KEY.encode()),
        "".join(f"%{byte:02x}" for byte in KEY.encode()),
        json.dumps(KEY)[1:-1],
        "".join(f"\\u{ord(char):04x}" for char in KEY),
    ],
)
def test_the_key_is_removed_in_every_spelling(text: str) -> None:
    redactor = Redactor()
    redactor.hide(KEY)
    assert redactor(f"before {text} after {text}") == "before (key) after (key)"


def test_every_hidden_key_is_removed_and_other_text_stays() -> None:
    redactor = Redactor()
    for key in ("first-key", "second-key"):
        redactor.hide(key)
    assert redactor("first-key, second-key, third-key, first-") == "(key), (key), third-key, first-"


def test_a_key_that_is_too_short_is_not_searched_for() -> None:
    """A key of one letter would hide half of every line."""
    redactor = Redactor()
    redactor.hide("k" * (SHORTEST_SECRET - 1))
    assert redactor("kkkkkkkkkk") == "kkkkkkkkkk"


@pytest.mark.parametrize("before", range(285, 301))
def test_a_cut_leaves_no_part_of_the_key(before: int) -> None:
    key = "ACMA:" + "abcdefghij" * 4
    redact.hide(key)
    text = "x" * before + quote(key, safe="").lower().replace("acma", "ACMA")
    body = json.dumps({"errors": [{"code": "C" * (before - 220) + key, "message": text}]}).encode()
    assert "abc" not in clean(text, 300)
    assert "abc" not in " ".join(error_texts(body))
