"""`export --force` replaces what an export has written, and nothing else."""

import os
from pathlib import Path

import pytest

from market_photos.errors import UsageError
from market_photos.export.output import output
from market_photos.export.style import Style
from market_photos.export.table import WRITERS, write_csv, write_jsonl
from market_photos.pages import Wording
from tests.archives import ArchiveOf


def written(target: Path, archive: Path) -> None:
    with output(target, archive, force=True) as stream:
        write_csv(stream, [], Style())


@pytest.mark.parametrize("words", [None, Wording("ru"), Wording("en")])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_a_table_is_replaced_by_a_new_one(tmp_path: Path, delimiter: str, words: Wording | None) -> None:
    """With any delimiter; an empty one as well, which a list of JSON lines is without photos."""
    target = tmp_path / "index.csv"
    with target.open("wb") as stream:
        write_csv(stream, [], Style(words, delimiter))
    written(target, tmp_path / "archive")
    with target.open("wb") as stream:
        write_jsonl(stream, [], Style())
    written(target, tmp_path / "archive")
    assert target.read_bytes().count(b"\n") == 1


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
def test_a_table_in_a_format_of_others_is_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "index"
    with target.open("wb") as stream:
        WRITERS[kind](stream, [], Style())
    written(target, tmp_path / "archive")
    assert target.read_bytes().count(b"\n") == 1


def make(kind: str, folder: Path, archive: Path) -> Path:
    target, mine = folder / "out", folder / "mine"
    if kind == "somebody's file":
        target.write_bytes(b"my only copy")
    elif kind == "another zip":
        target.write_bytes(b"PK\x05\x06" + bytes(18))
    elif kind == "pipe":
        os.mkfifo(target)
    elif kind == "catalogue":
        target.write_bytes((archive / "101" / "catalog.sqlite3").read_bytes())
    elif kind == "inside":
        target = archive / "index.csv"
        with target.open("wb") as stream:
            write_csv(stream, [], Style())
    elif kind == "inside by a link":
        (folder / "link").symlink_to(archive)
        target = folder / "link" / "index.csv"
        with target.open("wb") as stream:
            write_csv(stream, [], Style())
    else:
        with mine.open("wb") as stream:
            write_csv(stream, [], Style())
        (target.symlink_to if kind == "link" else target.hardlink_to)(mine)
    return target


@pytest.mark.parametrize(
    "kind",
    ["somebody's file", "another zip", "pipe", "catalogue", "inside", "inside by a link", "link", "hard link"],
)
def test_a_file_that_no_export_wrote_is_kept(tmp_path: Path, kind: str) -> None:
    """Exit 2 with the reason; the file is as it was."""
    ArchiveOf(tmp_path / "archive")
    target = make(kind, tmp_path, tmp_path / "archive")
    before = target.lstat()
    with pytest.raises(UsageError, match="--force does not replace it"):
        written(target, tmp_path / "archive")
    assert (target.lstat().st_ino, target.lstat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_device_is_kept(tmp_path: Path) -> None:
    """It would be a file from then on."""
    with pytest.raises(UsageError, match="regular"):
        written(Path("/dev/null"), tmp_path)
