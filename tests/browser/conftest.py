"""A real Chromium on real pages: `market-photos browse` as a process, on an archive made here."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import catalogs
from market_photos.archive.layout import store_folder
from tests.archives import HOSTILE, NOW, ArchiveOf, picture

NAMES = ("chromium", "chromium-browser", "google-chrome")
#: No requests by Chromium itself, no sandbox in a container, no display.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MANY = 10_000

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Start a browser for one module: its running event loop would disturb the tests of another one."""
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with odd texts and broken files, and one with 10 000 returns."""
    folder = tmp_path_factory.mktemp("browse") / "archive"
    store = ArchiveOf(folder, 101)
    day = 86_400
    three = store.add(
        photos=3, order=40000123, comment="Скол на углу, видно на втором фото", created_at=NOW - 1 * day
    )
    store.bring(three, *(picture(size=(600, 400), color=color) for color in ("#a33", "#3a3", "#33a")))
    hostile = store.add(
        comment=HOSTILE, sku=HOSTILE, reason=HOSTILE, decision=HOSTILE, refund=HOSTILE, order=666, created_at=NOW
    )
    store.bring(hostile, b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(9)'/>", suffix=".svg")
    broken = store.add(order=777, reason="WRONG_ITEM", comment="сломано", created_at=NOW - 2 * day)
    store.bring(broken, b"\xff\xd8\xff\xe0 broken")
    failed = store.add(order=888, refund="REJECTED", comment="не пришло", created_at=NOW - 3 * day)
    store.fail(failed, "the answer was cut off")
    catalogs.make(store_folder(folder, 102), MANY * catalogs.PER_RETURN)
    return folder


@pytest.fixture(scope="session")
def address(archive: Path) -> Iterator[str]:
    """Yield the address of the pages, without the last slash."""
    command = [sys.executable, "-m", "market_photos", "browse", "--port", "0"]
    environment = {**os.environ, "MARKET_PHOTOS_ARCHIVE_DIRECTORY": str(archive)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, cwd=archive
    ) as process:
        assert process.stdout
        yield process.stdout.readline().strip().rstrip("/")
        process.terminate()
        assert process.wait(20) == 0


@pytest.fixture
def open_page(chromium: Any, address: str) -> Iterator[Open]:
    """Yield a function that opens an address in a new context; any error on the page fails the test."""
    troubles: list[str] = []
    contexts = []

    def refuse(dialog: Any) -> None:
        troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def opened(path: str = "/returns", **options: Any) -> Any:
        context = chromium.new_context(**{"locale": "en-US", "viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("dialog", refuse)
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda ask: troubles.append(ask.url) if not ask.url.startswith(address) else None)
        page.goto(address + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not troubles
