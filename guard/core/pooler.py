"""How many of a lane's connections may be used at once while a pooler behind them has a queue.

A connection to a pooler such as PgBouncer is no connection to the database: beyond the pooler's
own size it only waits, in a queue without deadlines and without a way out. So while that queue is
too slow, the lane lends no more connections than are served, and who is over waits in front of
the guard's own gate, which can refuse.

The pooler has ``servers`` connections to the database, so of its busy clients as many are served;
``waiting`` wait, and a lane's are among both in the same proportion. Hence the way down is in one
step, to

    in_use * servers / (servers + waiting)

and the way up one connection at a look, as in additive increase, multiplicative decrease (Chiu and
Jain, 1989); its factor there is a constant, here it is what was counted.
"""

from __future__ import annotations

from typing import NamedTuple


class PoolerQueue(NamedTuple):
    """A pooler's pool at one moment.

    Attributes:
        waiting: clients that wait for a connection to the database, >= 0.
        oldest_s: for how long the first of them has waited, seconds, >= 0.
        active: connections to the database that serve a client, >= 0.
        idle: those that serve none at the moment, >= 0.
    """

    waiting: int = 0
    oldest_s: float = 0.0
    active: int = 0
    idle: int = 0


def joined(queues: list[PoolerQueue]) -> PoolerQueue:
    """Return several pools as if they were one; the oldest wait is the longest of theirs."""
    return PoolerQueue(
        sum(each.waiting for each in queues),
        max((each.oldest_s for each in queues), default=0.0),
        sum(each.active for each in queues),
        sum(each.idle for each in queues),
    )


def allowed(before: int, size: int, in_use: int, queue: PoolerQueue, target_s: float) -> int:
    """Return how many of a lane's connections may be used at once from now on, 1 to ``size``.

    Args:
        before: what was returned at the last look; ``size`` at the first.
        size: the lane's connections, >= 1.
        in_use: those that are lent now, >= 0.
        queue: the pooler's pool that they lead to.
        target_s: a wait in there that is no harm, seconds, > 0.
    """
    if not queue.waiting or queue.oldest_s <= target_s:
        return min(size, before + 1)
    # More may be lent than are allowed: who has a connection keeps it.
    busy = min(before, in_use, size)
    servers = queue.active + queue.idle
    return max(1, busy * servers // (servers + queue.waiting))
