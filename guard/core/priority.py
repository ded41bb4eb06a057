"""Classes of requests: each sees a lane of its own size, so the lower ones are shed first.

Nothing is queued by class. A request of a lower class is decided by the same rules
(``guard.core.admission``) with smaller limits: fewer places, a shorter wait. While the lane fills,
the lower classes reach their limits first, and what is left of the queue belongs to the higher
ones. That is trunk reservation (Kelly, "Loss Networks", 1991, section 3.4): with r places
reserved, a class that offers a part ``a`` of what the lane serves finds them all taken with a
probability of about ``a ** r``.

``critical_share`` keeps a part of all the permits besides, and where it is larger than the queue,
connections too, which then stay idle without critical requests.

A critical request is more patient than others with a queue that stands: where the process is out
of CPU every request has grown old, and shedding the others is what works the queue off. So are all
requests while a greedy client (``guard.core.fairness``) is held back for them.
"""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.core.admission import Decision, Limits, Signals, decide
from guard.core.vocabulary import Priority, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

CRITICAL_BUDGET_RATIO: Final = 2.0
"""A critical request's wait budget in those of its lane. The queue's places are what bounds it: a
hold time that swells under load must not let a class run into its budget with places left."""
PATIENCE_RATIO: Final = 20.0
"""Wait budgets that such a request may have waited in all, with a standing queue."""

BELOW: Final[Mapping[Priority, Priority]] = {
    Priority.CRITICAL: Priority.NORMAL,
    Priority.NORMAL: Priority.SHEDDABLE,
    Priority.SHEDDABLE: Priority.SHEDDABLE,
}
"""The class as which a client is treated that has more than its fair share."""


class Shares(NamedTuple):
    """What the classes may use of a lane.

    Attributes:
        critical: part of a lane's permits that only critical requests may take, in [0, 1).
        normal: part of a lane's queue and wait budget that normal requests may use, in [0, 1].
        sheddable: the same for sheddable ones, in [0, ``normal``].
    """

    critical: float = 0.0
    normal: float = 1.0
    sheddable: float = 0.25


def limits_by_class(lane: Limits, shares: Shares) -> dict[Priority, Limits]:
    """Return each class's limits; none of a lower class is wider than one of a higher.

    Args:
        lane: the limits of the whole lane.
        shares: what the classes may use of it.
    """
    return {
        Priority.CRITICAL: patient(
            lane._replace(wait_budget_s=lane.wait_budget_s * CRITICAL_BUDGET_RATIO)
        ),
        Priority.NORMAL: _part(lane, shares.normal, shares.critical),
        Priority.SHEDDABLE: _part(lane, shares.sheddable, shares.critical),
    }


def _part(lane: Limits, queue_ratio: float, reserved_ratio: float) -> Limits:
    waiters = floor(lane.waiters_max * queue_ratio)
    pool = lane.permits_max - lane.waiters_max
    reserved = ceil(lane.permits_max * reserved_ratio)
    # A class that could never be served would better be refused by the operator's own rules.
    permits = max(1, min(pool + waiters, lane.permits_max - reserved))
    return lane._replace(
        permits_max=permits,
        waiters_max=waiters,
        wait_budget_s=lane.wait_budget_s * queue_ratio,
        pool_threshold_ratio=lane.pool_threshold_ratio * (1.0 - reserved_ratio),
    )


def patient(limits: Limits) -> Limits:
    """Return the limits of a request for which others are held back."""
    return limits._replace(patience_ratio=PATIENCE_RATIO)


def decide_in_part(signals: Signals, limits: Limits, own: Limits, lane: Limits) -> Decision:
    """Return the verdict on one more request that may use only a part of its lane.

    Where the part alone is what refuses it, the reason says so.

    Args:
        signals: the lane now.
        limits: what decides.
        own: those of the request's class, wider where its client has more than its fair share.
        lane: those of the whole lane.
    """
    decision = decide(signals, limits)
    if decision.admitted or limits is lane:
        return decision
    if limits is not own and decide(signals, own).admitted:
        return Decision(Reason.UNFAIR_SHARE, decision.wait_s)
    if decide(signals, lane).admitted:
        return Decision(Reason.LOW_PRIORITY, decision.wait_s)
    return decision
