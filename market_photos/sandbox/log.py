"""What the sandbox was asked, as tests look at it."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from market_photos.sandbox.api import Call


@dataclass(eq=False)
class Entry:
    """One request; `answered`, `status` and the bytes of its body follow while it is served.

    `arrived` and `answered` are of time.monotonic(), `wall` is the sandbox's wall clock on arrival. `parallel` is how
    many requests of the store were in flight on arrival, this one included. A status of 0: no answer was begun.
    """

    kind: str
    campaign: int | None
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    image_hash: str | None
    arrived: float
    wall: float
    parallel: int
    answered: float | None = None
    status: int = 0
    bytes_sent: int = 0

    @property
    def seconds(self) -> float:
        """From arrival to the last byte; so far, while it is in flight."""
        return (self.answered or time.monotonic()) - self.arrived


@dataclass(repr=False)
class Log:
    """All entries in the order of arrival. `kind` and `campaign` narrow each question; None asks for all."""

    entries: list[Entry] = field(default_factory=list)
    _in_flight: Counter[int | None] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Entry:
        return self.entries[index]

    def __repr__(self) -> str:
        return f"<Log: {dict(Counter((entry.kind, entry.status) for entry in self.entries))}>"

    def arrive(self, call: Call, wall: float) -> Entry:
        self._in_flight[call.campaign] += 1
        request = call.request
        entry = Entry(
            kind=call.kind,
            campaign=call.campaign,
            method=request.method,
            path=request.target.partition("?")[0],
            query=request.query,
            headers=request.headers,
            image_hash=call.image_hash,
            arrived=time.monotonic(),
            wall=wall,
            parallel=self._in_flight[call.campaign],
        )
        self.entries.append(entry)
        return entry

    def leave(self, entry: Entry, sent: int) -> None:
        entry.answered, entry.bytes_sent = time.monotonic(), sent
        self._in_flight[entry.campaign] -= 1

    def of(self, kind: str | None = None, campaign: int | None = None, status: int | None = None) -> list[Entry]:
        return [
            entry
            for entry in self.entries
            if kind in {None, entry.kind} and campaign in {None, entry.campaign} and status in {None, entry.status}
        ]

    def count(self, kind: str | None = None, campaign: int | None = None, status: int | None = None) -> int:
        return len(self.of(kind, campaign, status))

    def worst_parallel(self, campaign: int | None = None) -> int:
        """The most requests that one store had in flight at once; what concerns no store is left out."""
        return max((entry.parallel for entry in self.of(campaign=campaign) if entry.campaign is not None), default=0)

    def worst_window(
        self, kind: str, seconds: float, campaign: int | None = None, when: Callable[[Entry], float] | None = None
    ) -> int:
        """The most arrivals of this kind that one store had in any [t, t + seconds), wherever it starts."""
        arrivals: dict[int | None, list[float]] = {}
        for entry in self.of(kind, campaign):
            arrivals.setdefault(entry.campaign, []).append(when(entry) if when else entry.arrived)
        return max((most_within(sorted(times), seconds) for times in arrivals.values()), default=0)

    def clear(self) -> None:
        """Forget what is answered; what is in flight still counts as such."""
        self.entries = [entry for entry in self.entries if entry.answered is None]


def most_within(times: list[float], seconds: float) -> int:
    """The most of these sorted times that lie in one half-open window of that length."""
    most = first = 0
    for index, moment in enumerate(times):
        while moment - times[first] >= seconds:
            first += 1
        most = max(most, index - first + 1)
    return most
