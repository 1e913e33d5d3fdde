"""A store of a bucket whose lease or checkpoint is damaged costs the commands on the other stores nothing."""

import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from tests.integration.buckets import Storage, store_of
from tests.integration.harness import wait_until
from tests.integration.test_bucket import BucketWorld, a_bucket_world

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("keys")]
#: The numbers of the stores; what is wrong is wrong with the one in the middle.
FIRST, WRONG, LAST = 101, 102, 103
DAMAGED = "is no lease"


@pytest.fixture
def world(storage: Storage, tmp_path: Path) -> Iterator[BucketWorld]:
    """Three stores in a bucket, one with a damaged lease, seen from a machine that has an empty scratch folder."""
    with a_bucket_world(storage, tmp_path, returns=1) as world:
        for number in (WRONG, LAST):
            world.market.add_store(number).add_return(photos=1, refundStatus="WAITING_FOR_DECISION")
        assert world.program("sync").code == 0
        obstore.put(store_of(storage, world.bucket), f"{WRONG}/lease.json", b"garbage")
        yield world.another_machine()


def only_return_of(world: BucketWorld, campaign: int) -> str:
    [back] = world.market.stores[campaign].returns.values()
    return str(back.id)


def page_at(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize(
    "words", [("status",), ("verify",), ("prune", "--older-than", "1d", "--dry-run")], ids=lambda words: words[0]
)
def test_a_report_has_the_other_stores_and_the_error_of_the_damaged_one(
    world: BucketWorld, words: tuple[str, ...]
) -> None:
    outcome = world.command(*words, "--json")
    assert outcome.code == 9, outcome.text
    assert [store["campaign"] for store in outcome.json["stores"]] == [FIRST, LAST]
    (error,) = outcome.json["errors"]
    assert (error["campaign"], error["exit_code"]) == (WRONG, 9)
    assert DAMAGED in error["message"]
    assert outcome.stderr.count("error: ") == 1
    alone = world.command(*words, "--json", f"--campaign={WRONG}")
    assert (alone.code, alone.json["stores"], alone.json["errors"]) == (9, [], [error])


def test_a_cut_checkpoint_is_such_a_damage_too(world: BucketWorld) -> None:
    store = store_of(world.storage, world.bucket)
    key = json.loads(world.object(f"{LAST}/lease.json"))["checkpoint"]
    obstore.put(store, key, world.object(key)[:100])
    outcome = world.command("status", "--json")
    assert outcome.code == 9, outcome.text
    assert [store["campaign"] for store in outcome.json["stores"]] == [FIRST]
    assert [error["campaign"] for error in outcome.json["errors"]] == [WRONG, LAST]


def test_a_catalogue_that_is_out_of_date_is_not_shown_for_the_damaged_store(world: BucketWorld) -> None:
    """This machine has one from before; what has come since is in no catalogue that it can read."""
    lease = world.object(f"{FIRST}/lease.json")
    assert world.command("status", f"--campaign={FIRST}").code == 0
    obstore.put(store_of(world.storage, world.bucket), f"{FIRST}/lease.json", lease[:-1])
    outcome = world.command("status", "--json")
    assert [store["campaign"] for store in outcome.json["stores"]] == [LAST]


def test_awaiting_lists_the_returns_of_the_others(world: BucketWorld) -> None:
    outcome = world.command("awaiting", "--json")
    assert outcome.code == 9, outcome.text
    assert {entry["campaign"] for entry in outcome.json} == {LAST}
    assert DAMAGED in outcome.stderr


def test_a_return_of_another_store_is_held_and_fetched(world: BucketWorld) -> None:
    number = only_return_of(world, LAST)
    held = world.program("hold", "--return", number)
    assert (held.code, f"Store {LAST}: return {number}" in held.stdout) == (9, True), held.text
    assert DAMAGED in held.stderr
    fetched = world.program("fetch", "--return", number)
    assert fetched.code == 0, fetched.text
    assert DAMAGED in fetched.stderr


def test_a_return_that_only_the_damaged_store_may_have_is_not_called_unknown(world: BucketWorld) -> None:
    number = only_return_of(world, WRONG)
    for command in ("hold", "fetch"):
        outcome = world.program(command, "--return", number)
        assert outcome.code == 9, outcome.text
        assert f"Store {WRONG} may have it" in outcome.stderr


def test_browse_starts_and_its_pages_name_the_damaged_store(world: BucketWorld) -> None:
    process = world.start("browse", "--port", "0")
    try:
        assert process.stdout
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        wait_until(lambda: DAMAGED in page_at(f"{address}awaiting"), process)
        assert only_return_of(world, LAST) in page_at(f"{address}awaiting")
    finally:
        process.send_signal(signal.SIGTERM)
        outcome = world.end_of(process)
    assert (outcome.code, DAMAGED in outcome.stderr) == (0, True)


def test_copy_copies_the_others(world: BucketWorld, tmp_path: Path) -> None:
    outcome = world.command("copy", "--to", str(tmp_path / "copy"))
    assert outcome.code == 9, outcome.text
    assert DAMAGED in outcome.stderr
    world.settings["archive"] = {"directory": str(tmp_path / "copy")}
    verified = world.command("verify", "--full", "--json")
    assert (verified.code, [store["campaign"] for store in verified.json["stores"]]) == (0, [FIRST, LAST])


def test_export_of_a_return_of_another_store_is_written_and_of_a_table_refused(world: BucketWorld) -> None:
    out = world.folder / "pack.zip"
    pack = world.command("export", "--return", only_return_of(world, LAST), "--out", str(out))
    assert (pack.code, out.exists(), DAMAGED in pack.stderr) == (9, True, True), pack.text
    table = world.program("export", "--format", "csv", "--out", "-")
    assert (table.code, table.stdout, DAMAGED in table.stderr) == (9, "", True), table.text
