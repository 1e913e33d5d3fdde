"""The pages over a real socket: what they show, and every rule of the policy."""

import asyncio
import hashlib
import re
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from html import unescape
from pathlib import Path

import pytest
from aiohttp import ClientResponse, ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from market_photos.browse.app import make_app
from market_photos.browse.index_refresher import IndexRefresher
from market_photos.browse.security import COOKIE, access_policy
from market_photos.browse.site import Site
from market_photos.browse.stores import Stores
from market_photos.config import Settings
from market_photos.errors import ExitCode
from market_photos.reporting.prometheus import Outcome, write_metrics
from market_photos.reporting.status import status_of
from market_photos.settings import Archive, Limits
from tests.archives import HOSTILE, NOW, ArchiveOf, folder_at, photo_address, picture, progressive

Client = TestClient[web.Request, web.Application]
PHONE = {"Accept-Language": "ru-RU,ru;q=0.9"}


@asynccontextmanager
async def served(
    archive: Path, *, host: str = "127.0.0.1", token: str = "", limits: Limits | None = None
) -> AsyncIterator[Client]:
    stores = Stores(folder_at(archive))
    index_refresher = IndexRefresher(stores)
    index_refresher.refresh(force=True)
    site = Site(stores, index_refresher, limits or Limits(), ArchiveOf(archive).clock)
    async with TestClient(TestServer(make_app(site, access_policy(host, token)))) as client:
        yield client


@pytest.fixture
def store(tmp_path: Path) -> ArchiveOf:
    return ArchiveOf(tmp_path)


async def text_of(client: Client, path: str, status: int = 200, headers: dict[str, str] | None = None) -> str:
    async with client.get(URL(path, encoded=True), headers=headers) as response:
        assert response.status == status, path
        return await response.text()


async def head_of(client: Client, path: str) -> ClientResponse:
    async with client.get(path) as response:
        await response.read()
        return response


async def test_the_first_page_shows_the_newest_returns(store: ArchiveOf) -> None:
    """With photos, words, SKU, reason, decision, status and dates; the API's values in a tooltip of their meaning."""
    back = store.add(photos=2, order=40000123)
    store.bring(back)
    async with served(store.archive) as client:
        page = await text_of(client, "/")
    for part in ("40000123", str(back.id), "Царапина во всю крышку", "чайник-1.7л", "20 Sept 2026", "Refunded"):
        assert part in page
    for raw, words in (("BAD_QUALITY", "Defective"), ("REFUND_MONEY", "Refund"), ("REFUNDED", "Refunded")):
        assert f'<bdi title="{raw}">{words}</bdi>' in page or f'title="{raw}"><bdi>{words}</bdi>' in page
        assert f">{raw}<" not in page
    assert page.count('class="tile"') == 2


async def test_a_held_return_says_that_it_is_on_hold(store: ArchiveOf) -> None:
    back = store.add()
    with closing(sqlite3.connect(store.folder / "catalog.sqlite3")) as catalog, catalog:
        catalog.execute("UPDATE returns SET held_at = ? WHERE return_id = ?", (NOW, back.id))
    async with served(store.archive) as client:
        assert "On hold" in await text_of(client, f"/return/{back.campaign}/{back.order}/{back.id}")


async def test_every_link_and_picture_of_the_pages_exists(store: ArchiveOf) -> None:
    """Photos of each state, odd hashes, hostile texts: no link leads nowhere, no picture is lacking."""
    store.bring(store.add(photos=2, hashes=["a/b+c=", "..", "%2e%2e", "я" * 100, "ABC", "abc"]))
    store.fail(store.add(comment=HOSTILE, sku=HOSTILE, reason=HOSTILE, decision=HOSTILE, refund=HOSTILE), HOSTILE)
    store.lose(store.add())
    store.add(photos=0)
    store.add(comment=None, sku=None, reason=None, record={"id": 1, "items": None})
    async with served(store.archive) as client:
        seen: set[str] = set()
        waiting = ["/", "/runs"]
        while waiting and len(seen) < 400:
            address = waiting.pop()
            seen.add(address)
            async with client.get(URL(address, encoded=True)) as response:
                assert response.status == 200, address
                if response.content_type == "text/html":
                    found = re.findall(r'(?:href|src)="(/[^"#]*)"', await response.text())
                    new = {unescape(one) for one in found} - seen - set(waiting)
                    # A return's page leads to itself from each list of results: once is enough.
                    paths = {one.partition("?")[0] for one in seen | set(waiting)} - {"/", "/returns"}
                    waiting += sorted(one for one in new if one.partition("?")[0] not in paths)
        assert not waiting
        assert len(seen) > 40


@pytest.mark.parametrize("path", ["/", "/?q=%3Cscript%3Ealert(1)%3C/script%3E", "/runs", "/return/101/1/2", "photo"])
async def test_hostile_texts_stay_texts(tmp_path: Path, path: str) -> None:
    """In every field: store, comment, SKU, reason, decision, status, hash, content type, note, run and error."""
    store = ArchiveOf(tmp_path, name=HOSTILE)
    back = store.add(
        order=1,
        return_id=2,
        comment=HOSTILE,
        sku=HOSTILE,
        reason=HOSTILE,
        decision=HOSTILE,
        refund=HOSTILE,
        hashes=[HOSTILE, "x"],
    )
    store.bring(back, content_type=HOSTILE)
    store.fail(store.add(reason=HOSTILE), HOSTILE)
    store.ran({"error": HOSTILE, "downloaded": HOSTILE}, ExitCode.FAILED, command=HOSTILE)
    async with served(tmp_path) as client:
        page = await text_of(client, photo_address("photo", back) if path == "photo" else path)
    assert "alert(1)" in page
    assert "<script>" not in page
    assert "<img src=x" not in page
    assert str(7919 * 7907) not in page  # a number that no time, path or size will ever hold
    assert len(re.findall(r"<script", page)) == 1  # our own file
    for tag in re.findall(r"<[a-z][^>]*>", page):
        assert not re.search(r"\son[a-z]+\s*=", re.sub(r'"[^"]*"', '""', tag)), tag
        assert " style=" not in re.sub(r'"[^"]*"', '""', tag)


async def test_pages_need_no_network_and_no_inline_script(store: ArchiveOf) -> None:
    back = store.add()
    store.bring(back)
    async with served(store.archive) as client:
        for path in ("/", "/runs", f"/return/101/{back.order}/{back.id}", photo_address("photo", back), "/nowhere"):
            async with client.get(path) as response:
                page = await response.text()
                policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert not re.findall(r'(?:href|src|action)="(?:https?:)?//', page), path
            assert "<style" not in page
            assert not re.search(r"<script(?! src=\"/static/)", page)


async def test_every_answer_carries_the_security_headers(store: ArchiveOf) -> None:
    """Pages, pictures, files and errors carry them."""
    back = store.add()
    store.bring(back)
    paths = ["/", "/nowhere", "/static/browse.css", "/static/nowhere.css"]
    paths += [photo_address(what, back) for what in ("photo", "thumb", "large", "file")]
    async with served(store.archive) as client:
        for path in paths:
            headers = (await head_of(client, path)).headers
            assert headers["X-Content-Type-Options"] == "nosniff", path
            assert headers["X-Frame-Options"] == "DENY", path
            assert headers["Referrer-Policy"] == "no-referrer", path
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin", path
            assert "default-src 'none'" in headers["Content-Security-Policy"], path
            assert "aiohttp" not in headers["Server"], path


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8800", "127.0.0.1.evil.example", ""])
async def test_a_strange_host_sees_nothing(store: ArchiveOf, host: str) -> None:
    """Rebinding: a page elsewhere that points its own name here."""
    back = store.add()
    store.bring(back)
    async with served(store.archive) as client:
        for path in ("/", photo_address("file", back), "/static/browse.css"):
            page = await text_of(client, path, 421, {"Host": host})
            assert "Царапина" not in page


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_pages_are_only_read(store: ArchiveOf, method: str) -> None:
    async with served(store.archive) as client, client.request(method, "/") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD"


async def test_another_host_needs_a_token(store: ArchiveOf) -> None:
    """Once in the address, then in a cookie that scripts do not see and other sites do not send."""
    back = store.add()
    store.bring(back)
    async with served(store.archive, host="0.0.0.0", token="right") as client:  # noqa: S104
        for path in ("/", "/runs", photo_address("file", back), photo_address("thumb", back), "/nowhere"):
            assert "Царапина" not in await text_of(client, path, 401)
            await text_of(client, f"{path}?token=wrong", 401)
            await text_of(client, path, 401, {"Cookie": f"{COOKIE}=wrong"})
        async with client.get("/runs?lang=ru&token=right") as response:
            page = await response.text()
            cookie = response.headers["Set-Cookie"]
        assert 'url=/runs?lang=ru"' in page
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert str(back.order) in await text_of(client, "/", headers={"Cookie": f"{COOKIE}=right"})


async def test_the_redirect_after_the_token_stays_on_this_host(store: ArchiveOf) -> None:
    """`//elsewhere` is an address of another host."""
    store.add()
    async with served(store.archive, host="0.0.0.0", token="right") as client:  # noqa: S104
        raw = await raw_answer(client, b"GET //evil.example/?token=right HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b'url=/evil.example/"' in raw
        raw = await raw_answer(client, b"GET //evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b'"//evil' not in raw


async def raw_answer(client: Client, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    "path",
    [
        "/file/101/../../etc/passwd",
        "/file/101/1/2/..%2f..%2fcatalog.sqlite3",
        "/file/101/1/2/catalog.sqlite3",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/app.py",
        "/thumb/101/1/2/%00",
        "/file/101/99999999999999999999/2/x",
        "/file/9999999999999999999/9999999999999999999/9999999999999999999/x",
        "/return/101/1/%D9%A1",
        "/return/999/1/2",
        "/../../etc/passwd",
    ],
)
async def test_no_path_leads_out_of_the_catalogue(store: ArchiveOf, path: str) -> None:
    store.bring(store.add(order=1, return_id=2))
    async with served(store.archive) as client:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        assert (await raw_answer(client, request)).startswith(b"HTTP/1.1 404")


async def test_a_link_in_the_archive_is_not_followed(store: ArchiveOf, tmp_path: Path) -> None:
    """Neither a file nor a folder that points elsewhere."""
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(picture())
    file, folder = store.add(), store.add()
    (path,) = store.bring(file)
    path.unlink()
    path.symlink_to(secret)
    (path,) = store.bring(folder)
    (tmp_path / "elsewhere").mkdir()
    path.replace(tmp_path / "elsewhere" / path.name)
    path.parent.rmdir()
    path.parent.symlink_to(tmp_path / "elsewhere")
    async with served(store.archive) as client:
        for back in (file, folder):
            assert (await head_of(client, photo_address("file", back))).status == 404
            assert (await head_of(client, photo_address("thumb", back))).content_type == "image/svg+xml"


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(3)</script></svg>'


@pytest.mark.parametrize(
    ("body", "served_as", "suffix", "shown_as"),
    [
        (picture(), "image/jpeg", ".jpg", "image/jpeg"),
        (picture("PNG"), "image/jpeg", ".jpg", "image/png"),
        (picture("WEBP"), "image/webp", ".webp", "image/webp"),
        (picture("GIF"), "image/gif", ".gif", "image/gif"),
        (SVG, "image/svg+xml", ".svg", None),
        (SVG, "image/png", ".png", None),
        (b"<!doctype html><script>alert(4)</script>", "image/png", ".png", None),
        (b"<!doctype html><script>alert(4)</script>", "image/html", ".html", None),
        (b"\0\0\0\x18ftypheic" + b"\0" * 40, "image/heic", ".heic", None),
        (picture("TIFF"), "image/tiff", ".tiff", None),
        (b"%PDF-1.7", "application/pdf", ".pdf", None),
    ],
)
async def test_only_pictures_are_shown(
    store: ArchiveOf, body: bytes, served_as: str, suffix: str, shown_as: str | None
) -> None:
    """By their bytes, whatever name and type they came with; all else is a download of no type."""
    back = store.add()
    (path,) = store.bring(back, body, content_type=served_as, suffix=suffix)
    async with served(store.archive) as client:
        for query, inline in (("", True), ("?download=1", False)):
            async with client.get(photo_address("file", back) + query) as response:
                assert await response.read() == path.read_bytes() == body
                disposition = response.headers["Content-Disposition"]
                if shown_as and inline:
                    assert (response.content_type, disposition) == (shown_as, "inline")
                else:
                    assert response.content_type == "application/octet-stream"
                    assert disposition == f'attachment; filename="{back.order}-{back.id}-{path.name}"'
                assert "sandbox" in response.headers["Content-Security-Policy"]
        await text_of(client, photo_address("photo", back))


async def test_thumbnails_are_made_once_and_kept_outside_the_photos(store: ArchiveOf) -> None:
    back = store.add()
    store.bring(back, picture(size=(1200, 900)))
    async with served(store.archive) as client:
        for _ in range(2):
            response = await head_of(client, photo_address("thumb", back))
            assert (response.status, response.content_type) == (200, "image/jpeg")
        assert (await head_of(client, photo_address("large", back))).content_type == "image/jpeg"
    kept = list((store.folder / "thumbnails").glob("*/*"))
    assert len(kept) == 1
    assert stat.S_IMODE((store.folder / "thumbnails").stat().st_mode) == 0o700
    assert not list((store.folder / "photos").glob("**/*thumb*"))


async def test_a_large_photo_is_shown_smaller(store: ArchiveOf) -> None:
    back = store.add()
    store.bring(back, picture("BMP", (2400, 1200)), content_type="image/bmp", suffix=".bmp")
    async with served(store.archive) as client, client.get(photo_address("large", back)) as response:
        assert response.content_type == "image/jpeg"
        assert len(await response.read()) < 1_000_000


@pytest.mark.parametrize("what", ["thumb", "large"])
async def test_a_broken_photo_has_a_placeholder(store: ArchiveOf, what: str) -> None:
    """Broken bytes, and a file that is missing; never an error page."""
    broken, missing = store.add(), store.add()
    store.bring(broken, b"\xff\xd8\xff\xe0 broken")
    store.bring(missing)[0].unlink()
    async with served(store.archive) as client:
        for back in (broken, missing):
            response = await head_of(client, photo_address(what, back))
            assert (response.status, response.content_type) == (200, "image/svg+xml")
        assert ">No preview<" in await text_of(client, photo_address(what, broken))
        page = await text_of(client, photo_address("photo", broken))
        assert re.search(r'href="/file/[^"]+"><img src="/large/', page)
        assert "market-photos verify" in await text_of(client, photo_address("photo", missing))


async def test_a_photo_that_is_slow_to_draw_delays_no_other_request(store: ArchiveOf) -> None:
    """The pages, pictures that are kept, and pictures that are yet to be drawn are answered meanwhile."""
    slow, kept, new = store.add(), store.add(), store.add()
    store.bring(slow, progressive(2_000, 2_000, scans=390))
    for back in (kept, new):
        store.bring(back)
    async with served(store.archive) as client:
        await head_of(client, photo_address("thumb", kept))
        waiting = [asyncio.create_task(head_of(client, photo_address(what, slow))) for what in ("thumb", "large") * 3]
        await asyncio.sleep(0)
        for path in ("/", photo_address("thumb", kept), photo_address("thumb", new), photo_address("photo", slow)):
            assert (await head_of(client, path)).status == 200
        assert not any(one.done() for one in waiting)
        assert {(await one).content_type for one in waiting} == {"image/jpeg"}


async def test_the_photo_page_shows_all_that_is_known(store: ArchiveOf) -> None:
    back = store.add(photos=3)
    body = picture("PNG")
    path = store.bring(back, body)[1]
    async with served(store.archive) as client:
        page = await text_of(client, photo_address("photo", back, 1))
    for part in (
        hashlib.sha256(body).hexdigest(),
        f"{len(body)} bytes",
        "image/jpeg",
        ">PNG<",
        str(path),
        "Photo 2 / 3",
    ):
        assert part in page
    assert f'rel="prev" data-key="ArrowLeft" href="{photo_address("photo", back, 0)}"' in page
    assert f'rel="next" data-key="ArrowRight" href="{photo_address("photo", back, 2)}"' in page
    assert f'data-key="Escape" href="/return/101/{back.order}/{back.id}"' in page


async def test_failed_and_gone_photos_show_as_such(store: ArchiveOf) -> None:
    failed, gone = store.add(), store.add()
    store.fail(failed, "the answer was cut off after 900 bytes")
    store.lose(gone, "HTTP 404: no such image")
    async with served(store.archive) as client:
        home = await text_of(client, "/")
        for back, words, reason in (
            (failed, "could not be downloaded", "cut off after 900 bytes"),
            (gone, "gone from the Market", "HTTP 404: no such image"),
        ):
            page = await text_of(client, photo_address("photo", back))
            for text in (home, page):
                assert words in text
                assert reason in text


async def test_the_language_is_the_browsers_until_another_is_chosen(store: ArchiveOf) -> None:
    store.add()
    async with served(store.archive) as client:
        assert 'lang="en"' in await text_of(client, "/")
        page = await text_of(client, "/", headers=PHONE)
        assert 'html lang="ru"' in page
        assert "Брак" in page
        assert 'html lang="en"' in await text_of(client, "/?lang=en", headers=PHONE)
        assert 'html lang="en"' in await text_of(client, "/runs", headers=PHONE)  # remembered


async def test_the_search_holds_its_state_in_the_address(store: ArchiveOf) -> None:
    backs = [store.add(comment="скол" if n % 2 else "царапина") for n in range(60)]
    async with served(store.archive) as client:
        page = await text_of(client, "/?q=%D1%81%D0%BA%D0%BE%D0%BB")
        assert page.count("<article") == 24
        older = re.findall(r'rel="next" href="([^"]+)"', page)
        assert len(older) == 1
        second = await text_of(client, unescape(older[0]))
        assert second.count("<article") == 6
        assert str(backs[59].order) in second
        assert "Nothing was found" in await text_of(client, "/?q=zzz")


async def test_a_search_that_takes_too_long_is_ended(store: ArchiveOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says so and what to do; without the search it is as ever."""
    for _ in range(60):
        store.add(comment="скол")
    async with served(store.archive) as client:
        with monkeypatch.context() as patched:
            patched.setattr("market_photos.browse.stores.SEARCH_SECONDS", -1)
            assert "Use fewer or longer words" in await text_of(client, "/?q=%D1%81%D0%BA%D0%BE%D0%BB")
        assert "Use fewer" not in await text_of(client, "/?q=%D1%81%D0%BA%D0%BE%D0%BB")


async def test_the_run_page_summarises_the_last_night(store: ArchiveOf) -> None:
    """When, how long, what came, what failed and why, in words; what is pending."""
    store.fail(store.add(), "the server answered 503 four times")
    store.add(photos=2)
    store.ran({"downloaded": 212, "failed": 3, "pending": 2, "error": "no room"}, ExitCode.ARCHIVE, seconds=3700)
    async with served(store.archive) as client:
        page = await text_of(client, "/runs")
    for part in (
        "1 hr 1 min",
        "212 downloaded",
        "3 failed",
        "2 left",
        "the archive could not be written",
        "no room",
        "503 four times",
        "<b>2</b>",
    ):
        assert part in page
    assert "The quota is enough for all that is pending." in page
    assert NOW == 1_790_000_000


async def test_a_run_that_never_ended_is_shown(store: ArchiveOf) -> None:
    with store.catalog() as catalog:
        catalog.runs.begin("backfill")
    async with served(store.archive) as client:
        assert "cut short" in await text_of(client, "/runs")


async def test_a_damaged_catalogue_is_explained(tmp_path: Path) -> None:
    """The other store is still shown; no page is an error without words."""
    good, bad = ArchiveOf(tmp_path, 101), ArchiveOf(tmp_path, 102)
    back, lost = good.add(), bad.add()
    async with served(tmp_path) as client:
        (bad.folder / "catalog.sqlite3").write_bytes(b"garbage" * 2000)
        home = await text_of(client, "/")
        assert str(back.order) in home
        assert "market-photos rebuild" in home
        assert "market-photos rebuild" in await text_of(client, "/runs")
        assert "market-photos rebuild" in await text_of(client, f"/return/102/{lost.order}/{lost.id}", 503)


async def test_new_photos_of_a_sync_appear_without_a_restart(
    store: ArchiveOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("market_photos.browse.index_refresher.PAUSE", 0.05)
    store.add()
    async with served(store.archive) as client:
        back = store.add(created_at=NOW + 5)
        for _ in range(200):
            if str(back.order) in await text_of(client, "/"):
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("a new return did not appear")


async def test_a_malformed_request_is_a_400(store: ArchiveOf) -> None:
    store.add()
    async with served(store.archive) as client, ClientSession() as session:
        for request in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET /?q=\xff HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            assert (await raw_answer(client, request)).startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
        async with session.get(client.make_url("/")) as response:
            assert response.status == 200


async def test_an_index_that_cannot_be_made_is_reported(store: ArchiveOf) -> None:
    """Not an empty archive. A folder in its place stands for a disk that takes nothing, for root writes anywhere."""
    store.add()
    (store.folder / "browse.sqlite3").mkdir()
    async with served(store.archive) as client:
        page = await text_of(client, "/")
    assert "browse.sqlite3: " in page
    assert "no returns with photos" not in page


async def test_status_page_and_metrics_show_the_same_quota_and_time(store: ArchiveOf) -> None:
    """An unanswered photo request may have arrived ten minutes late, so that of 4 000 s ago counts, for the three."""
    store.add(photos=9)
    with store.catalog() as catalog:
        for method, seconds in (("photo", 4300), ("photo", 4000), ("photo", 3500), ("photo", 10), ("returns", 10)):
            store.clock.wall = NOW - seconds
            catalog.requests.sent(method, None)
        store.clock.wall = NOW
    limits = Limits(photo_requests=8)
    found = status_of(store.archive, 101, limits, store.clock).as_json()
    assert (found["quota_left"], found["seconds_left"]) == (5, 3604)
    settings = Settings(archive=Archive(directory=store.archive), limits=limits)
    write_metrics(store.archive / "m.prom", settings, Outcome(NOW, NOW, ExitCode.COMPLETE, None), store.clock)
    metrics = (store.archive / "m.prom").read_text()
    assert 'market_photos_quota_left_requests{store="101"} 5.0\n' in metrics
    assert 'market_photos_seconds_left{store="101"} 3604.0\n' in metrics
    async with served(store.archive, limits=limits) as client:
        page = await text_of(client, "/runs")
    assert "5 of 8 photo requests are left" in page
    assert "A run would take about 1 hr for what is pending." in page
