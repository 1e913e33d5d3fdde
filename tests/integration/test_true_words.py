"""What is said of a run is true: by the command, `status`, its JSON and --max-age, compared with the archive."""

import json
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from market_photos.cli.main import cli
from market_photos.sandbox import ALWAYS, Market, actions, running
from tests.integration.conftest import MakeWorld
from tests.integration.harness import World, fill, wait_until


def test_demo_takes_no_setting_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the real key and address nor the real archive, nor the monitor of the nightly run."""
    market = Market(seed=2)
    market.add_store()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["market-photos", "demo"])
    with running(market) as real:
        for name, value in {
            "API_KEY": real.market.key,
            "API_BASE_URL": real.url,
            "ARCHIVE_DIRECTORY": str(tmp_path / "real"),
            "CAMPAIGNS_IDS": "999",
            "REPORT_ON_FINISH": "touch told",
            "LIMITS_PARALLEL_REQUESTS": "17",
            "CONFIG": "/no/such/file",
        }.items():
            monkeypatch.setenv(f"MARKET_PHOTOS_{name}", value)
        done = CliRunner().invoke(cli, ["demo"])
        assert (done.exit_code, len(real.log)) == (0, 0), done.output
    assert [path.name for path in tmp_path.iterdir()] == ["demo-archive"]
    assert len(list((tmp_path / "demo-archive").glob("*/photos/*/*/*.*g"))) == 120
    assert "None" not in done.output


def test_a_dry_run_is_told_as_one(world: World) -> None:
    fill(world.market.stores[101], returns=6)
    said = world.command("sync", "--dry-run")
    assert "6 photos would be fetched" in said.stderr
    assert "the quota allows at once" in said.stderr
    shown = world.command("status")
    assert shown.stdout.count("a dry run: 6 photos would be fetched") == 2  # of the store, and of the archive
    assert "every known photo" not in shown.stdout
    (store,) = world.command("status", "--json").json["stores"]
    assert (store["last_run"]["outcome"], store["last_complete_sync"]) == ("dry run", None)


@pytest.mark.parametrize(
    ("status", "code", "words"), [(401, 4, "the key is refused"), (404, 8, "could not be reached")]
)
def test_a_run_that_reaches_no_store_leaves_a_trace(world: World, status: int, code: int, words: str) -> None:
    """Status, its JSON and --max-age tell of it, with the reason, although the store's catalogue cannot."""
    fill(world.market.stores[101], returns=2)
    assert world.command("sync").code == 0
    world.sandbox.faults.add(actions.status(status, message="no"), kind="campaigns", times=ALWAYS)
    assert world.command("sync").code == code
    last = world.command("status").stdout.splitlines()[-1]
    assert last.startswith("Last run: `sync` at ")
    assert words in last
    assert f"(exit {code})" in last
    told = world.command("status", "--json").json
    assert (told["last_run"]["exit_code"], told["last_run"]["summary"]["stores"]) == (code, 0)
    assert told["stores"][0]["last_run"]["exit_code"] == 0
    assert world.command("status", "--max-age", "1h").code == 0
    overdue = world.command("status", "--max-age", "0.001s")
    assert overdue.code == 1
    assert words in overdue.stderr


def test_the_first_run_of_an_archive_leaves_a_trace(world: World) -> None:
    world.sandbox.faults.add(actions.status(401), kind="campaigns", times=ALWAYS)
    assert world.command("sync").code == 4
    said = world.command("status")
    assert said.stdout.splitlines()[0] == f"{world.archive}: no store yet"
    assert "the key is refused (exit 4)" in said.stdout
    assert "the key is refused (exit 4)" in world.command("status", "--max-age", "1d").stderr


def test_a_killed_run_was_cut_short(make_world: MakeWorld) -> None:
    """The lock is free, so it is no longer at work; a run that holds it is."""
    world = make_world(latency=0.05)
    fill(world.market.stores[101], returns=40)
    world.archive.mkdir()
    process = world.start("sync")
    wait_until(lambda: world.log.count("photo") >= 3, process)
    at_work = world.command("status").stdout
    process.send_signal(signal.SIGKILL)
    world.end_of(process)
    killed = world.command("status").stdout
    assert at_work.count("at work now") == 2
    assert killed.count("cut short") == 2
    assert "at work" not in killed


@pytest.mark.parametrize("how", ["option", "configuration"])
def test_a_mistyped_store_is_refused_and_makes_no_folder(world: World, how: str) -> None:
    """Exit 4 with the stores that the key sees; status and its --max-age know nothing of it afterwards."""
    world.market.add_store(102)
    fill(world.market.stores[101], returns=1)
    if how == "configuration":
        world.settings["campaigns"] = {"ids": [101, 999]}
    done = world.command("sync", "--json", *(["--campaign", "101", "--campaign", "999"] if how == "option" else []))
    assert done.code == 4
    assert "no such store for this key; it sees: 101 Магазин 101, 102 Магазин 102" in done.stderr
    assert {store["campaign"]: store["exit_code"] for store in done.json["stores"]} == {101: 0, 999: 4}
    assert [path.name for path in sorted(world.archive.iterdir()) if path.name.isdecimal()] == ["101"]
    world.settings.pop("campaigns", None)
    assert world.command("status", "--max-age", "1h").code == 0
    assert world.command("status", "--campaign", "999").code == 2


@pytest.mark.parametrize(("status", "code"), [(403, 4), (404, 4)])
def test_a_store_that_the_api_no_longer_knows_is_no_server_that_is_down(world: World, status: int, code: int) -> None:
    fill(world.market.stores[101], returns=1)
    assert world.command("sync").code == 0
    world.sandbox.faults.add(actions.status(status, message="no"), kind="returns", times=ALWAYS)
    done = world.command("sync", "--campaign", "101")
    assert done.code == code, done.stderr
    assert "server" not in done.stderr.splitlines()[-1]


def test_an_unknown_store_is_not_begun_while_the_list_of_stores_fails(world: World) -> None:
    """One of the archive is: its number was right once."""
    fill(world.market.stores[101], returns=1)
    assert world.command("sync").code == 0
    world.sandbox.faults.add(actions.status(400, message="no"), kind="campaigns", times=ALWAYS)
    done = world.command("sync", "--json", "--campaign", "101", "--campaign", "102")
    assert {store["campaign"]: store["exit_code"] for store in done.json["stores"]} == {101: 0, 102: 8}
    assert not (world.archive / "102").exists()


def test_a_wrong_address_is_told_with_what_to_check(world: World) -> None:
    """A path that the API does not have, and a port on which nothing listens: once in sync and once in doctor."""
    fill(world.market.stores[101], returns=1)
    for address, words in [(f"{world.sandbox.url}/v9", "HTTP 404"), ("http://127.0.0.1:9", "cannot connect")]:
        world.settings["api"] = {"base_url": address}
        sync, doctor = world.command("sync"), world.command("doctor")
        assert (sync.code, doctor.code) == (8, 8)
        for said in (sync.stderr, doctor.stdout):
            assert said.count(words) == 1
            assert said.count("base_url in [api]") == 1


def test_a_planned_stop_is_no_error_in_the_logs(world: World) -> None:
    fill(world.market.stores[101], returns=5)
    done = world.command("sync", "--max-photos", "1", "--log-format", "json")
    assert done.code == 7
    assert {json.loads(line)["level"] for line in done.stderr.splitlines()} == {"info"}
    assert "photos pending (exit 7)" in done.stderr


def test_what_is_said_of_a_run_is_what_the_server_has_seen(world: World) -> None:
    """Counts, requests and the quota that is left, in the report, in status and on disk."""
    fill(world.market.stores[101], returns=9)
    world.sandbox.faults.add(actions.status(503), kind="photo", nth=2)
    done = world.command("sync", "--json")
    sent = world.log.count("photo")
    assert sent == 10
    assert done.json["requests"] == len(world.log)
    assert done.json["downloaded"] == len(world.files()) == 9
    (store,) = world.command("status", "--json").json["stores"]
    assert (store["archived"], store["pending"], store["quota_left"]) == (9, 0, 5000 - sent)
    assert store["bytes"] == sum(path.stat().st_size for path in world.files())
