"""Whatever the server does, the archive is right and the exit code is true. Pauses are shortened."""

import datetime as dt
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from market_photos.errors import ExitCode, KeyRefused, MarketPhotosError
from market_photos.market import body
from market_photos.market.requests import MAX_PHOTO_BYTES
from market_photos.reporting.summary import full_report
from market_photos.sandbox import ALWAYS, FixedWindow, Market, Photo, ServerLimits, actions, running
from market_photos.sandbox.faults import Action
from tests.integration.conftest import MakeWorld
from tests.integration.harness import World, counts_of, fill

pytestmark = pytest.mark.usefixtures("quick")
HTML = b"<html><body>Bad Gateway</body></html>"


@pytest.mark.parametrize(
    ("action", "requests"),
    [
        pytest.param(actions.status(500, body=HTML), 2, id="500"),
        pytest.param(actions.status(502, body=HTML), 2, id="502"),
        pytest.param(actions.status(503, body=HTML * 10_000), 2, id="503 with 370 KB"),
        pytest.param(actions.status(504, body=b""), 2, id="504"),
        pytest.param(actions.status(499), 2, id="499"),
        pytest.param(actions.status(408), 2, id="408"),
        pytest.param(actions.parallel_420(), 2, id="parallel"),
        pytest.param(actions.quota_420(-5), 2, id="quota, until in the past"),
        pytest.param(actions.quota_420("soon"), 2, id="quota, until malformed"),
        pytest.param(actions.quota_420(None), 2, id="quota, no until"),
        pytest.param(actions.reset(), 2, id="reset at the header"),
        pytest.param(actions.reset(0), 2, id="reset after the header"),
        pytest.param(actions.reset(1000), 2, id="reset in the body"),
        pytest.param(actions.reset(-1), 2, id="reset at the last byte"),
        pytest.param(actions.cut(), 2, id="closed at the header"),
        pytest.param(actions.cut(1000), 2, id="cut"),
        pytest.param(actions.cut(-1), 2, id="cut at the last byte"),
        pytest.param(actions.cut_chunked(1000), 2, id="cut, chunked"),
        pytest.param(actions.wrong_length(+500), 2, id="length too large"),
        pytest.param(actions.wrong_length(-500), 2, id="length too small"),
        pytest.param(actions.wrong_length(-10), 2, id="length too small by a bit"),
        pytest.param(actions.raw(b"SSH-2.0-OpenSSH\r\n"), 2, id="no HTTP"),
        pytest.param(actions.no_length(), 1, id="no length"),
        pytest.param(actions.chunked(), 1, id="chunked"),
        pytest.param(actions.content_encoding("gzip"), 1, id="said to be gzip"),
        pytest.param(actions.content_type("application/octet-stream"), 1, id="octet-stream"),
        pytest.param(actions.content_type("IMAGE/JPEG; charset=x"), 1, id="upper case"),
        pytest.param(actions.content_type(None), 1, id="no type"),
        pytest.param(actions.content_type(";;;"), 1, id="nonsense type"),
        pytest.param(actions.redirect(), 2, id="redirected once to itself"),
        pytest.param(actions.delay(0.3), 1, id="late"),
        pytest.param(actions.headers({"X-Odd": "ы" * 3}), 1, id="odd header"),
        pytest.param(actions.headers({"X-RateLimit-Resource-Remaining": "-5"}), 1, id="remaining below zero"),
    ],
)
def test_a_fault_that_passes(world: World, action: Action, requests: int) -> None:
    """A fault of one photo of three: all photos arrive whole, with no more requests than necessary."""
    photos = fill(world.market.stores[101], returns=3)
    world.sandbox.faults.add(action, image_hash=photos[1].image_hash)
    report = world.sync()
    assert (report.exit_code, world.states()) == (ExitCode.COMPLETE, {"archived": 3})
    assert len([e for e in world.log.of("photo") if e.image_hash == photos[1].image_hash]) == requests
    assert counts_of(report)["requests"] == len(world.log)
    # a length that is too small or a broken end: the server believes that it sent everything
    world.assert_archive_is_right(in_flight=requests - 1)


@pytest.mark.parametrize("content_type", ["image/jpeg", "image/png"])
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param((actions.no_length(), actions.cut(9000)), id="neither length nor chunks"),
        pytest.param((actions.wrong_length(-100_000),), id="a length that is too small"),
    ],
)
def test_a_cut_without_framing_is_noticed_by_the_image(
    world: World, faults: tuple[Action, ...], content_type: str
) -> None:
    """The photo is requested again, as its end is missing; the second such answer is kept, with a note."""
    store = world.market.stores[101]
    back = store.add_return(photos=2, size=300_000, content_type=content_type)
    once, always = store.photos(back)
    for action in faults:
        world.sandbox.faults.add(action, image_hash=once.image_hash)
        world.sandbox.faults.add(action, image_hash=always.image_hash, times=ALWAYS)
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert world.log.count("photo") == 4
    rows = world.photo_rows(101)
    assert [row["note"] for row in rows] == ["", "no end marker, so it may be cut off"]
    assert world.path_of(101, rows[0]).read_bytes() == once.body


@pytest.mark.parametrize(
    "start", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x24\0\0\0WEBP", b"\0\0\0\x18ftyp"]
)
def test_a_framed_body_that_begins_like_an_image_is_accepted(world: World, start: bytes) -> None:
    """A body that is whole by its framing is not requested again."""
    store = world.market.stores[101]
    store.serve(fill(store, returns=1)[0], body=start + b"abc" * 1000, content_type="image/jpeg")
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert world.log.count("photo") == 1
    world.assert_archive_is_right()


@pytest.mark.parametrize(
    ("action", "reason", "requests"),
    [
        pytest.param(actions.html(), "HTML", 1, id="HTML"),
        pytest.param(actions.error_with_200(), "JSON", 1, id="JSON"),
        pytest.param(actions.body(b'{"a": 1}'), "JSON", 1, id="JSON called image/jpeg"),
        pytest.param(actions.text(), "text/plain", 1, id="text"),
        pytest.param(actions.nothing(), "empty", 1, id="nothing"),
        pytest.param(actions.body(b"abc\xff" * 1000), "begins with b'abc\\xffabc", 4, id="no image"),
        pytest.param(actions.body(b"  \n "), "empty", 1, id="blanks"),
        pytest.param(actions.status(500), "HTTP 500", 4, id="500"),
        pytest.param(actions.cut(1000), "cut off", 4, id="cut"),
        pytest.param(actions.reset(), "the connection", 4, id="reset"),
        pytest.param(actions.status(400), "HTTP 400", 1, id="400"),
        pytest.param(actions.status(405), "HTTP 405", 1, id="405"),
        pytest.param(actions.status(415), "HTTP 415", 1, id="415"),
        pytest.param(actions.status(204, body=b""), "HTTP 204", 1, id="204"),
        pytest.param(actions.status(206), "HTTP 206", 1, id="206"),
        pytest.param(actions.redirect(), "redirected", 4, id="redirected for ever"),
        pytest.param(actions.redirect("http://localhost:9/photo"), "not followed", 1, id="to http elsewhere"),
        pytest.param(actions.redirect("ftp://127.0.0.1/photo"), "not followed", 1, id="to ftp"),
        pytest.param(actions.redirect("//[broken"), "not followed", 1, id="to nowhere"),
        pytest.param(actions.raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"), "", 4, id="a huge header"),
    ],
)
def test_a_fault_that_stays(world: World, action: Action, reason: str, requests: int) -> None:
    """The photo is failed with its reason, is no file, is tried by the next run, and harms no other photo."""
    photos = fill(world.market.stores[101], returns=3)
    world.sandbox.faults.add(action, image_hash=photos[1].image_hash, times=ALWAYS)
    report = world.sync()
    assert (report.exit_code, world.states()) == (ExitCode.FAILED, {"archived": 2, "failed": 1})
    (failure,) = report.stores[0].failures
    assert reason in failure.reason
    assert photos[1].image_hash not in failure.reason, "URLs of photos are shortened"
    assert failure.reason in "\n".join(full_report(report))
    assert len([e for e in world.log.of("photo") if e.image_hash == photos[1].image_hash]) == requests
    counts_of(report)
    world.assert_archive_is_right()
    world.sandbox.faults.clear()
    assert world.sync().exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right()


def test_a_photo_of_50_mb_is_archived_and_one_byte_more_is_refused(make_world: MakeWorld) -> None:
    """The API's limit is 50 MB: it is archived; one byte more is refused, with or without Content-Length."""
    world = make_world({"api": {"read_timeout_seconds": 60}})  # 50 MB are drawn when they are asked for
    store = world.market.stores[101]
    most = MAX_PHOTO_BYTES
    good, told, untold = (store.photos(store.add_return(photos=1))[0] for _ in range(3))
    store.serve(good, size=most)
    store.serve(told, size=most + 1)
    store.serve(untold, size=most + 1)
    world.sandbox.faults.add(actions.chunked(), image_hash=untold.image_hash)
    report = world.sync()
    assert world.states() == {"archived": 1, "failed": 2}
    assert all("larger than 50 MB" in failure.reason for failure in report.stores[0].failures)
    world.assert_archive_is_right()


def test_a_png_served_as_jpeg_keeps_the_header_suffix_and_is_noted(world: World) -> None:
    """The header decides the suffix, and the catalogue notes that the bytes disagree."""
    store = world.market.stores[101]
    back = store.add_return()
    png = store.add_photo(back, content_type="image/png").body
    jpeg = store.add_photo(back, content_type="image/jpeg").body
    for content, said in ((png, "image/jpeg"), (jpeg, "image/png")):
        store.serve(store.add_photo(back), body=content, content_type=said)
    assert world.sync().exit_code is ExitCode.COMPLETE
    rows = world.photo_rows(101)
    assert [row["suffix"] for row in rows] == [".png", ".jpg", ".jpg", ".png"]
    assert [bool(row["note"]) for row in rows] == [False, False, True, True]
    world.assert_archive_is_right()


def test_a_drip_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body below the least rate causes no read time-out, but the client hangs up."""
    monkeypatch.setattr(body, "MIN_RATE_SECONDS", 0.2)
    photos = fill(world.market.stores[101], returns=2)
    world.sandbox.faults.add(actions.drip(2000), image_hash=photos[0].image_hash)
    assert world.sync().exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right()


def test_a_hang_is_hung_up_on(make_world: MakeWorld) -> None:
    """The client hangs up after the read time-out, before the header or in the body; other photos go on."""
    world = make_world({"api": {"read_timeout_seconds": 1}})
    photos = fill(world.market.stores[101], returns=6)
    world.sandbox.faults.add(actions.hang(), image_hash=photos[0].image_hash)
    world.sandbox.faults.add(actions.hang(500), image_hash=photos[1].image_hash)
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert world.log.worst_parallel() <= 3
    world.assert_archive_is_right()


@pytest.mark.parametrize("action", [actions.reset(), actions.hang()])
def test_a_connection_that_breaks_at_its_start_is_tried_again(make_world: MakeWorld, action: Action) -> None:
    world = make_world({"api": {"read_timeout_seconds": 1}})
    fill(world.market.stores[101], returns=4)
    world.sandbox.faults.add(action, kind="connect", nth=3, times=1)
    assert world.sync().exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right()


@pytest.mark.parametrize(
    ("action", "most"),
    [
        (actions.status(503), 24),
        (actions.html(), 24),
        (actions.reset(), 24),
        (actions.status(404, body=HTML), 24),
        (actions.redirect("https://127.0.0.1:9/login"), 60),
    ],
)
def test_an_outage_from_the_start_stops_the_run(world: World, action: Action, most: int) -> None:
    """The first 20 fail alike: the run stops with exit 8 and does not burn the quota."""
    fill(world.market.stores[101], returns=100)
    world.sandbox.faults.add(action, kind="photo", times=ALWAYS)
    report = world.sync()
    assert report.exit_code is ExitCode.SERVER
    assert world.log.count("photo") <= most
    assert "in a row failed alike" in str(report.stores[0].error)
    world.sandbox.faults.clear()
    assert world.sync().exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right()


def broken(world: World, photos: list[Photo], action: Action) -> None:
    for photo in photos:
        world.sandbox.faults.add(action, image_hash=photo.image_hash, times=ALWAYS)


@pytest.mark.parametrize(
    "action",
    [
        actions.status(503),
        actions.html(),
        actions.cut(100),
        actions.status(404, body=HTML),
        actions.status(403),
    ],
)
@pytest.mark.parametrize("first", [0, 50, 75])
def test_a_bad_corner_does_not_block_the_rest(world: World, first: int, action: Action) -> None:
    """Of 100 photos 25 are broken, wherever they lie in the queue: the 75 others come in the first night."""
    photos = fill(world.market.stores[101], returns=100)
    # the newest first; in one second they are claimed in the order of the listing
    listed = sorted(photos, key=lambda photo: zlib.crc32(str(photo.return_id).encode()))
    broken(world, listed[first : first + 25], action)
    report = world.sync()
    found = world.states()
    assert found.pop("archived") == 75
    if report.exit_code is ExitCode.KEY:
        return  # twenty refusals at the end, and nothing after them: the store may have been closed meanwhile
    assert found in ({"failed": 25}, {"gone": 25})
    assert report.exit_code is (ExitCode.FAILED if "failed" in found else ExitCode.COMPLETE)
    world.assert_archive_is_right()


@pytest.mark.parametrize("action", [actions.status(503), actions.html(), actions.reset()])
def test_a_quiet_night_with_five_broken_photos_exits_3(world: World, action: Action) -> None:
    """Five failures end with exit 3 in each night; each photo has all its attempts."""
    photos = fill(world.market.stores[101], returns=5)
    broken(world, photos, action)
    for night in (1, 2):
        report = world.sync()
        assert (report.exit_code, world.states()) == (ExitCode.FAILED, {"failed": 5}), night
        assert report.stores[0].error is None
    assert {row["failures"] for row in world.photo_rows(101)} == {2}


def test_photos_that_failed_last_night_come_after_new_ones(world: World) -> None:
    """New photos first; then twenty that fail again are enough for one night, and are exit 3, not an outage."""
    store = world.market.stores[101]
    old = fill(store, returns=70)
    broken(world, old[:40], actions.status(503))
    assert world.sync().exit_code is ExitCode.FAILED
    long_ago = world.market.now - dt.timedelta(days=2)
    new = [store.photos(store.add_return(photos=1, created=long_ago))[0] for _ in range(10)]
    world.log.clear()
    report = world.sync()
    assert (report.exit_code, report.stores[0].error) == (ExitCode.FAILED, None)
    assert world.states() == {"archived": 40, "failed": 40}
    tried = list(dict.fromkeys(entry.image_hash for entry in world.log.of("photo")))
    assert set(tried[:10]) == {photo.image_hash for photo in new}
    # More than 20 where the last new photo was still on its way to the disk; the others wait for the next night.
    assert 20 <= len(tried[10:]) < 40
    world.log.clear()
    world.sync()
    assert not set(tried[10:]) & {entry.image_hash for entry in world.log.of("photo")[:16]}, "those wait tonight"
    world.sandbox.faults.clear()
    assert world.sync().exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right()


def test_an_outage_during_a_run_is_waited_out(world: World) -> None:
    """After 20 in a row the workers pause, and go on when the server is back."""
    fill(world.market.stores[101], returns=60)
    world.sandbox.faults.add(actions.status(503, body=HTML), kind="photo", nth=20, times=30)
    report = world.sync()
    assert report.exit_code in {ExitCode.COMPLETE, ExitCode.FAILED}
    assert counts_of(report)["failed"] <= 8
    assert world.sync().exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right()


@pytest.mark.parametrize(("kind", "nth"), [("campaigns", 1), ("returns", 1), ("returns", 2), ("photo", 5)])
def test_401_stops_the_run(make_world: MakeWorld, kind: str, nth: int) -> None:
    """At once, in all stores, whenever it comes; exit 4; the next run completes."""
    world = make_world(stores=2, latency=0.02)
    for store in world.market.stores.values():
        fill(store, returns=120)
    world.sandbox.faults.add(actions.status(401), kind=kind, nth=nth, times=ALWAYS)
    try:
        code = world.sync().exit_code
    except MarketPhotosError as error:
        code = error.exit_code
    assert code is ExitCode.KEY
    assert world.log.count("photo") <= 12
    world.sandbox.faults.clear()
    assert world.sync().exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right(in_flight=6)


@pytest.mark.parametrize(
    ("action", "code", "word"),
    [
        (actions.status(403, "API is disabled"), ExitCode.KEY, "API is disabled"),
        (actions.status(423, "in migration"), ExitCode.SERVER, "migrated"),
    ],
)
@pytest.mark.parametrize("kind", ["returns", "photo"])
def test_a_closed_store_does_not_stop_the_others(
    make_world: MakeWorld, action: Action, code: ExitCode, word: str, kind: str
) -> None:
    """The two others complete; the report says which and why."""
    world = make_world(stores=3)
    for store in world.market.stores.values():
        fill(store, returns=3)
    world.sandbox.faults.add(action, kind=kind, campaign=102, times=ALWAYS)
    report = world.sync()
    assert [store.exit_code for store in report.stores] == [ExitCode.COMPLETE, code, ExitCode.COMPLETE]
    assert report.exit_code is code
    assert "Store 102" in (text := "\n".join(full_report(report)))
    assert word in text
    assert world.log.count(kind, 102) <= 5
    world.sandbox.faults.clear()
    assert world.sync().exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right(in_flight=3)


def test_a_missing_scope_stops_the_run(make_world: MakeWorld) -> None:
    world = make_world(stores=2)
    world.market.scopes = ["PRICING"]
    with pytest.raises(KeyRefused, match="scope"):
        world.sync()
    assert len(world.log) == 1


# -- redirects


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_followed_without_the_key(world: World, code: int) -> None:
    """To another port of the same host: the photo arrives, and the key is not sent."""
    (photo,) = fill(world.market.stores[101], returns=1)
    with running(Market()) as stranger:
        world.sandbox.faults.add(actions.redirect(f"{stranger.url}/cdn/1.jpg", code), kind="photo")
        stranger.faults.add(actions.status(200, body=photo.body, content_type="image/jpeg"), kind="other")
        assert world.sync().exit_code is ExitCode.COMPLETE
        assert [entry.kind for entry in stranger.log] == ["other"]
        assert "api-key" not in stranger.log[0].headers
    assert world.states() == {"archived": 1}


def test_a_redirect_with_a_page_costs_no_slot(world: World) -> None:
    """The body of a redirect is read to its end: a slot that cools down each time would make every photo crawl."""
    photos = fill(world.market.stores[101], returns=12)
    say = "Moved, see over there. " * 50

    def moved(call: Any, reply: Any) -> Any:
        if "again" in call.request.query:
            return reply
        return replace(reply, status=302, headers={"Location": call.request.target + "?again=1"}, body=say.encode())

    world.sandbox.faults.add(moved, kind="photo", times=ALWAYS)
    report = world.sync()
    assert (report.exit_code, report.seconds < 8) == (ExitCode.COMPLETE, True)
    assert world.log.count("photo") == 2 * len(photos)
    assert all(entry.headers.get("api-key") for entry in world.log.of("photo")), "the configured host gets the key"
    world.assert_archive_is_right(in_flight=12)


# -- the two limits


@pytest.mark.parametrize("reserve", [0, 2])
def test_slots_are_never_above_the_setting(make_world: MakeWorld, reserve: int) -> None:
    """Listing and photos together; and the server refuses none."""
    world = make_world({"limits": {"parallel_requests": 2}}, latency=0.01)
    fill(world.market.stores[101], returns=220)
    assert world.sync(max_photos=30).exit_code is ExitCode.LIMIT
    assert world.log.worst_parallel() == 2
    assert not world.log.of(status=420)


def test_a_store_with_fewer_slots_is_adapted_to(make_world: MakeWorld) -> None:
    """The run completes without a failure."""
    world = make_world({"limits": {"parallel_requests": 4}}, latency=0.01, limits=ServerLimits(parallel=2))
    fill(world.market.stores[101], returns=40)
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert 0 < world.log.count(status=420) <= 12
    world.assert_archive_is_right()


@pytest.mark.slow
@pytest.mark.slow
def test_a_tight_quota_is_kept_and_used(make_world: MakeWorld) -> None:
    """At most 20 requests in any 2 s, no refusal, and no slower than that."""
    settings = {"limits": {"photo_requests": 20, "period_seconds": 2}}
    world = make_world(settings, limits=ServerLimits(photos=FixedWindow(20, 2.0)), latency=0.02)
    fill(world.market.stores[101], returns=70)
    report = world.sync()
    assert report.exit_code is ExitCode.COMPLETE
    assert world.log.worst_window("photo", 2.0) <= 20
    # 70 photos at 20 in 2 s: not before the fourth lot, 6 s; an Until may cost a part of a window
    assert 6 <= report.seconds < 6 + 5
    world.assert_archive_is_right()


def test_another_user_of_the_quota_is_left_room(make_world: MakeWorld) -> None:
    """`Remaining` falls faster than our own use: the run stops before the server must refuse."""
    world = make_world(limits=ServerLimits(photos=FixedWindow(40, 3.0)))
    fill(world.market.stores[101], returns=60)
    told = "X-RateLimit-Resource-Remaining"

    def falls(call: Any, reply: Any) -> Any:
        left = max(0, 2 * int(reply.headers.get(told, 0)) - 40)
        return replace(reply, headers=reply.headers | {told: str(left)})

    world.sandbox.faults.add(falls, kind="photo", times=ALWAYS)
    report = world.sync()
    assert report.exit_code is ExitCode.COMPLETE
    assert not world.log.of("photo", status=420)
    # 20 in each window are ours, and the three in flight when the other took the last; two windows meet in any 3 s
    assert world.log.worst_window("photo", 3.0) <= 2 * (20 + 3)
    assert report.seconds > 3
    world.assert_archive_is_right()


def test_a_quota_420_is_waited_out(world: World) -> None:
    """The run waits until the date of the answer, requests nothing before it, and uses up no attempt."""
    fill(world.market.stores[101], returns=8)
    world.sandbox.faults.add(actions.quota_420(2.5), kind="photo", nth=3)
    report = world.sync()
    assert report.exit_code is ExitCode.COMPLETE
    refused = next(entry for entry in world.log.of(status=420))
    after = [e.arrived - refused.arrived for e in world.log.of("photo") if e.arrived > refused.arrived + 0.5]
    assert min(after) > 1.4, "Until is cut to whole seconds"
    world.assert_archive_is_right()


# -- listing


def test_empty_lists_mean_none(world: World) -> None:
    """The official description forbids `images: []` and `decisions: []`; they are read as null all the same."""
    store = world.market.stores[101]
    fill(store, returns=3)
    store.add_return()
    store.add_return(decisions=None)
    world.sandbox.faults.add(actions.empty_lists(), kind="returns", times=ALWAYS)
    report = world.sync()
    assert (report.exit_code, counts_of(report)["downloaded"]) == (ExitCode.COMPLETE, 3)


def test_odd_pages_lose_and_repeat_nothing(world: World) -> None:
    """No paging, an empty page with a token, the same return on two pages, all at once."""
    fill(world.market.stores[101], returns=250)
    world.sandbox.faults.add(actions.empty_page(), kind="returns", nth=2)
    world.sandbox.faults.add(actions.shift_page(-30), kind="returns", nth=3)
    report = world.sync()
    assert (report.exit_code, counts_of(report)["downloaded"]) == (ExitCode.COMPLETE, 250)
    world.assert_archive_is_right()


def test_a_repeated_token_ends_the_listing_with_an_error(world: World) -> None:
    """The listed photos are fetched, and the watermark stays."""
    fill(world.market.stores[101], returns=250)
    world.sandbox.faults.add(actions.repeated_token(), kind="returns", times=ALWAYS)
    report = world.sync()
    assert (report.exit_code, report.stores[0].watermark) == (ExitCode.SERVER, None)
    assert world.log.count("returns") <= 5
    assert world.states() == {"archived": counts_of(report)["downloaded"]}
    world.assert_archive_is_right()


def test_an_endless_listing_is_bounded(world: World) -> None:
    """The server repeats the first page with new tokens: the listing ends with exit 8; its photos are archived."""
    fill(world.market.stores[101], returns=3)
    world.sandbox.faults.add(actions.ever_new_tokens(), kind="returns", times=ALWAYS)
    report = world.sync()
    assert (report.exit_code, report.stores[0].watermark) == (ExitCode.SERVER, None)
    assert "nothing new" in str(report.stores[0].error)
    assert world.states() == {"archived": 3}
    world.sandbox.faults.clear()
    assert world.sync().exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right()


def test_a_refused_token_restarts_the_listing(world: World) -> None:
    """After a bad page token the listing starts again, a few times; no photo is requested twice."""
    fill(world.market.stores[101], returns=250)
    world.sandbox.faults.add(actions.status(400, "Bad page token"), kind="returns", nth=3)
    report = world.sync()
    assert (report.exit_code, counts_of(report)["downloaded"]) == (ExitCode.COMPLETE, 250)
    world.sandbox.faults.add(actions.status(400, "Bad page token"), kind="returns", nth=2, times=ALWAYS)
    world.log.clear()
    assert world.sync(full=True).exit_code is ExitCode.SERVER
    assert world.log.count("returns") <= 12
    world.assert_archive_is_right()


@pytest.mark.parametrize("known", [0, 100])
def test_pages_that_shift_are_listed_again(world: World, known: int) -> None:
    """A return that moves between pages while they are read makes another one slip through: listed again."""
    world.market.listing_order = "updated"
    store, now = world.market.stores[101], world.market.now
    backs = [store.add_return(photos=1, updated=now - dt.timedelta(minutes=300 - n)) for n in range(known)]
    if known:
        world.sync()
    backs += [store.add_return(photos=1, updated=now - dt.timedelta(minutes=200 - n)) for n in range(150 - known)]

    def touch() -> None:
        backs[0].updated = now + dt.timedelta(minutes=1)

    world.sandbox.faults.add(actions.meanwhile(touch), kind="returns")
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert world.states() == {"archived": 150}
    world.assert_archive_is_right()


def test_a_move_of_known_returns_is_reason_to_list_again(world: World) -> None:
    """Even where the first reading brought nothing new, a move is reason to read again."""
    world.market.listing_order = "updated"
    store, now = world.market.stores[101], world.market.now
    backs = [store.add_return(photos=1, updated=now - dt.timedelta(minutes=300 - n)) for n in range(120)]
    world.sync()
    # it stands first on the second page, and slips to the end of the first as that has been read
    new = store.add_return(photos=1, updated=backs[99].updated + dt.timedelta(seconds=1))

    def touch() -> None:
        backs[0].updated = now + dt.timedelta(minutes=1)

    world.sandbox.faults.add(actions.meanwhile(touch), kind="returns")
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert store.photos(new)[0].image_hash in {entry.image_hash for entry in world.log.of("photo")}


ODD_HASHES = [
    "a/b",
    "a+b=",
    "%2e",
    "%2e%2e",
    "..",
    ".",
    "../../../etc/passwd",
    "a b",
    "ж🦊",
    "x" * 300,
    "CaseMatters",
    "casematters",
    "CASEMATTERS",
    "a?b#c&d;e",
    "a\\b",
    "a\nb",
    "a%00b",
    "con",
    "-rf",
    "~",
    "%",
    "a//b",
    "/",
    "return",
    "1.part",
]


def test_odd_hashes_are_requested_and_stored_safely(world: World) -> None:
    """Each under its own URL and a safe name inside the archive."""
    world.market.stores[101].add_return(images=ODD_HASHES)
    report = world.sync()
    assert (report.exit_code, world.states()) == (ExitCode.COMPLETE, {"archived": len(ODD_HASHES)})
    paths = {str(world.path_of(101, row)).lower() for row in world.photo_rows(101)}
    assert len(paths) == len(ODD_HASHES)
    assert sorted(entry.image_hash for entry in world.log.of("photo")) == sorted(ODD_HASHES)
    world.assert_archive_is_right()
    world.log.clear()
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert world.log.count("photo") == 0


def test_odd_records_are_read(world: World) -> None:
    """Nulls, absences, unknown values and fields, and a photo that is named twice."""
    store = world.market.stores[101]
    market = world.market
    twice = market.image_hash()
    store.add_return(decisions=None)
    store.add_return(images=None)
    store.add_return(items=[])
    store.add_return(images=[twice, twice], refundStatus="SOMETHING_NEW", returnType="NEWER", extra={"a": [None]})
    store.add_return(photos=1, refundStatus=None, shipmentStatus=None, amount=None)
    store.add_return(
        items=[market.item(None), market.item([None]), market.item([market.decision([market.image_hash()])])]
    )
    world.sandbox.faults.add(actions.drop_paging(), kind="returns")
    report = world.sync()
    assert (report.exit_code, counts_of(report)["downloaded"]) == (ExitCode.COMPLETE, 3)
    world.assert_archive_is_right()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda page, call: page.pop("returns"), id="no list"),
        pytest.param(lambda page, call: page.update(returns=None), id="null"),
        pytest.param(lambda page, call: page.update(paging={"nextPageToken": 7}), id="a token that is a number"),
    ],
)
def test_a_malformed_page_is_requested_again(world: World, spoil: Callable[[Any, Any], Any]) -> None:
    """It never counts as an empty page."""
    fill(world.market.stores[101], returns=3)
    world.sandbox.faults.add(actions.edit(spoil), kind="returns")
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert (world.log.count("returns"), world.states()) == (2, {"archived": 3})


@pytest.mark.parametrize(
    "action", [actions.html(), actions.error_with_200(), actions.cut(50), actions.nothing(), actions.status(502)]
)
@pytest.mark.parametrize("kind", ["campaigns", "returns"])
def test_a_listing_that_fails_once_is_repeated(world: World, action: Action, kind: str) -> None:
    fill(world.market.stores[101], returns=3)
    world.sandbox.faults.add(action, kind=kind)
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert world.log.count(kind) == 2
    world.assert_archive_is_right()


def test_an_unreadable_return_is_named_and_the_run_is_not_complete(world: World) -> None:
    store = world.market.stores[101]
    fill(store, returns=3)
    store.add_return(photos=1, orderId="not a number")
    report = world.sync()
    assert (report.exit_code, world.states()) == (ExitCode.FAILED, {"archived": 3})
    assert "cannot be read" in "\n".join(full_report(report))
    assert report.stores[0].watermark is None
