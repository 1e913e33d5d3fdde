"""Promises that need a process: exit codes, signals, kill -9, locks, closed pipes, and the key in no output."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from market_photos.archive import lock
from market_photos.clock import SystemClock
from market_photos.sandbox import ALWAYS, FixedWindow, ServerLimits, actions
from tests.integration.conftest import MakeWorld
from tests.integration.harness import World, assert_adds_up, fill, wait_until

#: Seconds in which a run ends after a signal.
END_S = 10.0


def test_a_night_of_commands_prints_and_exits_as_documented(make_world: MakeWorld) -> None:
    """sync --json, status, doctor and -q print to the right stream and exit with the right code."""
    world = make_world(stores=2)
    for store in world.market.stores.values():
        fill(store, returns=3, photos=2)
    world.market.add_store(201, placementType="LAAS")
    doctor = world.command("doctor")
    assert (doctor.code, len(world.log)) == (0, 2), doctor.stdout
    assert "201" in doctor.stdout
    first = world.program("sync", "--json")
    assert (first.code, first.json["downloaded"], first.json["exit_code"]) == (0, 12, 0)
    assert_adds_up(first.json)
    keys = "discovered downloaded already gone failed pending bytes requests seconds exit_code stores"
    assert set(keys.split()) <= first.json.keys()
    assert len(first.stdout.splitlines()) == 1
    assert "Complete in" in first.stderr
    again = world.program("sync", "-q")
    assert (again.code, again.stdout, again.stderr) == (0, "", "")
    told = world.command("status", "--json").json
    assert [(store["campaign"], store["archived"], store["pending"]) for store in told["stores"]] == [
        (101, 6, 0),
        (102, 6, 0),
    ]
    assert [store["quota_left"] for store in told["stores"]] == [4994, 4994]
    assert "6 archived" in world.command("status").stdout
    dry = world.command("sync", "--dry-run", "--json")
    assert (dry.code, dry.json["would_fetch"], "dry run" in dry.stderr) == (0, 0, True)
    back = next(iter(world.market.stores[101].returns.values()))
    fetched = world.command("fetch", "--campaign", "101", "--order", str(back.order), "--return", str(back.id))
    assert fetched.code == 0
    assert world.command("backfill", "--from", "2026-01-01", "-q").code == 0
    assert world.command("sync", "--full", "-q").code == 0
    world.assert_archive_is_right()
    assert_the_key_is_nowhere(world)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("sync", "--max-duration", "tomorrow"), "duration"),
        (("sync", "--max-photos", "-1"), "max-photos"),
        (("backfill", "--from", "2026-05-01", "--to", "2026-04-01"), "--from 2026-05-01 is after --to 2026-04-01"),
        (("backfill", "--from", "yesterday"), "yesterday"),
        (("fetch", "--campaign", "101"), "--order"),
    ],
)
def test_wrong_usage_exits_2_without_a_request(world: World, arguments: tuple[str, ...], word: str) -> None:
    done = world.program(*arguments)
    assert (done.code, word in done.stderr, len(world.log)) == (2, True, 0), done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_key_exits_2_and_a_refused_key_4(world: World) -> None:
    none = world.program("sync", env={"MARKET_PHOTOS_API_KEY": ""})
    assert (none.code, len(world.log)) == (2, 0)
    wrong = world.program("sync", "--json", env={"MARKET_PHOTOS_API_KEY": "ACMA:wrong:1"})
    assert (wrong.code, wrong.json["exit_code"], "refuses the key" in wrong.stderr) == (4, 4, True)
    assert "ACMA:wrong:1" not in wrong.stdout + wrong.stderr
    assert world.program("doctor", env={"MARKET_PHOTOS_API_KEY": "ACMA:wrong:1"}).code == 4


def test_a_refused_connection_exits_8(world: World) -> None:
    world.settings["api"] = {"base_url": "http://127.0.0.1:9"}
    done = world.program("sync")
    assert (done.code, "127.0.0.1" in done.stderr, "Traceback" in done.stderr) == (8, True, False)


# -- signals


def assert_goes_on(world: World, in_flight: int = 3) -> None:
    """Assert that one more sync completes, and that only photos in flight are requested again."""
    for row in world.known():
        assert world.rows("PRAGMA integrity_check", row)[0][0] == "ok"
    world.sandbox.faults.clear()
    world.sandbox.latency = 0
    done = world.command("sync", "--json")
    assert done.code == 0, done.stderr
    assert_adds_up(done.json)
    world.assert_archive_is_right(in_flight=in_flight)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "by", "code"),
    [
        ("stores", signal.SIGINT, 130),
        ("listing", signal.SIGTERM, 143),
        ("fetching", signal.SIGINT, 130),
        ("fetching", signal.SIGTERM, 143),
        ("quota", signal.SIGTERM, 143),
        ("quota", signal.SIGINT, 130),
        ("pause", signal.SIGINT, 130),
        ("hang", signal.SIGTERM, 143),
    ],
)
def test_a_signal_in_any_phase_ends_the_run_in_order(make_world: MakeWorld, phase: str, by: int, code: int) -> None:
    """From every wait, the run exits 130 or 143 within 10 s; the archive is right and the next run completes."""
    world = make_world(latency=0.05)
    fill(world.market.stores[101], returns=150)
    faults, log = world.sandbox.faults, world.log
    at = lambda: log.count("photo") >= 7  # noqa: E731
    if phase == "stores":
        faults.add(actions.status(503), kind="campaigns", times=ALWAYS)
        at = lambda: log.count("campaigns") >= 2  # noqa: E731
    elif phase == "listing":
        faults.add(actions.delay(30), kind="returns", nth=2)
        at = lambda: log.count("returns") == 2  # noqa: E731
    elif phase == "quota":
        faults.add(actions.quota_420(3000), kind="photo", nth=6)
        at = lambda: log.count(status=420) == 1  # noqa: E731
    elif phase == "pause":
        faults.add(actions.status(503), kind="photo", nth=6, times=15)
    elif phase == "hang":
        world.settings["api"] = {"read_timeout_seconds": 600}
        faults.add(actions.hang(100), kind="photo", nth=6, times=3)
        at = lambda: log.count("photo") >= 8  # noqa: E731
    done, seconds = world.interrupted("sync", "--json", at=at, by=by)
    assert (done.code, seconds < END_S) == (code, True), (seconds, done.stderr)
    assert done.json["exit_code"] == code
    assert_adds_up(done.json)
    assert "Traceback" not in done.stderr
    # photos on their way could finish, except those that hung
    assert_goes_on(world, in_flight=0 if phase in {"fetching", "quota"} else 3)


def test_a_second_signal_ends_at_once(make_world: MakeWorld) -> None:
    world = make_world({"api": {"read_timeout_seconds": 600}})
    fill(world.market.stores[101], returns=5)
    world.sandbox.faults.add(actions.hang(100), kind="photo", times=ALWAYS)
    process = world.start("sync")
    wait_until(lambda: world.log.count("photo") >= 3, process)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "stopping" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    done = world.end_of(process)
    assert (done.code, time.monotonic() - sent < 3) == (130, True)
    world.assert_archive_is_right(at_work=True)


# -- kill -9


@pytest.mark.slow
def test_repeated_kills_tear_and_lose_nothing(make_world: MakeWorld) -> None:
    """Whenever the kill comes, no file is torn or lost, and only photos in flight are requested again."""
    world = make_world(latency=0.02)
    fill(world.market.stores[101], returns=130)
    for kill, after in enumerate((3, 30, 70)):
        process = world.start("backfill", "--from", "2026-01-01")
        wait_until(lambda n=after: world.log.count("photo") >= n, process)  # type: ignore[misc]
        process.kill()
        world.end_of(process)
        world.assert_archive_is_right(in_flight=4 * (kill + 1), at_work=True)
    assert_goes_on(world, in_flight=12)


@pytest.mark.slow
def test_the_quota_holds_over_kills(make_world: MakeWorld) -> None:
    settings = {"limits": {"photo_requests": 20, "period_seconds": 2}}
    world = make_world(settings, limits=ServerLimits(photos=FixedWindow(1000)), latency=0.02)
    fill(world.market.stores[101], returns=50)
    process = world.start("sync")
    wait_until(lambda: world.log.count("photo") >= 15, process)
    process.kill()
    world.end_of(process)
    started = time.monotonic()
    done = world.program("sync", "--json")
    assert done.code == 0, done.stderr
    assert world.log.worst_window("photo", 2.0) <= 20
    # some 35 photos are left: 4 s, and up to 10 s for the slots of the killed run
    assert time.monotonic() - started < 20
    world.assert_archive_is_right(in_flight=4)


# -- one run at a time


@pytest.mark.parametrize("ids", [[], [101]])
def test_the_second_run_leaves_before_any_request(make_world: MakeWorld, ids: list[int]) -> None:
    """It names the holder of the lock and exits 6."""
    world = make_world({"campaigns": {"ids": ids}} if ids else {}, latency=0.2)
    fill(world.market.stores[101], returns=400)
    process = world.start("sync")
    wait_until(lambda: world.log.count("returns", status=200) >= 4 and world.log.count("photo") >= 1, process)
    asked = world.log.count("campaigns") + world.log.count("returns")
    second = world.program("sync", "--json")
    assert (second.code, second.json["exit_code"]) == (6, 6)
    assert re.search(rf"another run is at work here: `sync.*`, process {process.pid} on .*, since 20", second.stderr)
    assert world.log.count("campaigns") + world.log.count("returns") == asked
    seen = world.program("status", "--json").json["stores"][0]
    assert str(process.pid) in seen["at_work"]
    process.terminate()
    assert world.end_of(process).code == 143
    assert world.program("status", "--json").json["stores"][0]["at_work"] is None
    world.assert_archive_is_right()


def test_one_of_eight_concurrent_runs_works(make_world: MakeWorld) -> None:
    world = make_world(stores=2, latency=0.3)
    for store in world.market.stores.values():
        fill(store, returns=60)
    done = [world.end_of(process) for process in [world.start("sync", "-q") for _ in range(8)]]
    assert sorted(one.code for one in done) == [0] + [6] * 7
    assert world.log.count("campaigns") == 1
    world.assert_archive_is_right()


def test_a_busy_store_is_named_and_the_free_one_completed(make_world: MakeWorld) -> None:
    world = make_world(stores=2)
    for store in world.market.stores.values():
        fill(store, returns=2)
    world.sync(max_photos=0)
    with lock.Lock(world.archive / "101" / "run.lock", "backfill", SystemClock()):
        done = world.program("sync", "--json")
    assert (done.code, [store["exit_code"] for store in done.json["stores"]]) == (6, [6, 0])
    assert world.states(102) == {"archived": 2}


# -- closed pipes


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_closed_pipes_stop_nothing(world: World, closed: str) -> None:
    fill(world.market.stores[101], returns=5)
    reader, writer = os.pipe()
    os.close(reader)
    streams: dict[str, Any] = {name: writer for name in ("stdout", "stderr") if closed in {name, "both"}}
    process = world.start("sync", "--json", "-vv", **streams)
    os.close(writer)
    assert world.end_of(process).code == 0
    world.assert_archive_is_right()


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-", "> /dev/full", "2> /dev/full", "&> /dev/full"])
def test_missing_streams_and_a_full_log_disk_stop_nothing(world: World, redirection: str) -> None:
    fill(world.market.stores[101], returns=2)
    command = f"exec {sys.executable} -m market_photos sync --json -v --config {world.config()} {redirection}"
    environment = os.environ | {"MARKET_PHOTOS_API_KEY": world.market.key}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    world.assert_archive_is_right()


# -- the key


def encodings(key: str) -> set[bytes]:
    return {text.encode() for text in (key, quote(key, safe=""), quote(key), json.dumps(key)[1:-1], repr(key)[1:-1])}


def assert_the_key_is_nowhere(world: World) -> None:
    """Assert that no encoding of the key is in the output or in a file of the archive."""
    texts = {"output": "".join(world.written).encode()}
    texts |= {str(path): path.read_bytes() for path in world.archive.rglob("*") if path.is_file()}
    for name, content in texts.items():
        for secret in encodings(world.market.key):
            assert secret not in content, f"the key stands in {name}"


def test_the_key_appears_in_no_output_and_no_file(make_world: MakeWorld) -> None:
    """This holds for the debug log of a run with many faults, and for a server that repeats the key."""
    world = make_world(stores=2)
    world.market.key = "ACMA:" + "k/+ =&".replace(" ", "~") * 6 + ":0a1b2c3d"
    key = world.market.key
    photos = fill(world.market.stores[101], returns=8)
    told = f"Api-Key {key} / {quote(key, safe='')} is not allowed"
    for photo, action in zip(
        photos,
        [
            actions.status(400, told),
            actions.status(500, told),
            actions.redirect(f"http://localhost:9/?key={quote(key, safe='')}"),
            actions.redirect(f"/x?key={quote(key, safe='')}"),
            actions.raw(f"HTTP/1.1 200 {key}\r\nX-{key}\r\n\r\n".encode()),
            actions.content_type(f"text/{key}"),
            actions.body(f"{{{key}}}".encode()),
        ],
        strict=False,
    ):
        world.sandbox.faults.add(action, image_hash=photo.image_hash, times=ALWAYS)
    world.sandbox.faults.add(actions.status(403, told), kind="returns", campaign=102, times=ALWAYS)
    done = world.program("sync", "--json", "-vv")
    assert done.code == 4
    assert len(done.stderr) > 1000
    world.program("status")
    world.program("doctor")
    assert_the_key_is_nowhere(world)


def test_urls_of_photos_are_shortened(world: World) -> None:
    (photo, *_) = fill(world.market.stores[101], returns=2)
    world.sandbox.faults.add(actions.raw(b"no http\r\n"), image_hash=photo.image_hash, times=ALWAYS)
    done = world.program("sync", "-vv")
    assert done.code == 3
    assert photo.image_hash not in done.stdout + done.stderr


# -- doctor


@pytest.mark.parametrize("problem", ["scope", "store", "unseen", "folder", "clock", "token down", "all down"])
def test_doctor_names_each_problem(world: World, problem: str, tmp_path: Path) -> None:
    """It gives the exit code and the next step, with at most three requests."""
    world.market.add_store(201, placementType="LAAS")
    expected = {
        "scope": (4, "read-only"),
        "store": (4, "LAAS"),
        "unseen": (4, "999"),
        "folder": (5, "archive"),
        "clock": (0, "ahead of"),
        "token down": (8, "store 101"),
        "all down": (8, "HTTP 503"),
    }[problem]
    if problem == "scope":
        world.market.scopes = ["PRICING"]
    elif problem in {"store", "unseen"}:
        world.settings["campaigns"] = {"ids": [201 if problem == "store" else 999]}
    elif problem == "folder":
        (tmp_path / "archive").write_text("in the way")
    elif problem == "clock":
        world.sandbox.faults.add(actions.headers({"Date": "Wed, 09 Sep 2020 15:18:00 GMT"}), times=ALWAYS)
    elif problem == "token down":
        world.sandbox.faults.add(actions.status(503), kind="token", times=ALWAYS)
    elif problem == "all down":
        world.sandbox.faults.add(actions.status(503), times=ALWAYS)
    done = world.command("doctor")
    assert (done.code, expected[1] in done.stdout) == (expected[0], True), done.stdout
    assert len(world.log) <= 3
    assert "Traceback" not in done.stderr


# -- status


@pytest.mark.slow
def test_status_disturbs_no_run(make_world: MakeWorld) -> None:
    """It shows the wait for quota; before the first run it says that there is no archive."""
    world = make_world({"limits": {"photo_requests": 5, "period_seconds": 2}}, latency=0.02)
    fill(world.market.stores[101], returns=15)
    assert "no archive yet" in world.command("status").stdout
    process = world.start("sync")
    wait_until(lambda: world.log.count("photo") >= 5, process)
    seen = world.command("status", "--json").json["stores"][0]
    assert (seen["discovered"], seen["archived"] + seen["pending"]) == (15, 15)
    assert seen["seconds_left"] > 0
    assert world.end_of(process).code == 0
    world.assert_archive_is_right()
