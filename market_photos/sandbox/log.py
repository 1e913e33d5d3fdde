"""The log of requests, for tests."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from market_photos.sandbox.api import Call


@dataclass(eq=False)
class Entry:
    """One request. `answered`, `status` and `bytes_sent` are set while it is served.

    `arrived` and `answered` come from time.monotonic(); `wall` is the sandbox's wall clock on arrival. `parallel`
    counts the store's requests in flight on arrival, this one included. Status 0: nothing was answered.
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
        """Seconds from arrival to the last byte, or until now if it is still in flight."""
        return (self.answered or time.monotonic()) - self.arrived


@dataclass(repr=False)
class Log:
    """All requests in the order of arrival. `kind` and `campaign` select some of them; None selects all."""

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
        """Log a request on its arrival."""
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
        """Log the end of the answer, of which `sent` bytes of the body were sent."""
        entry.answered, entry.bytes_sent = time.monotonic(), sent
        self._in_flight[entry.campaign] -= 1

    def of(self, kind: str | None = None, campaign: int | None = None, status: int | None = None) -> list[Entry]:
        """Return the selected entries."""
        return [
            entry
            for entry in self.entries
            if kind in {None, entry.kind} and campaign in {None, entry.campaign} and status in {None, entry.status}
        ]

    def count(self, kind: str | None = None, campaign: int | None = None, status: int | None = None) -> int:
        """Return the number of selected entries."""
        return len(self.of(kind, campaign, status))

    def worst_parallel(self, campaign: int | None = None) -> int:
        """Return the highest number of requests that one store had in flight at once."""
        return max((entry.parallel for entry in self.of(campaign=campaign) if entry.campaign is not None), default=0)

    def worst_window(
        self, kind: str, seconds: float, campaign: int | None = None, when: Callable[[Entry], float] | None = None
    ) -> int:
        """Return the highest number of arrivals at one store within any window [t, t + seconds)."""
        arrivals: dict[int | None, list[float]] = {}
        for entry in self.of(kind, campaign):
            arrivals.setdefault(entry.campaign, []).append(when(entry) if when else entry.arrived)
        return max((most_within(sorted(times), seconds) for times in arrivals.values()), default=0)

    def clear(self) -> None:
        """Remove the answered requests; those in flight stay."""
        self.entries = [entry for entry in self.entries if entry.answered is None]


def most_within(times: list[float], seconds: float) -> int:
    """Return how many of the sorted times lie in the fullest half-open window of that length."""
    most = first = 0
    for index, moment in enumerate(times):
        while moment - times[first] >= seconds:
            first += 1
        most = max(most, index - first + 1)
    return most
