"""How urgent a store is to the next run: what its last run left of its photos, and how fresh its returns are."""

from typing import NamedTuple


class Urgency(NamedTuple):
    """What a run leaves on record for the next one. `rank` sorts the most urgent store first."""

    lacks_photos: bool
    """Whether any photo is pending or failed."""
    newest_return: float
    """When its newest return was created, seconds since 1970."""

    @property
    def rank(self) -> tuple[bool, float]:
        """Return its place in the order of stores."""
        return not self.lacks_photos, -self.newest_return
