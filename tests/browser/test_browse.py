"""What a clerk does, in a real browser. Every test also fails on a dialog, an error in the console, a refused script
or style, and a request to anywhere else."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from market_photos.browse.views import PAGE_RETURNS
from tests.browser.conftest import MANY, Open


def search(page: Any, words: str) -> None:
    page.get_by_role("searchbox").fill(words)
    press(page, "Enter")
    page.wait_for_url(re.compile(r"[?&]q="))


def asked(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def press(page: Any, key: str) -> None:
    """Press a key when the page's script has run: before that it is lost."""
    page.wait_for_load_state()
    page.keyboard.press(key)


def wait_until_indexed(page: Any) -> None:
    for _ in range(120):
        if not page.locator("[role=status]").count() and page.locator("article").count() == PAGE_RETURNS:
            return
        page.wait_for_timeout(500)
        page.reload()
    raise AssertionError("the index was not made in a minute")


@pytest.mark.parametrize("words", ["40000123", "скола", "УГЛУ", "чайник-1.7л угл"])
def test_an_order_is_found_by_number_or_comment(open_page: Open, words: str) -> None:
    """The address of the result can be sent to a colleague."""
    page = open_page()
    wait_until_indexed(page)
    search(page, words)
    assert "40000123" in page.locator("article").first.inner_text()
    assert set(asked(page)) == {"q"}
    colleague = open_page(page.url.removeprefix(page.url.partition("/returns?")[0]))
    assert colleague.locator("article").all_inner_texts() == page.locator("article").all_inner_texts()


def test_filters_narrow_and_can_be_taken_away(open_page: Open) -> None:
    page = open_page()
    wait_until_indexed(page)
    page.locator("select[name=store]").select_option("101")
    page.wait_for_url(re.compile("store=101"))
    page.locator("select[name=state]").select_option("failed")
    page.wait_for_url(re.compile("state=failed"))
    assert page.locator("article h2").all_inner_texts() == ["Order 888"]
    assert asked(page) == {"store": ["101"], "state": ["failed"]}
    page.locator(".chosen a").filter(has_text="could not be downloaded").click()
    page.wait_for_url(re.compile(r"store=101$"))
    assert page.locator("article").count() == 4
    page.get_by_label("Created from").fill("2099-01-01")
    page.get_by_role("button", name="Apply").click()
    page.get_by_text("Nothing was found").wait_for()


def test_a_photo_opens_and_the_keyboard_turns_the_pages(open_page: Open) -> None:
    """Arrows to the other photos of the return, not beyond; Esc back to it."""
    page = open_page("/?q=40000123")
    page.locator("article .tile").first.click()
    page.get_by_role("heading", name="Photo 1 / 3").wait_for()
    image = page.locator(".stage img")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 600
    for key, number in (("ArrowRight", 2), ("ArrowRight", 3), ("ArrowRight", 3), ("ArrowLeft", 2)):
        press(page, key)
        page.get_by_role("heading", name=f"Photo {number} / 3").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the original").click()
    assert download.value.suggested_filename.endswith(".jpg")
    press(page, "Escape")
    page.get_by_role("heading", name="Order 40000123").wait_for()
    assert page.locator(".photos .tile").count() == 3


def test_the_pages_work_without_a_mouse(open_page: Open) -> None:
    """The focus is visible, begins with the way to the content, and `/` leads to the search."""
    page = open_page()
    press(page, "Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    press(page, "Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press(page, "/")
    assert page.evaluate("document.activeElement.id") == "q"


def test_the_pages_are_russian_for_a_russian_browser(open_page: Open) -> None:
    """To a browser that prefers it, and by the switch."""
    page = open_page(locale="ru-RU")
    assert page.get_by_role("heading", level=1).inner_text().startswith("Новые возвраты")
    page.get_by_role("link", name="EN", exact=True).click()
    page.get_by_role("heading", name="Newest returns").wait_for()
    page.get_by_role("link", name="Nightly runs").click()
    page.get_by_role("heading", name="Photos downloaded per day").wait_for()


def test_hostile_texts_do_nothing(open_page: Open) -> None:
    """On every page that shows them; the SVG that came as a photo is not shown, but can be saved."""
    page = open_page("/?store=101&q=666")
    assert "<script>alert(1)</script>" in page.locator("article blockquote").inner_text()
    page.locator("article h2 a").click()
    page.get_by_role("heading", name="Order 666").wait_for()
    page.get_by_text("The API's record").click()
    page.locator(".photos .tile").first.click()
    page.get_by_text("only offered for download").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the original").click()
    assert download.value.suggested_filename.endswith(".svg")
    open_page("/runs").get_by_role("heading", name="Reasons").wait_for()


def test_a_broken_photo_shows_a_placeholder(open_page: Open) -> None:
    page = open_page("/?store=101&q=777")
    width = "image => image.decode().then(() => image.naturalWidth)"
    assert page.locator("article .tile img").evaluate(width) == 160
    page.locator("article .tile").click()
    assert page.locator(".stage img").evaluate(width) > 0


def test_ten_thousand_returns_are_turned_page_by_page(open_page: Open) -> None:
    """No return twice, and the server needs no longer for the tenth page."""
    page = open_page("/?store=102")
    wait_until_indexed(page)
    seen: list[str] = []
    for _ in range(10):
        seen += page.locator("article h2 b").all_inner_texts()
        page.get_by_role("link", name="Older").click()
        page.wait_for_url(re.compile("after="))
    assert len(set(seen)) == len(seen) == 10 * PAGE_RETURNS
    assert all(50_000_000 <= int(order) < 50_000_000 + MANY for order in seen)
    page.get_by_role("link", name="Newer").click()
    page.wait_for_url(re.compile("after="))
    assert page.locator("article h2 b").all_inner_texts() == seen[-PAGE_RETURNS:]


@pytest.mark.parametrize("path", ["/awaiting", "/returns", "/runs", "/?q=40000123", "/?q=666", "/?state=nothing"])
def test_the_pages_fit_a_phone(open_page: Open, path: str) -> None:
    page = open_page(path, viewport={"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
