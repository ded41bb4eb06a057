"""CoDel's question, asked of a pool: is this queue a burst that drains, or does it stand?

Nichols and Jacobson, "Controlling Queue Delay" (ACM Queue, 2012): a queue is bad when even the
*smallest* wait of an interval is over a target. Changed for request admission: the interval is
100 ms and the target half the lane's wait budget; the verdict does not drop packets, it lets
the admission rule refuse requests that have grown old (``guard.core.admission``, rule 6).
An interval in which nothing waited at all says that the queue does not stand.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

INTERVAL_S = 0.1
STALE_AFTER_INTERVALS = 2


class Codel(NamedTuple):
    """The state: an interval under way and the last one's verdict.

    Attributes:
        interval_start_s: when the interval under way began.
        smallest_wait_s: smallest wait seen in it, ``inf`` for none.
        standing: whether the last complete interval had a standing queue.
    """

    interval_start_s: float = -inf
    smallest_wait_s: float = inf
    standing: bool = False


def observe(state: Codel, wait_s: float, target_s: float, now_s: float) -> Codel:
    """Return the state after one wait of ``wait_s`` seconds ended at ``now_s``."""
    if now_s - state.interval_start_s < INTERVAL_S:
        if wait_s >= state.smallest_wait_s:
            return state
        return state._replace(smallest_wait_s=wait_s)
    standing = state.smallest_wait_s != inf and state.smallest_wait_s > target_s
    fresh = now_s - state.interval_start_s < STALE_AFTER_INTERVALS * INTERVAL_S
    return Codel(now_s, wait_s, standing and fresh)


def standing(state: Codel, now_s: float) -> bool:
    """Return whether the queue stands; a verdict with no news for two intervals has lapsed."""
    return state.standing and now_s - state.interval_start_s < STALE_AFTER_INTERVALS * INTERVAL_S
