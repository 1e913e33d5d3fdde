"""The pages of an archive in a bucket: photos pass through, and nothing cut short looks complete."""

import asyncio
import signal
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import obstore
import pytest
from aiohttp import ClientPayloadError, web
from aiohttp.test_utils import TestClient, TestServer

from market_photos.archive import objects
from market_photos.archive.object_file import PIECE_BYTES
from market_photos.archive.places import open_archive
from market_photos.browse.app import make_app
from market_photos.browse.index_refresher import IndexRefresher
from market_photos.browse.security import access_policy
from market_photos.browse.site import FILE_THREADS, Site
from market_photos.browse.stores import Stores
from market_photos.clock import SystemClock
from market_photos.sandbox.world import Photo
from market_photos.settings import Limits
from tests.integration.buckets import Storage, ministack, store_of
from tests.integration.gate import gate
from tests.integration.harness import CAMPAIGN
from tests.integration.test_bucket import BucketWorld, a_bucket_world

Client = TestClient[web.Request, web.Application]
#: More than the buffers between the storage and a client take.
LARGE = 40_000_000


@pytest.fixture
def world(keys: None, storage: Storage, tmp_path: Path) -> Iterator[BucketWorld]:
    """Three returns with two photos each, and one with a large photo, archived in a bucket."""
    with a_bucket_world(storage, tmp_path) as world:
        world.market.stores[CAMPAIGN].add_return(photos=1, size=LARGE)
        assert world.sync().exit_code == 0
        yield world


@asynccontextmanager
async def browsed(world: BucketWorld) -> AsyncIterator[Client]:
    """The pages of the archive, without an index."""
    stores = Stores(open_archive(world.as_settings().archive))
    stores.source.fetch()
    site = Site(stores, IndexRefresher(stores), Limits(), SystemClock())
    async with TestClient(TestServer(make_app(site, access_policy("127.0.0.1", "")))) as client:
        yield client


def photos_of(world: BucketWorld) -> list[Photo]:
    """The photos, the large one last."""
    return sorted(world.market.photos(), key=lambda photo: photo.size or 0)


def address(what: str, photo: Photo) -> str:
    return f"/{what}/{photo.campaign}/{photo.order}/{photo.return_id}/{photo.item}-{photo.image_hash}"


def key_of(world: BucketWorld, photo: Photo) -> str:
    [key] = [key for key in world.objects if f"/{photo.item}-{photo.image_hash}." in key]
    return key


async def test_a_photo_passes_through_with_the_headers_of_a_file(world: BucketWorld) -> None:
    """Whole, in parts, and not at all where the browser has it already."""
    for photo in photos_of(world)[-2:]:
        whole = photo.body
        async with browsed(world) as client:
            async with client.get(address("file", photo)) as response:
                assert await response.read() == whole
                assert (response.status, response.content_type) == (200, photo.content_type)
                assert response.content_length == len(whole)
                tag = response.headers["ETag"]
            for asked, status, part in (
                ("bytes=0-99", 206, whole[:100]),
                (f"bytes={len(whole) - 50}-", 206, whole[-50:]),
                ("bytes=-50", 206, whole[-50:]),
                (f"bytes={len(whole)}-", 416, b""),
            ):
                async with client.get(address("file", photo), headers={"Range": asked}) as response:
                    assert (response.status, await response.read()) == (status, part), asked
            changed = {"Range": "bytes=0-9", "If-Range": '"another"'}
            async with client.get(address("file", photo), headers=changed) as response:
                assert (response.status, response.content_length) == (200, len(whole))
            async with client.get(address("file", photo), headers={"If-None-Match": tag}) as response:
                assert (response.status, await response.read()) == (304, b"")
            async with client.head(address("file", photo)) as response:
                assert (response.status, response.content_length) == (200, len(whole))


async def test_previews_are_drawn_from_a_bucket_and_kept(world: BucketWorld) -> None:
    small, *_, large = photos_of(world)
    async with browsed(world) as client:
        for photo in (small, large):
            for what in ("thumb", "large"):
                async with client.get(address(what, photo)) as response:
                    assert (response.status, response.content_type) == (200, "image/jpeg")
                    assert (await response.read())[:3] == b"\xff\xd8\xff"
        for key in (key_of(world, small), key_of(world, large)):
            obstore.delete(store_of(world.storage, world.bucket), key)
        async with client.get(address("thumb", small)) as response:
            assert response.content_type == "image/jpeg"
    assert [path.name for path in world.archive.rglob("*") if path.name.startswith(".drawing")] == []


async def test_a_photo_that_the_bucket_lacks_is_told_like_one_that_a_folder_lacks(world: BucketWorld) -> None:
    """On the pages of the return and the photo; so is one of another size. Lists do not look."""
    missing, longer, *_ = photos_of(world)
    store = store_of(world.storage, world.bucket)
    obstore.delete(store, key_of(world, missing))
    obstore.put(store, key_of(world, longer), longer.body + b"x")
    async with browsed(world) as client:
        async with client.get(address("file", missing)) as response:
            assert (response.status, "There is no such page here" in await response.text()) == (404, True)
        async with client.get(address("thumb", missing)) as response:
            assert (response.status, response.content_type) == (200, "image/svg+xml")
        for photo, words in ((missing, "the file is missing"), (longer, "the file has another size")):
            for page in (f"/return/{CAMPAIGN}/{photo.order}/{photo.return_id}", address("photo", photo)):
                async with client.get(page) as response:
                    assert words in await response.text()


async def test_a_photo_is_compared_with_its_sha256(world: BucketWorld) -> None:
    right, *_, changed = photos_of(world)
    obstore.put(store_of(world.storage, world.bucket), key_of(world, changed), changed.body[:-1] + b"x")
    async with browsed(world) as client:
        for photo, words in ((right, "SHA-256 matches"), (changed, "SHA-256 does not match")):
            async with client.get(address("photo", photo) + "?check=1") as response:
                page = await response.text()
            assert words in page
        assert f"s3://{world.bucket}/market/{key_of(world, changed)}" in page


@pytest.mark.usefixtures("keys")
async def test_an_answer_is_cut_where_the_bucket_goes_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a photo never looks like the whole."""
    monkeypatch.setattr(objects, "REPEAT_SECONDS", 1.0)
    with ExitStack() as stack:
        storage = stack.enter_context(ministack(tmp_path))
        world = stack.enter_context(a_bucket_world(storage, tmp_path, returns=0))
        world.market.stores[CAMPAIGN].add_return(photos=1, size=LARGE)
        assert (await asyncio.to_thread(world.sync)).exit_code == 0
        [photo] = photos_of(world)
        async with browsed(world) as client, client.get(address("file", photo)) as response:
            assert response.content_length == LARGE
            await response.content.readexactly(2_000_000)
            storage.process.kill()
            with pytest.raises(ClientPayloadError):
                await response.read()


async def test_a_photo_that_changes_while_it_is_sent_is_cut(world: BucketWorld) -> None:
    photo = photos_of(world)[-1]
    key, other = key_of(world, photo), bytes(LARGE)
    async with browsed(world) as client, client.get(address("file", photo)) as response:
        await response.content.readexactly(2_000_000)
        obstore.put(store_of(world.storage, world.bucket), key, other)
        with pytest.raises(ClientPayloadError):
            await response.read()


async def test_no_list_waits_for_a_bucket_that_does_not_answer(world: BucketWorld) -> None:
    """More requests than there are threads for photos wait for it: files, and the pages that look at files."""
    photo = photos_of(world)[0]
    paths = [f"/return/{CAMPAIGN}/{photo.order}/{photo.return_id}", address("file", photo)] * FILE_THREADS

    async def status_of(client: Client, path: str) -> int:
        async with client.get(path) as response:
            return response.status

    async with browsed(world) as client:
        world.storage.process.send_signal(signal.SIGSTOP)
        try:
            waiting = [asyncio.create_task(status_of(client, path)) for path in paths]
            done, _ = await asyncio.wait(waiting, timeout=0.5)
            assert not done
            async with asyncio.timeout(5):
                assert await status_of(client, "/returns") == 200
        finally:
            world.storage.process.send_signal(signal.SIGCONT)
        assert {await one for one in waiting} == {200}


async def test_a_client_that_leaves_ends_the_download(world: BucketWorld) -> None:
    photo = photos_of(world)[-1]
    key = key_of(world, photo)
    with gate(world.storage.endpoint) as way:
        async with browsed(world.another_machine(way.url)) as client:
            async with client.get(address("file", photo)) as response:
                await response.content.readexactly(2_000_000)
                response.close()
            async with client.get("/returns") as response:
                assert response.status == 200
        pieces = [passed for passed in way.passed if passed.path.endswith(key)]
    assert 2 <= len(pieces) < LARGE / PIECE_BYTES / 2


async def test_a_page_costs_one_listing_and_a_kept_preview_nothing(world: BucketWorld) -> None:
    photo, *_ = photos_of(world)
    with gate(world.storage.endpoint) as way:
        async with browsed(world.another_machine(way.url)) as client:
            await client.get(address("thumb", photo))
            for page, requests in (
                ("/returns", []),
                (f"/return/{CAMPAIGN}/{photo.order}/{photo.return_id}", [f"/{world.bucket}"]),
                (address("thumb", photo), []),
                (address("file", photo), [f"/{world.bucket}/market/{key_of(world, photo)}"]),
            ):
                way.passed.clear()
                async with client.get(page) as response:
                    assert response.status == 200
                    await response.read()
                assert [passed.path for passed in way.passed] == requests, page


@pytest.mark.usefixtures("keys")
def test_a_photo_of_50_mb_passes_through_in_little_memory(storage: Storage, tmp_path: Path) -> None:
    """The memory of the whole program, while it draws a preview and sends the photo and a zip of it."""
    with a_bucket_world(storage, tmp_path, returns=1, photos=1) as world:
        world.market.stores[CAMPAIGN].add_return(photos=1, size=50_000_000)
        assert world.sync().exit_code == 0
        small, large = photos_of(world)
        process = world.start("browse", "--port", "0")
        try:
            assert process.stdout is not None
            site = process.stdout.readline().strip().rstrip("/")
            for photo, warms_up in ((small, True), (large, False)):
                paths = [address(what, photo) for what in ("thumb", "file", "photo")]
                paths += [f"{paths.pop()}?check=1", f"/photos/{CAMPAIGN}/{photo.order}/{photo.return_id}"]
                before = peak_of(process.pid)
                for path in paths:
                    with urllib.request.urlopen(site + path, timeout=60) as answer:
                        assert answer.status == 200
                        while answer.read(1_000_000):
                            pass
                assert warms_up or peak_of(process.pid) - before < 25_000_000
        finally:
            process.terminate()
            world.end_of(process)


def peak_of(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
