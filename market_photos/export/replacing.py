"""Decide whether `--force` may replace a file: only what an export has written, and nothing in the archive."""

import io
import os
import stat
import zipfile
from pathlib import Path
from typing import BinaryIO

from market_photos.archive import tree
from market_photos.export.rows import NAMES
from market_photos.export.style import Style
from market_photos.pages import LANGUAGES, Wording

#: Bytes that are read to recognise a file.
_HEAD = 64 * 1024


def why_kept(target: Path, archive: Path) -> str:
    """Return why the target must not be replaced, empty if it may be. Raises OSError."""
    status = target.lstat()
    if not stat.S_ISREG(status.st_mode):
        return "is no regular file"
    if status.st_nlink > 1:
        return "has another name as well (a hard link)"
    if _is_inside(target, archive):
        return "is inside the archive"
    with io.BufferedReader(tree.open_file(target)) as file:
        if not _is_export(file):
            return "is no file that an export has written"
    return ""


def _is_inside(target: Path, archive: Path) -> bool:
    """Return whether the target is in the archive, also by way of links and mounts."""
    inner = target.absolute().parent.resolve()
    return archive.is_dir() and any(folder.samefile(archive) for folder in (inner, *inner.parents))


def _is_export(file: BinaryIO) -> bool:
    head = file.read(_HEAD)
    if head.startswith(b"PK"):
        return _is_pack_or_workbook(file)
    if head.startswith((b"PAR1", b"%PDF")):
        file.seek(-min(_HEAD, file.seek(0, os.SEEK_END)), os.SEEK_END)
        footer = file.read()
        if head.startswith(b"%PDF"):
            return b"market-photos" in footer
        return footer.endswith(b"PAR1") and all(name.encode() in footer for name in NAMES)
    line = head.partition(b"\n")[0].rstrip(b"\r").decode(errors="replace")
    return not head or _is_csv(line) or _is_jsonl(head)


def _is_pack_or_workbook(file: BinaryIO) -> bool:
    try:
        with zipfile.ZipFile(file) as found:
            infos = [name for name in found.namelist() if name.endswith(("/bag-info.txt", "docProps/core.xml"))]
            marks = (b"Bag-Software-Agent: market-photos", b"<dc:creator>market-photos</dc:creator>")
            return any(mark in found.read(name) for name in infos for mark in marks)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _is_csv(line: str) -> bool:
    line = line.removeprefix("\ufeff")
    for headings in (Style(words).headings() for words in (None, *map(Wording, LANGUAGES))):
        delimiter = line.removeprefix(headings[0])[:1]
        if delimiter and line in {delimiter.join(headings), delimiter.join(_quoted(headings, delimiter))}:
            return True
    return False


def _quoted(headings: list[str], delimiter: str) -> list[str]:
    """Return the headings as the csv module writes them."""
    return [f'"{heading}"' if delimiter in heading else heading for heading in headings]


def _is_jsonl(head: bytes) -> bool:
    """Return whether the first line, which may be longer than the head, begins like one of ours."""
    return head.startswith(f'{{"{NAMES[0]}":'.encode()) and f',"{NAMES[1]}":'.encode() in head[:60]
