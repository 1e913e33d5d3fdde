"""Write an export to standard output, or to a file that appears only when it is complete."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from market_photos.archive.atomic import replacing, sync_folder
from market_photos.archive.volume import disk_errors
from market_photos.errors import ArchiveUnwritable, UsageError
from market_photos.export.replacing import why_kept

STDOUT = Path("-")


@contextmanager
def output(target: Path, archive: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Yield a stream that becomes the target, with mode 0600, when the block ends without an error.

    Raises UsageError if the target has no folder, or exists and may not be replaced, and ArchiveUnwritable if it
    cannot be written.
    """
    if target == STDOUT:
        with disk_errors(Path("standard output")), _standard_output() as stream:
            yield stream
        return
    _require_free(target, archive, force=force)
    with disk_errors(target):
        with replacing(target) as stream:
            yield stream
            _require_free(target, archive, force=force)
        sync_folder(target.parent)


def _require_free(target: Path, archive: Path, *, force: bool) -> None:
    if not target.parent.is_dir():
        raise UsageError(f"{target}: there is no folder {target.parent}.", "Create it, or choose another --out.")
    if target.is_dir():
        raise UsageError(f"{target}: is a folder.", "Name a file: --out NAME.")
    if not os.path.lexists(target):
        return
    if not force:
        raise UsageError(f"{target}: exists already.", "Choose another --out, or add --force.")
    with disk_errors(target):
        reason = why_kept(target, archive)
    if reason:
        raise UsageError(f"{target}: {reason}, so --force does not replace it.", "Choose another --out.")


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    """Yield a duplicate of standard output: if its reader exits, Python does not report that again at exit."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "wb")
    try:
        yield stream
        stream.flush()
    except BrokenPipeError as error:
        raise ArchiveUnwritable("standard output: its reader went away before everything was written.") from error
    finally:
        with suppress(OSError):
            stream.close()
