"""How many photos a run of several processes may still request."""

import fcntl
from pathlib import Path

from market_photos.sync.stop import Budget


class SharedBudget(Budget):
    """A number in a file, which the processes of a run count down together."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def make(cls, path: Path, photos: int) -> "SharedBudget":
        """Write the file."""
        path.write_text(str(photos))
        return cls(path)

    def take(self) -> bool:
        """Take one photo from the budget; return False where none is left."""
        with self._path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            left = int(file.read())
            file.seek(0)
            file.write(f"{max(0, left - 1):<{len(str(left))}}")
        return left > 0
