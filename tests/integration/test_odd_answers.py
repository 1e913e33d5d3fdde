"""An odd answer costs at most its own photo, but never another photo, the run, or the next night."""

import gzip
import socket
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import brotli
import pytest

from market_photos.errors import ExitCode
from market_photos.market import body, client
from market_photos.market.requests import MAX_PHOTO_BYTES
from market_photos.sandbox import ALWAYS, Market, actions, running
from market_photos.sandbox.api import Call
from market_photos.sandbox.faults import Action
from market_photos.sandbox.wire import Reply
from market_photos.sync import refused_photos
from market_photos.sync.outcomes import Outcomes
from tests.integration.conftest import MakeWorld
from tests.integration.harness import World, counts_of, fill

CP1251 = "фото".encode("cp1251")


@pytest.fixture(autouse=True)
def impatient(quick: None, short_cool_down: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten deadlines to tenths of a second; the rules stay as they are."""
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(body, "MIN_RATE_SECONDS", 0.3)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world({"api": {"read_timeout_seconds": 1}})


def head(*lines: bytes, status: bytes = b"HTTP/1.1 200 OK", length: bool = True) -> Action:
    """Serve the photo after this status line and these headers."""

    def act(call: Call, reply: Reply) -> Reply:
        told = [b"Content-Length: %d" % len(reply.body)] * length
        return replace(reply, raw=b"\r\n".join([status, *lines, *told, b"", b""]))

    return act


def to(location: bytes) -> Action:
    return actions.raw(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n")


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


GZIP_BOMB = gzip.compress(bytes(MAX_PHOTO_BYTES + 1))
BR_BOMB = brotli.compress(bytes(MAX_PHOTO_BYTES + 1), quality=1)
JPEG = b"Content-Type: image/jpeg"
ARCHIVED = [
    pytest.param(head(JPEG + b'; name="' + CP1251 + b'"'), id="type with cp1251"),
    pytest.param(head(b"Content-Type: " + CP1251), id="type in cp1251"),
    pytest.param(head(JPEG, b"Date: " + CP1251, b"X-RateLimit-Resource-Until: " + CP1251), id="dates in cp1251"),
    pytest.param(head(JPEG, b"X-RateLimit-Resource-Remaining: " + b"9" * 5000), id="5 000 digits remain"),
    pytest.param(head(JPEG, status=b"HTTP/1.1 200"), id="no reason"),
    pytest.param(head(JPEG, status=b"HTTP/1.1 200 " + CP1251), id="reason in cp1251"),
    pytest.param(head(JPEG, b"Content-Range: bytes 0-9/10"), id="200 with a range"),
    pytest.param(head(JPEG, status=b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + b"HTTP/1.1 200 OK"), id="1 000 x 100"),
    pytest.param(head(JPEG, b"Set-Cookie: =;;" + CP1251, b"Set-Cookie: a=b; Max-Age=" + CP1251), id="cookies"),
    pytest.param(actions.encoded("gzip", gzip.compress), id="gzip"),
    pytest.param(actions.encoded("x-gzip, identity", gzip.compress), id="x-gzip, identity"),
    pytest.param(actions.encoded("deflate", zlib.compress), id="deflate"),
    pytest.param(actions.encoded("deflate", deflated), id="bare deflate"),
    pytest.param(actions.encoded("br", brotli.compress), id="br"),
    pytest.param(actions.content_encoding("gzip"), id="said to be gzip"),
]
CHUNKED = b"HTTP/1.1 %b\r\nTransfer-Encoding: chunked\r\n\r\n%b"
NOT_FOLLOWED = [
    b"http://host:99999999/",
    b"https://a..b/",
    b"https://" + b"a" * 70 + b".ru/",
    b"https://" + CP1251 + b".ru/",
    b"https://%31/",
    b"https:///",
    b"//[broken",
    b"file:///etc/passwd",
    b"data:image/jpeg;base64,AAAA",
    b"ftp://127.0.0.1/",
    b"javascript:1",
    b"http://localhost:9/",
    b"",
    # private addresses, however they are written; the API itself is at 127.0.0.1
    b"https://127.0.0.2/",
    b"https://10.0.0.1/",
    b"https://169.254.169.254/latest/meta-data",
    b"https://[::1]/",
    b"https://[::ffff:10.0.0.1]/",
    b"https://0/",
]
FAILED = [
    pytest.param(head(JPEG, b"X-" + CP1251 + b": 1"), id="header name in cp1251"),
    pytest.param(head(JPEG, b"X: a\0b"), id="NUL in a header"),
    pytest.param(head(JPEG, b"X: " + b"x" * 9000), id="a header of 9 KB"),
    pytest.param(head(JPEG, *[b"X: x"] * 500), id="500 headers"),
    pytest.param(head(JPEG, b"Content-Length: 7"), id="two lengths"),
    pytest.param(head(JPEG, b"Content-Length: -1", length=False), id="length below zero"),
    pytest.param(head(JPEG, b"Content-Length: " + b"9" * 400, length=False), id="length of 400 digits"),
    pytest.param(head(JPEG, status=b"HTTP/1.1 999 x"), id="999"),
    pytest.param(head(JPEG, status=b"HTTP/1.1 -1 x"), id="-1"),
    pytest.param(head(JPEG, status=b"HTTP/1.1 101 Switching Protocols", length=False), id="101"),
    pytest.param(head(JPEG, b"Upgrade: x", b"Connection: upgrade", status=b"HTTP/1.1 101 x"), id="upgrade"),
    pytest.param(head(JPEG, status=b"HTTP/1.1 204 No Content"), id="204"),
    pytest.param(head(JPEG, status=b"HTTP/1.1 206 Partial"), id="206"),
    pytest.param(head(JPEG, status=b"HTTP/1.1 304 Not Modified"), id="304"),
    pytest.param(head(JPEG, status=b"HTTP/1.1 400 " + CP1251), id="400 in cp1251"),
    pytest.param(head(b"traceparent: " + CP1251, status=b"HTTP/1.1 500 x"), id="500 traced in cp1251"),
    pytest.param(actions.status(403, "API is disabled"), id="403"),
    pytest.param(actions.status(403, "no scope"), id="403, no scope"),
    pytest.param(actions.status(423, "in migration"), id="423"),
    pytest.param(head(JPEG, b"Transfer-Encoding: nonsense", length=False), id="nonsense transfer coding"),
    pytest.param(head(JPEG, b"Transfer-Encoding: chunked", length=False), id="said to be chunked"),
    pytest.param(actions.content_encoding("br, zstd"), id="two codings"),
    pytest.param(actions.content_encoding(CP1251.decode("latin-1")), id="coding in cp1251"),
    pytest.param(actions.content_encoding("br"), id="said to be br"),
    pytest.param(actions.content_encoding("deflate"), id="said to be deflate"),
    pytest.param(actions.encoded("gzip", lambda photo: gzip.compress(photo)[:-9]), id="cut gzip"),
    pytest.param(actions.encoded("gzip", lambda photo: gzip.compress(photo) + b"more"), id="gzip and more"),
    pytest.param(actions.encoded("deflate", lambda photo: zlib.compress(photo)[:-5]), id="cut deflate"),
    pytest.param(actions.encoded("br", lambda photo: brotli.compress(photo)[:-2]), id="cut br"),
    pytest.param(actions.encoded("gzip", lambda _: GZIP_BOMB), id="gzip bomb"),
    pytest.param(actions.encoded("br", lambda _: BR_BOMB), id="br bomb"),
    pytest.param(
        actions.endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.001), id="103 for ever", marks=pytest.mark.slow
    ),
    pytest.param(
        actions.endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.05), id="100 now and then", marks=pytest.mark.slow
    ),
    pytest.param(
        actions.endless(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.05), id="a drip of headers", marks=pytest.mark.slow
    ),
    pytest.param(
        actions.endless(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n", 0.05), id="headers now and then", marks=pytest.mark.slow
    ),
    *[
        pytest.param(actions.endless(CHUNKED % (status, start), piece, 0.05), id=f"{status[:3].decode()}, {name}")
        for status in (b"200 OK", b"503 x", b"302 Found\r\nLocation: ftp://elsewhere")
        for start, piece, name in (
            (b"5;", b"x", "an endless chunk extension"),
            (b"5\r\nhello\r\n0\r\n", b"X: x\r\n", "endless trailers"),
            (b"", b"1\r\nx\r\n", "a drip of chunks"),
        )
    ],
    *[pytest.param(to(location), id=f"to {ascii(location)[:40]}") for location in NOT_FOLLOWED],
    pytest.param(actions.redirect(), id="to itself"),
]


@pytest.mark.parametrize("action", ARCHIVED)
def test_an_odd_answer_with_the_photo_archives_it(world: World, action: Action) -> None:
    """The photo is archived as it was before any coding, with one request, and its row is printable text."""
    photos = fill(world.market.stores[101], returns=3)
    world.sandbox.faults.add(action, image_hash=photos[1].image_hash, times=ALWAYS)
    assert world.sync().exit_code is ExitCode.COMPLETE
    assert world.log.count("photo") == 3
    world.assert_archive_is_right()
    assert all(row["content_type"].isprintable() for row in world.photo_rows(101))


@pytest.mark.parametrize("action", FAILED)
def test_an_odd_answer_without_the_photo_fails_it_alone(world: World, action: Action) -> None:
    """The photo is failed with a printable reason, not as an internal error; all others come in the first night."""
    photos = fill(world.market.stores[101], returns=4)
    world.sandbox.faults.add(action, image_hash=photos[3].image_hash, times=ALWAYS)
    for _ in range(2):
        report = world.sync()
        assert (report.exit_code, world.states()) == (ExitCode.FAILED, {"archived": 3, "failed": 1})
        (failure,) = report.stores[0].failures
        assert failure.reason.isprintable()
        assert "internal error" not in failure.reason
        counts_of(report)
    world.sandbox.faults.clear()
    assert world.sync().exit_code is ExitCode.COMPLETE


@pytest.mark.parametrize("status", [401, 403, 404, 410, 420, 423, 429, 500])
def test_another_hosts_answer_says_nothing_about_the_api(world: World, status: int) -> None:
    """After a redirect neither status nor headers say anything about key, store, photo or quota."""
    photos = fill(world.market.stores[101], returns=30)
    with running(Market()) as stranger:
        names = ("Remaining", "Limit"), ("0", "1")
        told = {f"X-RateLimit-Resource-{name}": value for name, value in zip(*names, strict=True)}
        until = {"X-RateLimit-Resource-Until": "Wed, 09 Sep 2099 15:18:00 GMT", "Retry-After": "600"}
        stranger.faults.add(actions.status(status, "Hit rate limit, no scope"), kind="other", times=ALWAYS)
        stranger.faults.add(actions.headers(told | until), kind="other", times=ALWAYS)
        action = actions.redirect(f"{stranger.url}/cdn/1.jpg")
        world.sandbox.faults.add(action, image_hash=photos[-1].image_hash, times=ALWAYS)
        report = world.sync()
        assert not any("api-key" in entry.headers for entry in stranger.log)
    assert (report.exit_code, world.states()) == (ExitCode.FAILED, {"archived": 29, "failed": 1})
    assert f"127.0.0.1 answers HTTP {status}" in report.stores[0].failures[0].reason
    assert report.seconds < 15


@pytest.mark.parametrize("addresses", [["127.0.0.2"], ["10.0.0.1", "192.168.0.1"], ["::1", "127.0.0.2"]])
def test_a_redirect_to_a_name_with_private_addresses_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    """The addresses are checked as the connection is opened, whatever the name is."""

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        assert host == "internal.example"
        kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        places = [(a, port, 0, 0) if ":" in a else (a, port) for a in addresses]
        return [(kind, socket.SOCK_STREAM, 6, "", place) for kind, place in zip(kinds, places, strict=True)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    photos = fill(world.market.stores[101], returns=2)
    action = actions.redirect("https://internal.example/x.jpg")
    world.sandbox.faults.add(action, image_hash=photos[0].image_hash, times=ALWAYS)
    report = world.sync()
    assert (report.exit_code, world.states()) == (ExitCode.FAILED, {"archived": 1, "failed": 1})
    assert "private address" in report.stores[0].failures[0].reason
    assert world.log.count("photo") == 2, "asking again would not help"


@pytest.mark.parametrize("action", [actions.parallel_420(), actions.quota_420(0.3), actions.quota_420(None)])
def test_a_photo_always_refused_by_a_limit_fails_alone(world: World, action: Action) -> None:
    """The limits let the others pass, so it is the photo: failed after a few waits, not after sixty."""
    photos = fill(world.market.stores[101], returns=60)
    world.sandbox.faults.add(action, image_hash=photos[-1].image_hash, times=ALWAYS)
    report = world.sync()
    assert (report.exit_code, world.states()) == (ExitCode.FAILED, {"archived": 59, "failed": 1})
    assert world.log.count("photo", status=420) <= 15
    world.log.clear()
    assert world.sync().exit_code is ExitCode.FAILED, "nor does it hold up the next night, when it is the only one"
    assert world.log.count("photo", status=420) <= 15


@pytest.mark.parametrize("status", [403, 423])
def test_many_refused_photos_close_the_store(world: World, status: int) -> None:
    """Refused photos stay pending and are downloaded when the store is open again."""
    fill(world.market.stores[101], returns=40)
    world.sandbox.faults.add(actions.status(status), kind="photo", times=ALWAYS)
    report = world.sync()
    assert report.exit_code is {403: ExitCode.KEY, 423: ExitCode.SERVER}[status]
    assert world.states() == {"pending": 40}
    assert refused_photos.MANY <= world.log.count("photo") <= refused_photos.MANY + 8
    world.sandbox.faults.clear()
    assert world.sync().exit_code is ExitCode.COMPLETE


def test_refused_photos_among_others_fail_alone(world: World) -> None:
    """This holds for any number while other photos arrive, and for a later night with only refused photos."""
    photos = fill(world.market.stores[101], returns=30)
    for photo in photos[::2]:
        world.sandbox.faults.add(actions.status(403), image_hash=photo.image_hash, times=ALWAYS)
    for _ in range(2):
        assert world.sync().exit_code is ExitCode.FAILED
        assert world.states() == {"archived": 15, "failed": 15}


def test_a_photo_with_401_stops_the_run(world: World) -> None:
    """The configured origin refuses the key: it has been revoked."""
    photos = fill(world.market.stores[101], returns=30)
    world.sandbox.faults.add(actions.status(401), image_hash=photos[-1].image_hash, times=ALWAYS)
    assert world.sync().exit_code is ExitCode.KEY
    assert world.states()["pending"] > 0


def test_an_internal_error_fails_one_photo(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is raised outside the foreseen: a traceback in the log, all other photos, exit 1; tried again."""
    photos = fill(world.market.stores[101], returns=5)
    store_photo: Callable[..., Any] = Outcomes.store_photo

    async def fails(self: Outcomes, claim: Any, *arguments: Any) -> Any:
        if claim.key.image_hash == photos[4].image_hash:
            raise ZeroDivisionError("on purpose")
        return await store_photo(self, claim, *arguments)

    with monkeypatch.context() as broken:
        broken.setattr(Outcomes, "store_photo", fails)
        for _ in range(2):
            report = world.sync()
            assert (report.exit_code, world.states()) == (ExitCode.INTERNAL, {"archived": 4, "failed": 1})
            assert report.stores[0].failures[0].reason == "internal error: ZeroDivisionError: on purpose"
            assert "Traceback" in caplog.text
            assert "in fails" in caplog.text
    assert world.sync().exit_code is ExitCode.COMPLETE
    world.assert_archive_is_right(in_flight=2)
