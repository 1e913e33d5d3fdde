"""A part of the stores, for runs that share them out: on several machines, or under another scheduler."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, from 1. A store stays in its part when other stores come and go."""

    number: int = 1
    count: int = 1

    def __contains__(self, campaign: object) -> bool:
        digest = hashlib.sha256(str(campaign).encode()).digest()
        return int.from_bytes(digest) % self.count == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


#: All stores.
WHOLE = Shard()
