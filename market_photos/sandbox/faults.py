"""Faults on demand: which request, and what goes wrong with its answer.

    sandbox.faults.add(actions.status(503), kind="photo", times=2)
    sandbox.faults.add(actions.cut(1000), image_hash=photo.image_hash, times=ALWAYS)
    sandbox.faults.add(actions.reset(), kind="connect", nth=3)

The actions are in actions.py. Faults that match the same request apply one after the other: a delay and a cut make a
late cut.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from market_photos.sandbox.api import Call
from market_photos.sandbox.wire import Reply

ALWAYS = None

#: What a fault makes of the answer that the request would have had.
Action = Callable[[Call, Reply], Reply]


@dataclass(eq=False)
class Fault:
    """An action and the requests it is for; a condition of None is for all.

    kind         "campaigns", "returns", "return", "photo", "token", "other", or "connect": as a connection opens,
                 before anything is read (there only `hang`, `reset` and `delay` mean something)
    when         any further condition
    nth          begin with the nth request that meets the conditions above, counted from 1
    times        so many requests, or ALWAYS
    probability  each of them with this chance
    hits         how often it has struck
    """

    action: Action
    kind: str | None = None
    campaign: int | None = None
    image_hash: str | None = None
    when: Callable[[Call], bool] | None = None
    nth: int = 1
    times: int | None = 1
    probability: float = 1.0
    hits: int = 0
    _seen: int = 0

    def strikes(self, call: Call, rng: random.Random) -> bool:
        """Whether this request gets it; asked once per request, for it counts."""
        if not self._meant(call):
            return False
        self._seen += 1
        if self._seen < self.nth or (self.times is not None and self.hits >= self.times):
            return False
        struck = self.probability >= 1 or rng.random() < self.probability
        self.hits += struck
        return struck

    def _meant(self, call: Call) -> bool:
        return (
            # a fault of no kind is for requests; a connection is none yet
            (self.kind == call.kind if self.kind else call.kind != "connect")
            and self.campaign in {None, call.campaign}
            and self.image_hash in {None, call.image_hash}
            and (self.when is None or self.when(call))
        )


@dataclass
class Faults:
    """The faults in force. Chances are drawn from `rng`: the same seed and requests have the same faults."""

    rng: random.Random = field(default_factory=lambda: random.Random(1))
    rules: list[Fault] = field(default_factory=list)

    def add(
        self,
        action: Action,
        *,
        kind: str | None = None,
        campaign: int | None = None,
        image_hash: str | None = None,
        when: Callable[[Call], bool] | None = None,
        nth: int = 1,
        times: int | None = 1,
        probability: float = 1.0,
    ) -> Fault:
        """Arrange for a fault; see Fault. Once, unless told otherwise."""
        self.rules.append(Fault(action, kind, campaign, image_hash, when, nth, times, probability))
        return self.rules[-1]

    def clear(self) -> None:
        self.rules.clear()

    def remove(self, fault: Fault) -> None:
        self.rules.remove(fault)

    def applied(self, call: Call, reply: Reply) -> Reply:
        for fault in [rule for rule in self.rules if rule.strikes(call, self.rng)]:
            reply = fault.action(call, reply)
        return reply
