"""Choose which requests get a fault, and what goes wrong with their answers.

    sandbox.faults.add(actions.status(503), kind="photo", times=2)
    sandbox.faults.add(actions.cut(1000), image_hash=photo.image_hash, times=ALWAYS)
    sandbox.faults.add(actions.reset(), kind="connect", nth=3)

actions.py has the actions. Faults that match the same request are applied one after the other: a delay and a cut
give a late cut.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from market_photos.sandbox.api import Call
from market_photos.sandbox.wire import Reply

ALWAYS = None

#: Returns the faulty answer, given the request and its regular answer.
Action = Callable[[Call, Reply], Reply]


@dataclass(eq=False)
class Fault:
    """An action and the conditions on which it is applied; None is no condition.

    kind         "campaigns", "returns", "return", "photo", "token", "other", or "connect": when a connection opens,
                 before anything is read (only `hang`, `reset` and `delay` make sense then)
    when         a further condition
    nth          the first request that gets the fault, among those that meet the conditions above, counted from 1
    times        the number of requests that get it, or ALWAYS
    probability  the chance of each of them to get it
    hits         how many requests got it so far
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

    def decide(self, call: Call, rng: random.Random) -> bool:
        """Decide whether the request gets the fault. Counts the request: call it once for each."""
        if not self._matches(call):
            return False
        self._seen += 1
        if self._seen < self.nth or (self.times is not None and self.hits >= self.times):
            return False
        is_hit = self.probability >= 1 or rng.random() < self.probability
        self.hits += is_hit
        return is_hit

    def _matches(self, call: Call) -> bool:
        return (
            # a fault without a kind applies to requests, not to connections
            (self.kind == call.kind if self.kind else call.kind != "connect")
            and self.campaign in {None, call.campaign}
            and self.image_hash in {None, call.image_hash}
            and (self.when is None or self.when(call))
        )


@dataclass
class Faults:
    """The active faults. With the same seed of `rng`, the same requests get the same faults."""

    rng: random.Random = field(default_factory=lambda: random.Random(1))
    rules: list[Fault] = field(default_factory=list)

    def add(self, action: Action, **conditions: Any) -> Fault:
        """Add a fault, by default for a single request. `conditions`: see Fault."""
        self.rules.append(Fault(action, **conditions))
        return self.rules[-1]

    def clear(self) -> None:
        """Remove all faults."""
        self.rules.clear()

    def applied(self, call: Call, reply: Reply) -> Reply:
        """Return the reply after all faults that the request gets."""
        for fault in [rule for rule in self.rules if rule.decide(call, self.rng)]:
            reply = fault.action(call, reply)
        return reply
