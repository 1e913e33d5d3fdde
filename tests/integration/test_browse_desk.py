"""What a clerk finds on the pages: what awaits a decision, results and the way back, proof to hand over, the runs."""

import io
import json
import re
import zipfile
from dataclasses import asdict
from html import unescape
from pathlib import Path

import pytest

from market_photos.archive.lock import Lock
from market_photos.errors import ExitCode
from market_photos.reporting.progress import NAME as PROGRESS_NAME
from market_photos.reporting.progress import StoreProgress
from tests.archives import NOW, ArchiveOf, photo_address, picture
from tests.integration.test_browse_web import PHONE, served, text_of


@pytest.fixture
def store(tmp_path: Path) -> ArchiveOf:
    return ArchiveOf(tmp_path)


async def test_the_start_is_what_awaits_a_decision_if_anything_does(store: ArchiveOf) -> None:
    """Both states, the most urgent first, with the time left; the tab counts them, and errors tell nothing."""
    store.add(refund="REFUNDED", created_at=NOW)
    urgent = store.add(refund="PREMODERATION_DECISION_WAITING", created_at=NOW - 40 * 3600)
    fresh = store.add(refund="WAITING_FOR_DECISION", created_at=NOW - 6 * 3600, photos=0)
    late = store.add(refund="WAITING_FOR_DECISION", created_at=NOW - 51 * 3600)
    async with served(store.archive) as client:
        page = await text_of(client, "/")
        assert re.findall(r"<b>(5\d+)</b>", page) == [str(back.order) for back in (late, urgent, fresh)]
        for part in ("48 hours were over 3 hrs ago (estimate)", "about 8 hrs left (estimate)", "about 42 hrs left"):
            assert part in page
        assert '<b class="badge">3</b>' in page
        assert f'href="/return/101/{late.order}/{late.id}?refund=awaiting"' in page
        back = await text_of(client, f"/return/101/{late.order}/{late.id}?refund=awaiting")
        assert 'href="/awaiting#r' in back
        assert "badge" not in await text_of(client, "/nowhere", 404)
        found = await text_of(client, "/returns?refund=awaiting")
        assert "3 returns" in found
        assert '<option value="awaiting" selected title="awaiting">Awaits your decision (3)</option>' in found


async def test_without_anything_to_decide_the_start_is_the_newest_returns(store: ArchiveOf) -> None:
    back = store.add()
    async with served(store.archive) as client:
        async with client.get("/") as response:
            assert (response.url.path, str(back.order) in await response.text()) == ("/returns", True)
        async with client.get("/?q=1&lang=ru") as response:
            assert response.url.path_qs == "/returns?q=1&lang=ru"


async def test_results_lead_forth_and_back(store: ArchiveOf) -> None:
    """Pages are numbered; from a return one comes to its neighbours in the results, and back to its page of them."""
    backs = [store.add(comment="скол" if n % 2 else "царапина") for n in range(60)]
    scratched = backs[::2]
    async with served(store.archive) as client:
        page = await text_of(client, "/returns?q=%D1%81%D0%BA%D0%BE%D0%BB")
        assert "30 returns" in page
        assert "page 1 of 2" in page
        (older,) = re.findall(r'rel="next" href="([^"]+)"', page)
        second = await text_of(client, unescape(older))
        assert "page 2 of 2" in second
        (newer,) = re.findall(r'rel="prev" href="([^"]+)"', second)
        assert unescape(newer) == "/returns?q=%D1%81%D0%BA%D0%BE%D0%BB"
        address = unescape(re.findall(r'href="(/return/[^"]+)"', second)[0])
        shown = await text_of(client, address)
        assert "25 of 30" in shown
        assert f'href="{older}#r101-' in shown
        assert 'rel="prev" data-key="ArrowLeft"' in shown
        (following,) = re.findall(r'rel="next" data-key="ArrowRight" href="([^"]+)"', shown)
        assert "26 of 30" in await text_of(client, unescape(following))
        first = f"/return/101/{scratched[0].order}/{scratched[0].id}"
        assert 'data-key="ArrowLeft"' not in await text_of(client, first)


async def test_the_compact_form_is_remembered(store: ArchiveOf) -> None:
    for _ in range(30):
        store.add()
    async with served(store.archive) as client:
        assert (await text_of(client, "/returns")).count('class="card"') == 24
        assert (await text_of(client, "/returns?view=compact")).count('class="row"') == 30
        assert (await text_of(client, "/returns")).count('class="row"') == 30
        assert (await text_of(client, "/returns?view=cards")).count('class="card"') == 24


async def test_a_file_that_is_not_as_archived_says_so(store: ArchiveOf) -> None:
    """In words on the list, the return and the photo: missing, of another size, and by its SHA-256 if asked."""
    missing, longer, changed = store.add(), store.add(), store.add()
    store.bring(missing)[0].unlink()
    for back, edit in ((longer, b"%b!"), (changed, b"%.0b" + picture(color="#0a0"))):
        (path,) = store.bring(back)
        content = path.read_bytes()
        path.write_bytes(edit % content if back is longer else content[:-3] + b"abc")
    async with served(store.archive) as client:
        for address in ("/returns", f"/return/101/{missing.order}/{missing.id}"):
            assert "the file is missing" in await text_of(client, address)
        for address in ("/returns", f"/return/101/{longer.order}/{longer.id}"):
            assert "the file has another size" in await text_of(client, address)
        assert "does not have the size that was archived" in await text_of(client, photo_address("photo", longer))
        assert "SHA-256 does not match" in await text_of(client, photo_address("photo", changed) + "?check=1")
        assert "matches" not in await text_of(client, photo_address("photo", changed))


async def test_the_sha256_is_checked_when_asked(store: ArchiveOf) -> None:
    back = store.add()
    store.bring(back)
    async with served(store.archive) as client:
        assert "SHA-256 matches" in await text_of(client, photo_address("photo", back) + "?check=1")


async def test_a_return_hands_over_its_pack_and_its_photos(store: ArchiveOf) -> None:
    """The pack is that of `export`; photos are numbered as on the page; a changed file makes neither."""
    back = store.add(photos=3)
    bodies = [picture(color=color) for color in ("#a33", "#3a3")]
    paths = store.bring(back, *bodies)
    address = f"101/{back.order}/{back.id}"
    async with served(store.archive) as client:
        async with client.get(f"/photos/{address}") as response:
            assert f'filename="photos-{back.order}-{back.id}.zip"' in response.headers["Content-Disposition"]
            with zipfile.ZipFile(io.BytesIO(await response.read())) as zipped:
                assert [name[:3] for name in zipped.namelist()] == ["01-", "02-", "03-"]
                assert zipped.read(zipped.namelist()[0]) == bodies[0]
        async with client.get(f"/pack/{address}?lang=ru") as response, client.get("/runs") as _:
            with zipfile.ZipFile(io.BytesIO(await response.read())) as zipped:
                names = {name.partition("/")[2] for name in zipped.namelist()}
                assert {"index.html", "manifest-sha256.txt"} <= names
        assert await text_of(client, "/pack/101/1/2", 404)
        paths[1].write_bytes(b"changed")
        for what in ("pack", "photos"):
            assert "is not what was downloaded" in await text_of(client, f"/{what}/{address}", 409)


async def test_a_return_shows_where_the_goods_are(store: ArchiveOf) -> None:
    record = {
        "id": 2,
        "orderId": 1,
        "shipmentStatus": "READY_FOR_PICKUP",
        "pickupTillDate": "2026-10-01T21:00:00+03:00",
        "fastReturn": True,
        "logisticPickupPoint": {"name": "ПВЗ 5", "address": {"city": "Москва", "street": "Лесная", "house": "5"}},
        "items": [
            {
                "tracks": [{"trackCode": "RT77"}],
                "instances": [{"status": "IN_TRANSIT", "stockType": "DEFECT", "imei": "35"}],
            }
        ],
    }
    back = store.add(order=1, return_id=2, record=record)
    async with served(store.archive) as client:
        page = await text_of(client, f"/return/101/{back.order}/{back.id}")
    for part in (
        "Ready for the store to pick up",
        "1 Oct 2026, 21:00",
        "stay with the buyer",
        "ПВЗ 5, Москва, Лесная, 5",
        "RT77",
        "On its way",
        "defective",
        "IMEI",
        "market-photos hold --campaign 101 --order 1 --return 2",
    ):
        assert part in page


async def test_a_run_at_work_is_shown_with_what_it_has_brought(store: ArchiveOf) -> None:
    """In words of the page, and what is left; the page reads it again by itself."""
    store.add(photos=4)
    progress = StoreProgress("store 101", "2026-09-01 to now", 3, 250, 1234, 5_600_000, 4, 4000.0, 0.5, 3600.0, "")
    content = {"at": store.clock.now().wall, **asdict(progress)}
    (store.folder / PROGRESS_NAME).write_text(json.dumps(content))
    with Lock(store.folder / "run.lock", "sync --full", store.clock):
        async with served(store.archive) as client:
            page = await text_of(client, "/runs")
            russian = await text_of(client, "/runs", headers=PHONE)
    for part in ("At work now", "sync --full, since 21 Sept 2026", "1,234 photos brought, 5.6 MB", "4 photos left"):
        assert part in page
    assert 'data-live="5"' in page
    for part in ("Сейчас идёт", "загружено 1\xa0234 фото", "осталось 4 фото"):
        assert part in russian


@pytest.mark.parametrize(
    ("command", "code", "summary", "told"),
    [
        ("sync", ExitCode.SERVER, {"error": "api.example: no route"}, "the server could not be reached"),
        ("sync", ExitCode.SERVER, {"error": "api.example: no route"}, "api.example: no route"),
        (
            "sync --dry-run",
            ExitCode.COMPLETE,
            {"would_fetch": 57},
            "dry run: nothing was downloaded; 57 photos would",
        ),
    ],
)
async def test_a_run_says_just_what_it_was(
    store: ArchiveOf, command: str, code: ExitCode, summary: dict[str, object], told: str
) -> None:
    store.ran(summary, code, command=command)
    async with served(store.archive) as client:
        page = await text_of(client, "/runs")
    assert told in page
    assert "complete<" not in page
