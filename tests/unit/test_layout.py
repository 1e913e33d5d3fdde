"""Photos lie inside the archive, apart from each other, under names that every file system accepts."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from market_photos.archive.layout import (
    PART_SUFFIX,
    UNDATED,
    month_of,
    photo_path,
    photo_stem,
    return_folder,
    safe_name,
    store_folder,
)
from market_photos.model import PhotoKey, ReturnRef

IDS = st.integers(0, 2**63 - 1)
KEYS = st.builds(PhotoKey, st.just(7), IDS, IDS, IDS, st.text(min_size=1))
#: The longest suffix that `suffix.choose` gives.
SUFFIX = ".abcdefghij"


@pytest.mark.parametrize(
    ("created", "month"),
    [
        ("2026-01-05T10:00:00+03:00", "2026-01"),
        ("2026-12-31T23:59:59.999+03:00", "2026-12"),
        ("2026-02-01T00:30:00+03:00", "2026-02"),  # still January in UTC: the date's own zone counts
        ("2026-01-05", "2026-01"),
        ("2026-00-05", UNDATED),
        ("2026-13-05", UNDATED),
        ("2026-01", UNDATED),
        ("20260105", UNDATED),
        ("05-01-2026", UNDATED),
        ("../../x", UNDATED),
        (" 2026-01-05", UNDATED),
        ("٢٠٢٦-٠١-٠٥", UNDATED),
        ("", UNDATED),
    ],
)
def test_the_month_is_taken_from_the_iso_date_only(created: str, month: str) -> None:
    assert month_of(created) == month


def test_paths_follow_the_tree_of_the_readme() -> None:
    key = PhotoKey(7, 8, 9, 10, "0a1b")
    assert store_folder(Path("/archive"), 7) == Path("/archive/7")
    assert return_folder("2026-01", ReturnRef(8, 9)) == Path("photos/2026-01/8-9")
    assert photo_path("2026-01", key, ".jpg") == Path("photos/2026-01/8-9/10-0a1b.jpg")


@pytest.mark.parametrize(
    ("image_hash", "plain"),
    [
        ("da39a3ee5e6b4b0d3255bfef95601890afd80709", True),
        ("a_b-c", True),
        ("x" * 100, True),
        ("x" * 101, False),
        ("ABC", False),  # would meet `abc` where case is folded
        ("a.b", False),
        ("a~b", False),
        ("..", False),
        (".", False),
        ("", False),
        ("a/b", False),
        ("a\\b", False),
        ("a:b", False),
        ("a b", False),
        ("a\0b", False),
        ("a\n", False),
        ("%2e%2e", False),
        ("é", False),
        ("e\u0301", False),
        ("١", False),
        ("ж" * 300, False),
    ],
)
def test_a_safe_hash_is_the_file_name(image_hash: str, plain: bool) -> None:
    """Another hash becomes a readable part and a digest, in the same few characters."""
    name = safe_name(image_hash)
    assert (name == image_hash) is plain
    assert ("~" in name) is not plain
    assert name.isascii()
    assert not set(name) & set("./\\: %\0\n")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("abc", "ABC"),
        ("Abc", "aBc"),
        ("a/b", "a+b"),
        ("é", "e\u0301"),
        ("x" * 300, "x" * 301),
        ("a.b", "a_b"),
        (".", ".."),
    ],
)
def test_hashes_that_look_alike_stay_apart(one: str, other: str) -> None:
    """This holds on file systems that fold case or normalise letters."""
    assert safe_name(one).casefold() != safe_name(other).casefold()


@given(KEYS, st.text())
@example(PhotoKey(7, 2**63 - 1, 2**63 - 1, 2**63 - 1, "A" * 300), "2026-01-05")
@example(PhotoKey(7, 2**63 - 1, 2**63 - 1, 2**63 - 1, "a" * 100), "2026-01-05")
def test_any_photo_stays_inside(key: PhotoKey, created: str) -> None:
    """Four names below the store's folder, each at most 255 bytes with suffix and part's suffix."""
    path = photo_path(month_of(created), key, SUFFIX)
    assert not path.is_absolute()
    assert len(path.parts) == 4
    assert ".." not in path.parts
    assert path.resolve().is_relative_to(Path.cwd())
    assert all(len(f"{name}{PART_SUFFIX}".encode()) <= 255 for name in path.parts)
    assert path.name.partition(".")[0] == photo_stem(key)  # a sweep knows a photo's files by it
    assert str(path).isascii()


@given(
    st.lists(
        KEYS | st.builds(PhotoKey, st.just(7), *[st.integers(0, 12)] * 3, st.text("aA-_1.", min_size=1)), unique=True
    )
)
def test_different_photos_have_different_names(keys: list[PhotoKey]) -> None:
    """They differ even with case folded, and without month and suffix."""
    paths = {str(return_folder("2026-01", key.of_return) / photo_stem(key)).casefold() for key in keys}
    assert len(paths) == len(keys)


@given(*[st.integers(0, 12)] * 4)
def test_different_returns_have_different_folders(order: int, return_id: int, order2: int, return2: int) -> None:
    """The order and the return both count."""
    same = (order, return_id) == (order2, return2)
    assert (
        return_folder("2026-01", ReturnRef(order, return_id)) == return_folder("2026-01", ReturnRef(order2, return2))
    ) is same
