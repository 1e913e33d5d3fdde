"""Replace a file in one step: a reader sees the old content or the new one, and a crash leaves no mixture."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from market_photos.archive.layout import PART_SUFFIX


@contextmanager
def replacing(target: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Yield a new file that replaces the target when the block ends, or is removed after an error.

    Its mode is 0600. With `sync`, its content is on disk before it gets its name. Several processes may replace the
    same file at once. Raises OSError.
    """
    descriptor, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=PART_SUFFIX, dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
