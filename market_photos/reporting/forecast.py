"""Forecast how long pending photos take, from the quota's tokens and the pace so far.

Times are in seconds from now.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean

#: Answers that the pace is measured from, at least and at most.
LEAST_ANSWERS = 8
MOST_ANSWERS = 60
#: The part of the gaps between answers that is left out, the longest ones: the waits for the quota, not the server's.
WAITS = 0.1


def seconds_left(
    photos: int,
    returns: Sequence[float],
    *,
    amount: int,
    held_for: float,
    closed_for: float = 0.0,
    pace: float | None = None,
) -> float:
    """Return when the last of the photos can be answered.

    Each takes the token that is back first, and gives it back `held_for` later. `returns`: when each token that is
    not free is back, sorted; all others of `amount` are free. `closed_for`: how long the server admits nothing.
    `pace`: photos a second while none waits for the quota; None if it is not known.
    """
    if not photos:
        return 0.0
    step = 1 / pace if pace else 0.0
    free = amount - len(returns)
    rounds, last = divmod(photos - 1, amount)
    first = max(closed_for, 0.0 if free else returns[0])
    # Each token that is used in this round may delay those after it, which follow by a step each.
    used = enumerate(returns[: max(0, last - free + 1)], free)
    in_round = max([first + last * step, *(max(closed_for, back) + (last - n) * step for n, back in used)])
    return max(in_round + rounds * held_for, first + (photos - 1) * step) + step


def pace_of(answers: Sequence[float]) -> float | None:
    """Return the requests a second of the last answers, without the waits; None if they are too few.

    `answers`: their times, sorted.
    """
    gaps = sorted(later - earlier for earlier, later in pairwise(answers[-MOST_ANSWERS:]))
    if len(gaps) + 1 < LEAST_ANSWERS:
        return None
    mean = fmean(gaps[: len(gaps) - max(1, int(len(gaps) * WAITS))])
    return 1 / mean if mean > 0 else None
