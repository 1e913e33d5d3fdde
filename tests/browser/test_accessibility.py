"""axe finds nothing on any page, and all of it works with the keyboard alone."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Open
from tests.browser.test_browse import press, wait_until_indexed

ROOT = Path(__file__).parents[2]
PLACES = [Path(sys.prefix, "node_modules"), ROOT / "node_modules"]
PAGES = {
    "awaiting": "/awaiting",
    "list": "/returns?store=101",
    "compact": "/returns?store=101&view=compact",
    "nothing": "/returns?q=zzz",
    "runs": "/runs",
    "return": "/return/101/40000123/{}",
    "photo": "/return/101/40000123/{}",
}


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, which `make` installs with npm into the virtual environment."""
    found = [place / "axe-core/axe.min.js" for place in PLACES if (place / "axe-core/axe.min.js").exists()]
    if not found:
        has_npm = "npm could not install it" if shutil.which("npm") else "there is no npm on this machine"
        pytest.skip(f"no axe-core: {has_npm} (npm install --no-save --prefix .venv axe-core)")
    return found[0].read_text(encoding="utf-8")


def violations(page: Any, axe: str) -> list[str]:
    page.evaluate(axe)
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in found for node in one["nodes"]]


def open_named(open_page: Open, name: str, **options: Any) -> Any:
    page = open_page("/returns?q=40000123", **options)
    wait_until_found(page)
    if name not in ("return", "photo"):
        page.goto(page.url.partition("/returns")[0] + PAGES[name])
        return page
    page.locator("article h2 a").first.click()
    page.wait_for_url("**/return/**")
    if name == "photo":
        page.locator(".photos .tile").first.click()
        page.wait_for_url("**/photo/**")
    return page


def wait_until_found(page: Any) -> None:
    for _ in range(120):
        if page.locator("article").count():
            return
        page.wait_for_timeout(500)
        page.reload()
    raise AssertionError("the index was not made in a minute")


VIEWS = [("en-US", "dark", 400), ("ru-RU", "light", 1280), ("en-US", "light", 400)]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(open_page: Open, axe: str, name: str, view: tuple[str, str, int]) -> None:
    language, scheme, width = view
    page = open_named(open_page, name, locale=language, color_scheme=scheme, viewport={"width": width, "height": 900})
    assert violations(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_reaches_the_photo_and_leads_back(open_page: Open) -> None:
    """Search, result, photo, zoom and rotation, the next photo, and back to the result, without a mouse."""
    page = open_page("/returns")
    wait_until_indexed(page)
    press(page, "/")
    page.keyboard.type("\u2116 40 000 123")
    press(page, "Enter")
    page.wait_for_url("**q=**")
    page.locator("article h2 a").first.focus()
    press(page, "Enter")
    page.get_by_role("heading", name="Order 40000123").wait_for()
    page.locator(".photos .tile").first.focus()
    press(page, "Enter")
    page.get_by_role("heading", name="Photo 1 / 3").wait_for()
    box, image = page.locator("[data-zoom]"), page.locator(".stage img")
    press(page, "+")
    assert "scale(1.4)" in box.get_attribute("style")
    press(page, "r")
    assert "rotate(90deg)" in image.get_attribute("style")
    press(page, "0")
    assert "scale(1)" in box.get_attribute("style")
    press(page, "ArrowRight")
    page.get_by_role("heading", name="Photo 2 / 3").wait_for()
    for heading in ("Order 40000123", "Found returns"):
        press(page, "Escape")
        page.get_by_role("heading", name=heading).wait_for()
    assert page.url.partition("#")[2].startswith("r101-")


def test_the_wheel_zooms_and_dragging_moves(open_page: Open) -> None:
    page = open_named(open_page, "photo")
    stage = page.locator(".stage").bounding_box()
    x, y = stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    page.wait_for_function("document.querySelector('[data-zoom]').classList.contains('zoomed')")
    before = page.locator("[data-zoom]").get_attribute("style")
    page.mouse.down()
    page.mouse.move(x + 60, y + 30, steps=4)
    page.mouse.up()
    assert page.locator("[data-zoom]").get_attribute("style") != before
    assert "/photo/" in page.url
    page.get_by_role("button", name="Fit").click()
    assert "scale(1)" in page.locator("[data-zoom]").get_attribute("style")


def test_two_fingers_zoom(open_page: Open) -> None:
    page = open_named(open_page, "photo", has_touch=True)
    page.evaluate(
        """() => {
          const box = document.querySelector("[data-zoom]");
          const send = (type, id, x, y) => box.dispatchEvent(new PointerEvent(type, {
            pointerId: id, clientX: x, clientY: y, bubbles: true, pointerType: "touch" }));
          send("pointerdown", 1, 300, 400); send("pointerdown", 2, 400, 400);
          send("pointermove", 1, 250, 400); send("pointermove", 2, 450, 400);
          send("pointerup", 1, 250, 400); send("pointerup", 2, 450, 400);
        }"""
    )
    assert page.locator("[data-zoom].zoomed").count() == 1


def test_a_return_can_be_printed_with_its_photos_whole(open_page: Open) -> None:
    """On paper: photos uncropped, no buttons."""
    page = open_named(open_page, "return")
    page.emulate_media(media="print")
    assert page.locator(".photos .tile img").first.evaluate("image => getComputedStyle(image).objectFit") == "contain"
    assert not page.locator(".actions").first.is_visible()
