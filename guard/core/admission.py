"""The one decision: is this request admitted, and if not, why and when shall it come back?

The rules, in the order in which they are asked; the first that refuses gives the reason:

1. ``starting``/``draining``: the worker does not serve (yet, any more).
2. ``breaker_open``: the lane's database is failing.
3. ``pool_saturated``: the pool has no working connection at all, however large it was asked.
4. ``threads_exhausted``: the lane holds as many permits as it may, although its queue is not
   full: slow clients hold the threads.
5. ``pool_saturated``: predictive policy, the queue is full or the predicted wait is over the
   lane's budget; static policy, too large a share of the pool is in use.
6. ``queue_delay``: a standing queue (see ``guard.core.codel``), at the lane's pool or in front
   of the application, and the request would in all have waited longer than its patience: half
   the budget, CoDel's target. What can't be worked off is not to be queued either.
7. ``deadline``: age + wait + hold time would be past the request's deadline.

Predicted wait. With ``n`` requests admitted and unfinished, ``P`` slots and ``h`` the moving
average of the time for which a slot is held, a new request waits

    wait = max(0, n + 1 - P) * h / P

That is the mean wait in a queue with ``P`` servers of mean service time ``h`` when all of them
are busy, without the residual-time correction: over-estimating a little sheds a little early.
"""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from guard.core.vocabulary import Policy, Reason


class Signals(NamedTuple):
    """A lane at the moment of the decision. All times in seconds.

    Attributes:
        serving: ``Reason.OK``, or ``STARTING``/``DRAINING`` where the worker does not serve.
        breaker_admits: False while the lane's breaker is open.
        in_flight: permits of the lane that are held, >= 0.
        unfinished: requests admitted that have not given their connection back (n), >= 0.
        slots: requests that the pool can serve at once *now* (P), >= 0.
        hold_s: moving average of the time for which a slot is held (h), >= 0.
        standing_queue: CoDel's verdict on the lane's pool or on the queue before the application.
        age_s: time since the request was accepted, >= 0.
        deadline_s: the answer's latest time, counted from accept; ``inf`` for none.
    """

    serving: Reason
    breaker_admits: bool
    in_flight: int
    unfinished: int
    slots: int
    hold_s: float
    standing_queue: bool
    age_s: float = 0.0
    deadline_s: float = inf


class Limits(NamedTuple):
    """What the operator allows a lane.

    Attributes:
        policy: how saturation is told.
        permits_max: permits held at once, the bound on threads that the lane can take.
        waiters_max: requests that may wait for a slot, >= 0.
        wait_budget_s: longest predicted wait, seconds, > 0.
        pool_threshold_ratio: static policy's share of the slots, in (0, 1].
        patience_ratio: part of the wait budget that a request may have waited in all while a
            queue stands, > 0.
    """

    policy: Policy
    permits_max: int
    waiters_max: int
    wait_budget_s: float
    pool_threshold_ratio: float = 0.9
    patience_ratio: float = 0.5


class Decision(NamedTuple):
    """A verdict with its reason and the number that decided.

    Attributes:
        reason: ``OK`` admits; every other one sheds.
        wait_s: the predicted wait for a connection, seconds.
    """

    reason: Reason
    wait_s: float = 0.0

    @property
    def admitted(self) -> bool:
        """Whether the request may go on."""
        return self.reason is Reason.OK


ADMITTED = Decision(Reason.OK)
_PREDICTIVE = Policy.PREDICTIVE


def predicted_wait_s(unfinished: int, slots: int, hold_s: float) -> float:
    """Return how long one more request would wait for a slot; ``inf`` without any slot."""
    if slots <= 0:
        return inf
    return max(0, unfinished + 1 - slots) * hold_s / slots


def decide(signals: Signals, limits: Limits) -> Decision:
    """Return the verdict on one more request; see the module's rules."""
    if signals.serving is not Reason.OK:
        return Decision(signals.serving)
    if not signals.breaker_admits:
        return Decision(Reason.BREAKER_OPEN)
    if signals.slots <= 0:
        return Decision(Reason.POOL_SATURATED, inf)
    wait_s = predicted_wait_s(signals.unfinished, signals.slots, signals.hold_s)
    reason = _room(signals, limits, wait_s)
    if reason is Reason.OK and signals.age_s + wait_s + signals.hold_s > signals.deadline_s:
        reason = Reason.DEADLINE
    return ADMITTED if reason is Reason.OK and wait_s == 0.0 else Decision(reason, wait_s)


def admits_at_once(
    in_flight: int, unfinished: int, slots: int, hold_s: float, left_s: float, limits: Limits
) -> bool:
    """Return True only where ``decide`` would admit without any wait: the common case, cheaply.

    For a lane that serves, whose breaker admits and where no queue stands. False says nothing.

    Args:
        in_flight: as in ``Signals``, as are the next three.
        unfinished: see there.
        slots: see there.
        hold_s: see there.
        left_s: time until the request's deadline, seconds.
        limits: the lane's.
    """
    return (
        unfinished < slots
        and in_flight < limits.permits_max
        and hold_s <= left_s
        and limits.policy is _PREDICTIVE
    )


def _room(signals: Signals, limits: Limits, wait_s: float) -> Reason:
    if _saturated(signals, limits, wait_s):
        return Reason.POOL_SATURATED
    if signals.in_flight >= limits.permits_max:
        return Reason.THREADS_EXHAUSTED
    if signals.standing_queue:
        patience_s = limits.patience_ratio * limits.wait_budget_s
        if signals.age_s + wait_s > patience_s:
            return Reason.QUEUE_DELAY
    return Reason.OK


def _saturated(signals: Signals, limits: Limits, wait_s: float) -> bool:
    if limits.policy is Policy.STATIC:
        return signals.unfinished >= limits.pool_threshold_ratio * signals.slots
    queued = signals.unfinished - signals.slots
    return wait_s > limits.wait_budget_s or queued >= limits.waiters_max
