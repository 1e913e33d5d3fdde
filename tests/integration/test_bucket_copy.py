"""copy: an archive moves with all of its history, whatever cuts the copy short, and whatever happens after it."""

import hashlib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from market_photos.archive import layout
from market_photos.archive.folder import FolderArchive
from market_photos.archive.folder_files import FolderFiles
from market_photos.archive.places import open_archive
from market_photos.clock import SystemClock
from market_photos.maintenance.copy import copy_store
from market_photos.settings import Limits
from tests.integration.buckets import Storage, ministack, objects, store_of, taking_over_after
from tests.integration.harness import CAMPAIGN, PATIENCE_S, SHORT_PERIOD, Outcome, World, a_world, script
from tests.integration.test_bucket import BucketWorld, a_bucket_world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """An archive in a folder, with odd hashes; the whole quota counts for a second only."""
    with a_world(tmp_path, synced=True, odd=True) as world:
        yield world


class Target:
    """Where an archive is copied to: a folder, or a bucket."""

    def __init__(self, world: World, archive: dict[str, Any], words: tuple[str, ...]) -> None:
        self.words = ("copy", "--to", *words)
        world.settings["archive"] = {"scratch": str(world.folder / "scratch")}
        folder = world.folder / "machine"
        folder.mkdir()
        self.world = BucketWorld(world.market, world.sandbox, folder, {"archive": archive, "limits": SHORT_PERIOD})
        """The archive that the copy is."""

    def assert_is_copy_of(self, source: World) -> None:
        """The copy is as good as the source, and a sync brings nothing again."""
        asked = source.log.count("photo")
        for command in (("verify", "--full"), ("sync",)):
            outcome = self.world.command(*command)
            assert outcome.code == 0, outcome.text
        assert source.log.count("photo") == asked
        assert self.world.states(CAMPAIGN) == source.states(CAMPAIGN)
        ours, theirs = (sorted(set(map(hash_of, world.photo_rows(CAMPAIGN)))) for world in (source, self.world))
        assert ours == theirs


def hash_of(row: dict[str, Any]) -> tuple[str, bytes]:
    return row["image_hash"], row["sha256"]


@pytest.fixture(params=["folder", "bucket"])
def target(request: pytest.FixtureRequest, world: World, storage: Storage, keys: None) -> Target:
    if request.param == "folder":
        return Target(world, {"directory": str(world.folder / "copy")}, (str(world.folder / "copy"),))
    section = storage.settings(storage.make_bucket(), world.folder / "machine" / "scratch")
    return Target(world, section, (section["url"], "--endpoint", storage.endpoint))


def copied(world: World, target: Target) -> Outcome:
    """Copy, once the lease of a killed copy has run out: soon."""
    for _ in range(int(PATIENCE_S)):
        outcome = world.end_of(world.start(*target.words, script=taking_over_after(1.0)))
        if outcome.code != 6:
            break
    return outcome


def tree(folder: Path) -> dict[str, bytes]:
    """The contents of an archive, but for what marks who is at work."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).digest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm", ".lock"))
    }


@pytest.mark.slow
@pytest.mark.parametrize("point", ["copying:1", "copying:3", "copied"])
def test_a_killed_copy_is_completed_by_the_same_command(world: World, target: Target, point: str) -> None:
    """Wherever it was killed; it never counts as done before it is, and the source stays as it is."""
    before = tree(world.archive)
    killed = world.program(*target.words, env={"MARKET_PHOTOS_CRASH_AT": point})
    assert killed.code == -9, killed.text
    outcome = copied(world, target)
    assert outcome.code == 0, outcome.text
    assert f"{len(world.market.photos())} photos compared" in outcome.stderr
    assert tree(world.archive) == before
    target.assert_is_copy_of(world)


@pytest.mark.slow
def test_a_copy_is_brought_up_to_date_by_the_same_command(world: World, target: Target) -> None:
    """As long as only the source has gone on: with a run, a hold, or a prune."""
    assert copied(world, target).code == 0
    assert "with all that is here" in copied(world, target).stderr
    new = world.market.stores[CAMPAIGN].add_return(photos=2)
    assert world.command("sync").code == 0
    outcome = copied(world, target)
    assert (outcome.code, " 3 files" in outcome.stderr) == (0, True), outcome.text
    assert world.command("hold", "--return", str(new.id)).code == 0
    assert copied(world, target).code == 0
    assert target.world.command("status").code == 0
    assert target.world.rows("SELECT return_id FROM returns WHERE held_at IS NOT NULL") == [(new.id,)]
    target.assert_is_copy_of(world)


def test_a_store_on_which_both_archives_have_gone_on_is_left_alone(world: World, target: Target) -> None:
    """In words, and with an exit code: neither catalogue knows all."""
    assert copied(world, target).code == 0
    for archive in (target.world, world):
        world.market.stores[CAMPAIGN].add_return(photos=1)
        assert archive.command("sync").code == 0
    states, asked = target.world.states(CAMPAIGN), target.world.rows("SELECT max(id) FROM runs")
    outcome = copied(world, target)
    assert outcome.code == 10, outcome.text
    assert f"Store {CAMPAIGN}: " in outcome.stderr
    assert "a history of its own" in outcome.stderr
    assert target.world.command("verify", "--full").code == 0
    assert (target.world.states(CAMPAIGN), target.world.rows("SELECT max(id) FROM runs")) == (states, asked)


def test_a_copy_has_the_runs_the_files_set_aside_and_what_awaits_a_decision(world: World, target: Target) -> None:
    awaiting = world.market.stores[CAMPAIGN].add_return(photos=1)
    awaiting.fields = {**awaiting.fields, "refundStatus": "WAITING_FOR_DECISION"}
    assert world.command("sync").code == 0
    changed = world.files()[0]
    changed.write_bytes(b"changed")
    assert world.command("verify", "--full", "--repair").code == 10
    assert world.command("sync").code == 0
    outcome = copied(world, target)
    assert outcome.code == 0, outcome.text
    theirs = target.world
    for query in (
        "SELECT command, started_at, exit_code FROM runs",
        "SELECT order_id, return_id, awaits FROM returns",
    ):
        theirs.command("status")  # brings the catalogue
        assert theirs.rows(query) == world.rows(query)
    assert theirs.command("awaiting", "--json").stdout == world.command("awaiting", "--json").stdout
    [aside] = (
        path.relative_to(world.store) for path in (world.store / layout.SET_ASIDE).rglob("*") if path.is_file()
    )
    copy = open_archive(theirs.as_settings().archive)
    with copy.open(CAMPAIGN, aside.as_posix()) as file:
        assert file.read() == b"changed"
    sent = theirs.rows("SELECT count(*) FROM requests WHERE method = 'photo'")[0][0]
    assert sent >= Limits().photo_requests


def test_the_runs_that_reached_no_store_are_copied(world: World, tmp_path: Path) -> None:
    world.settings["archive"] = {}
    assert world.command("copy", "--to", str(tmp_path / "copy")).code == 0
    ours, theirs = (
        {p.name: p.read_bytes() for p in (at / "runs").iterdir()} for at in (world.archive, tmp_path / "copy")
    )
    assert ours
    assert ours == theirs


def test_a_target_with_a_password_is_refused_without_showing_it(world: World) -> None:
    outcome = world.command("copy", "--to", "s3://AKIA:secretsecret@bucket/market")
    assert outcome.code == 2
    assert "--to s3://(not shown)@bucket/market: must be an address" in outcome.stderr
    assert "secretsecret" not in outcome.text


def test_what_comes_to_the_source_meanwhile_is_left_for_the_next_copy(world: World, tmp_path: Path) -> None:
    """A run between the catalogue and the files does not make the copy look incomplete."""

    class Busy(FolderArchive):
        def files(self, campaign: int) -> FolderFiles:
            world.market.stores[campaign].add_return(photos=2)
            assert world.sync().exit_code == 0
            return super().files(campaign)

    def copy(source: FolderArchive) -> tuple[int, int]:
        target = FolderArchive(world.as_settings().archive.model_copy(update={"directory": tmp_path / "copy"}))
        found = copy_store(
            source,
            target,
            CAMPAIGN,
            limits=Limits(),
            clock=SystemClock(),
            command="copy",
            report=lambda store, problem: pytest.fail(str(problem)),
        )
        return found.exit_code, found.photos

    count = len(world.market.photos())
    assert copy(Busy(world.as_settings().archive)) == (0, count)
    assert copy(FolderArchive(world.as_settings().archive)) == (0, count + 2)


def test_an_archive_is_copied_to_several_buckets(world: World, storage: Storage, keys: None, tmp_path: Path) -> None:
    """Also after a bucket whose name was mistyped. Each has a scratch folder, as has the archive that it becomes."""
    world.settings["archive"] = {"scratch": str(tmp_path / "scratch"), "endpoint": storage.endpoint}
    outcome = world.command("copy", "--to", "s3://bucket-oen/market")
    assert (outcome.code, "NoSuchBucket" in outcome.stderr) == (5, True), outcome.text
    for _ in range(2):
        outcome = world.command("copy", "--to", f"s3://{storage.make_bucket()}/market")
        assert outcome.code == 0, outcome.text
    assert f"{len(world.market.photos())} photos compared" in outcome.stderr


def test_a_link_to_the_archive_is_the_archive_itself(world: World, tmp_path: Path) -> None:
    world.settings["archive"] = {}
    (tmp_path / "link").symlink_to(world.archive)
    outcome = world.command("copy", "--to", str(tmp_path / "link"))
    assert (outcome.code, "is the archive itself" in outcome.stderr) == (2, True), outcome.text


def test_a_bucket_of_the_same_name_in_another_storage_is_another_archive(
    storage: Storage, keys: None, tmp_path: Path
) -> None:
    with a_bucket_world(storage, tmp_path) as world, ministack(tmp_path) as other:
        assert world.command("sync").code == 0
        urllib.request.urlopen(urllib.request.Request(f"{other.endpoint}/{world.bucket}", method="PUT")).close()
        to = ("copy", "--to", f"s3://{world.bucket}/market")
        itself = world.command(*to)
        assert (itself.code, "is the archive itself" in itself.stderr) == (2, True), itself.text
        outcome = world.command(*to, "--endpoint", other.endpoint)
        assert outcome.code == 0, outcome.text
        assert f"Now set [archive] to s3://{world.bucket}/market at {other.endpoint}" in outcome.stderr
        assert len(objects(store_of(other, world.bucket))) == len(world.objects)


def test_aws_is_a_target_of_an_archive_in_another_storage(storage: Storage, keys: None, tmp_path: Path) -> None:
    """Its address is taken from the environment, where nothing answers."""
    impatient = script("from market_photos.archive import objects", "objects.REPEAT_SECONDS = 1")
    with a_bucket_world(storage, tmp_path) as world:
        words = ("copy", "--to", f"s3://{world.bucket}/market", "--endpoint", "aws")
        outcome = world.end_of(world.start(*words, script=impatient, env={"AWS_ENDPOINT_URL": "https://127.0.0.1:1"}))
    assert outcome.code == 5, outcome.text
    assert f"to s3://{world.bucket}/market at AWS." in outcome.stderr


def test_a_wrong_endpoint_is_named_as_such(world: World) -> None:
    world.settings["archive"] = {}
    outcome = world.command("copy", "--to", "s3://bucket/market", "--endpoint", "storage.example")
    assert (outcome.code, "--endpoint storage.example: must be" in outcome.stderr) == (2, True), outcome.text
