"""The last steps of a photo succeed together: its file, the record of its return, its row, the next claim."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from market_photos.archive.catalog.catalog import Catalog
from market_photos.archive.catalog.photos import Archived, Claim, State
from market_photos.archive.layout import RECORD_NAME
from market_photos.errors import ArchiveUnwritable
from market_photos.model import ReturnRef
from market_photos.sync import storing
from tests.unit.worlds import CAMPAIGN, ToldClock, a_place, a_return

BODY = b"\xff\xd8\xff\xe0 a picture \xff\xd9"
FOLDER = Path("photos/2026-01/1-1")


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path, CAMPAIGN, ToldClock()) as catalog:
        catalog.returns.record_page([a_return(1, "a", "b", note="as it was")])
        yield catalog


async def stored(store: Path, catalog: Catalog) -> tuple[Archived, Claim | None]:
    """Store the next photo, as a worker does."""
    claim = catalog.photos.claim()
    assert claim
    with a_place(store) as place:
        async with place.part(FOLDER / f"10-{claim.key.image_hash}") as part:
            await part.write(BODY)
            found = Archived(".jpg", 0, b"", "image/jpeg", "")
            return storing.store_photo(catalog, place, claim, part, found)


def names(store: Path) -> list[str]:
    return sorted(path.name for path in (store / FOLDER).iterdir())


async def test_a_photo_is_stored_with_its_record_and_row(tmp_path: Path, catalog: Catalog) -> None:
    """File, record and row agree, and the next photo is claimed with its request on record."""
    archived, following = await stored(tmp_path, catalog)
    assert (archived.size, archived.sha256) == (len(BODY), hashlib.sha256(BODY).digest())
    assert names(tmp_path) == ["10-a.jpg", RECORD_NAME]
    assert json.loads((tmp_path / FOLDER / RECORD_NAME).read_bytes())["note"] == "as it was"
    assert following
    assert (following.key.image_hash, following.request) == ("b", 1)
    assert catalog.photos.tally()[State.ARCHIVED] == (1, len(BODY))
    assert catalog.returns.outdated_records(9) == []


async def test_a_record_that_cannot_be_written_does_not_cost_the_photo(tmp_path: Path, catalog: Catalog) -> None:
    """A warning names it, and the next run writes it; the photo has its row and is not requested again."""
    (tmp_path / FOLDER / RECORD_NAME).mkdir(parents=True)
    with pytest.raises(ArchiveUnwritable, match=RECORD_NAME):
        await stored(tmp_path, catalog)
    assert catalog.photos.tally()[State.ARCHIVED] == (1, len(BODY))
    assert names(tmp_path) == ["10-a.jpg", RECORD_NAME]
    assert catalog.returns.outdated_records(9) == [(1, "2026-01", ReturnRef(1, 1))]


async def test_a_record_that_changed_is_written_anew(tmp_path: Path, catalog: Catalog) -> None:
    """Once, and only for returns with photos in the archive."""
    await stored(tmp_path, catalog)
    catalog.returns.record_page([a_return(1, "a", "b", note="other"), a_return(2, "a", note="other")])
    with a_place(tmp_path) as place:
        assert storing.save_outdated_records(catalog, place, 9) == 1
        assert json.loads((tmp_path / FOLDER / RECORD_NAME).read_bytes())["note"] == "other"
        assert storing.save_outdated_records(catalog, place, 9) == 0
    assert not (tmp_path / "photos/2026-01/1-2").exists()
