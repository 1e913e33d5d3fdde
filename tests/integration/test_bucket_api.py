"""A script reads an archive in a bucket, on a machine that has nothing of it."""

import asyncio
from pathlib import Path

import pytest

from market_photos import Archive, ExitCode, State
from tests.integration.buckets import Storage
from tests.integration.harness import CAMPAIGN
from tests.integration.test_bucket import a_bucket_world


@pytest.mark.usefixtures("keys")
def test_a_script_reads_an_archive_in_a_bucket_as_the_last_run_left_it(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Returns, photos and their bytes; what a later run brings is there the next time."""
    with a_bucket_world(storage, tmp_path) as world:
        assert world.sync(max_photos=3).exit_code == ExitCode.LIMIT
        monkeypatch.setenv("MARKET_PHOTOS_API_KEY", world.market.key)
        archive = Archive.from_config(world.another_machine().config())
        assert archive.stores() == [CAMPAIGN]
        found = [photo for back in archive.returns() for photo in back.photos]
        assert sorted(photo.state for photo in found) == [State.ARCHIVED] * 3 + [State.PENDING] * 3
        assert asyncio.run(archive.sync()).exit_code == ExitCode.COMPLETE
        returns = list(archive.returns(CAMPAIGN))
        bodies = []
        for photo in [photo for back in returns for photo in back.photos]:
            with archive.open(photo) as file:
                bodies.append(file.read())
            assert (photo.path, photo.key in world.objects) == (None, True)
        assert sorted(bodies) == sorted(photo.body for photo in world.market.photos())
        assert {back.folder for back in returns} == {None}
        assert [back.return_id for back in archive.order(returns[0].order)] == [returns[0].return_id]
