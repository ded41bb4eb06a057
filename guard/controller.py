"""The shell around the core: one lock per lane, the clock, the permits. Decides, never executes."""

from __future__ import annotations

import random
from threading import Lock
from typing import TYPE_CHECKING

from guard.clock import MonotonicClock
from guard.core import codel
from guard.core.admission import ADMITTED, Decision, Signals, admits_at_once, decide
from guard.core.fairness import Fairness
from guard.core.priority import decide_in_part
from guard.core.retry_after import retry_after_s
from guard.core.vocabulary import Lane, Mode, QueueOrder, Reason
from guard.permit import LaneState, Permit, Refused
from guard.request import RequestScope
from guard.rules import WAIT_BOUND_FACTOR, LaneLoad

# Bound once: a look-up of an enumeration's member costs as much as a comparison of numbers.
_SERVES, _OFF, _ENFORCE = Reason.OK, Mode.OFF, Mode.ENFORCE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.clock import Clock
    from guard.permit import BreakerGate
    from guard.rules import Book, Rules


_Load = tuple[int, int, int, float, bool, float]

HOLD_LEAST_S = 1e-6
"""A hold time that the clock could not resolve bounds nothing."""


class Controller:
    """Decides about requests and hands out permits. Thread-safe.

    Args:
        rules: the operator's settings.
        slots: for each lane a cheap, non-blocking function that tells how many requests its
            pool can serve at once now.
        breakers: a breaker per lane, or none.
        clock: the monotonic clock of all times here.
        draw: gives uniform random numbers in ``[0, 1)``.
        book: finds the seconds after which shed requests may come back; where None they are
            drawn by ``guard.core.retry_after``.
        serving: ``OK``, or ``STARTING`` or ``DRAINING`` while the worker does not serve.

    Attributes:
        book: what finds the seconds after which shed requests may come back, as above.
    """

    def __init__(  # noqa: PLR0913 - every part has a sound default
        self,
        rules: Rules,
        slots: Mapping[Lane, Callable[[], int]],
        breakers: Mapping[Lane, BreakerGate] | None = None,
        *,
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
        book: Book | None = None,
        serving: Callable[[], Reason] = lambda: Reason.OK,
    ) -> None:
        self.rules = rules
        self.clock: Clock = clock or MonotonicClock()
        self.serving = serving
        self._draw = draw
        self.book = book
        self._queue_age_s, self._queue_seen_s = 0.0, 0.0
        self._arrivals = codel.Codel()
        self._arrivals_lock = Lock()
        self._arrivals_target_s = rules.arrivals_target_s()
        found = breakers or {}
        self._lanes = {
            lane: LaneState(
                limits,
                slots[lane],
                found.get(lane),
                rules.classes(limits),
                Fairness() if rules.fair else None,
            )
            for lane, limits in rules.lanes.items()
        }

    @property
    def mode(self) -> Mode:
        """Whether anything is shed."""
        return self.rules.mode

    def configure(self, rules: Rules) -> None:
        """Judge new requests by other rules; never blocks, and permits that are held stay.

        Each reference is replaced in one step, so a decision under way sees a lane's old limits
        or its new ones, no mixture. To be called by one thread at a time.
        """
        for lane, limits in rules.lanes.items():
            self._lanes[lane].classes = rules.classes(limits)
            self._lanes[lane].limits = limits
        self._arrivals_target_s = rules.arrivals_target_s()
        self.rules = rules

    def check(self, scope: RequestScope, lane: Lane, now_s: float | None = None) -> Decision:
        """Return what would be decided now, without a permit: the early, cheap gate."""
        mode = self.rules.mode
        if mode is _OFF:
            return ADMITTED
        state = self._lanes[lane]
        slots = state.slots()
        admits = state.breaker is None or state.breaker.admits()
        if now_s is None:
            now_s = self.clock.now_s()
        with state.lock:
            decision = self._decide(state, scope, slots, now_s, breaker_admits=admits)
            refuses = decision.reason is not _SERVES and mode is _ENFORCE
            if refuses and state.fairness is not None:
                # What is let through is counted by the exact gate.
                state.fairness.count(scope.client, now_s, admitted=False)
        return decision

    def admit(
        self, scope: RequestScope, lane: Lane, now_s: float | None = None, *, forced: bool = False
    ) -> tuple[Decision, Permit | None]:
        """Decide and count in one step; the permit is None where the request is shed.

        Shadow mode admits against its own decision. ``forced`` admits without one: a request
        that has already executed something must be let through to its end. ``now_s`` is the
        time, where the caller has just read it.
        """
        state = self._lanes[lane]
        if now_s is None:
            now_s = self.clock.now_s()
        slots = state.slots()
        admits = state.breaker is None or forced or state.breaker.admits_one()
        with state.lock:
            decision, mode = ADMITTED, self.rules.mode
            if not forced and mode is not _OFF:
                decision = self._decide(state, scope, slots, now_s, breaker_admits=admits)
                # In shadow mode the early gate may have foretold it already.
                sheds = decision.reason is not _SERVES or scope.would_shed
                if state.fairness is not None:
                    state.fairness.count(scope.client, now_s, admitted=not sheds)
                if mode is not _ENFORCE:
                    if not sheds:
                        target_s = state.limits.wait_budget_s / 2
                        state.shadow.enter(scope.arrived_s, slots, state.hold_s, target_s)
                elif sheds:
                    return decision, None
            state.in_flight += 1
            state.unfinished += 1
        return decision, Permit(state)

    def _decide(
        self,
        state: LaneState,
        scope: RequestScope,
        slots: int,
        now_s: float,
        *,
        breaker_admits: bool,
    ) -> Decision:
        # The lane's lock is held; nothing in here takes another one.
        limits = own = whole = state.limits
        if state.classes is not None:
            limits, own = state.limits_for(scope.priority, scope.client)
        serving = self.serving()
        enforces = self.rules.mode is _ENFORCE
        if (
            enforces
            and serving is _SERVES
            and breaker_admits
            and not (state.codel.standing or self._arrivals.standing)
            and admits_at_once(
                state.in_flight, state.unfinished, slots, state.hold_s,
                scope.deadline_at_s - now_s, limits,
            )
        ):  # fmt: skip
            return ADMITTED
        signals = Signals(
            serving,
            breaker_admits,
            *(self._seen if enforces else self._foretold)(state, slots, scope, now_s),
            scope.deadline_at_s - scope.arrived_s,
        )
        decision = (
            decide(signals, limits)
            if state.classes is None
            else decide_in_part(signals, limits, own, whole)
        )
        if decision.reason is not _SERVES:
            state.refused = Refused(now_s, signals, decision)
        return decision

    def _seen(self, state: LaneState, slots: int, scope: RequestScope, now_s: float) -> _Load:
        standing = codel.standing(state.codel, now_s) or codel.standing(self._arrivals, now_s)
        age_s = now_s - scope.arrived_s
        return state.in_flight, state.unfinished, slots, state.hold_s, standing, age_s

    @staticmethod
    def _foretold(state: LaneState, slots: int, scope: RequestScope, _now_s: float) -> _Load:
        # What waits in front of the guard here would not wait if the guard shed.
        unfinished = state.shadow.unfinished(scope.arrived_s)
        return unfinished, unfinished, slots, state.hold_s, state.shadow.standing(), 0.0

    def scope(self, lane: Lane | None, age_s: float = 0.0) -> RequestScope:
        """Return a new request's scope; ``age_s`` is the time since it was accepted."""
        arrived_s = self.clock.now_s() - age_s
        return RequestScope(lane, arrived_s, arrived_s + self.rules.deadline_s)

    def arrived(self, age_s: float, now_s: float) -> None:
        """Hear how long a request that is here at ``now_s`` has waited in front of the app.

        A queue that stands there makes the lanes shed what is old, as one at the pool does:
        when the process is out of CPU no pool is saturated, and yet every answer comes late.
        """
        with self._arrivals_lock:
            self._queue_age_s, self._queue_seen_s = age_s, now_s
            self._arrivals = codel.observe(self._arrivals, age_s, self._arrivals_target_s, now_s)

    @property
    def queue_age_s(self) -> float:
        """How long the last request waited in front of the application, seconds.

        0 once that request is as long ago: what stood behind it has come through by then. An
        early gate that refused by it for ever would never see that the queue has gone.
        """
        seen_ago_s = self.clock.now_s() - self._queue_seen_s
        return self._queue_age_s if seen_ago_s < self._queue_age_s else 0.0

    def left_s(self, scope: RequestScope) -> float:
        """Return the time until the request's deadline, seconds; <= 0 when that has passed.

        A client's own deadline cuts nothing short while decisions are not enforced.
        """
        if self.rules.mode is _ENFORCE:
            return scope.deadline_at_s - self.clock.now_s()
        return scope.arrived_s + self.rules.deadline_s - self.clock.now_s()

    def wait_bound_s(self, scope: RequestScope, lane: Lane, left_s: float) -> float:
        """Return the longest wait for a connection, at most ``left_s`` seconds."""
        if self.rules.mode is not _ENFORCE or scope.executed:
            return left_s
        return min(left_s, WAIT_BOUND_FACTOR * self._lanes[lane].limits.wait_budget_s)

    def newest_first(self, lane: Lane) -> bool:
        """Return whether a free connection shall go to who came last."""
        adaptive = self.rules.queue_order is QueueOrder.ADAPTIVE
        return adaptive and self._lanes[lane].codel.standing

    def retry_after_s(self, lane: Lane, reason: Reason) -> int:
        """Return the whole seconds after which a request shed for ``reason`` may come back."""
        state = self._lanes[lane]
        outage_left_s = state.breaker.remaining_s() if state.breaker else 0.0
        if self.book is None:
            low_s, high_s = self.rules.retry_after_min_s, self.rules.retry_after_max_s
            return retry_after_s(reason, self._draw(), low_s, high_s, outage_left_s)
        slots = state.slots()
        if reason is Reason.BREAKER_OPEN or (reason is Reason.POOL_SATURATED and slots <= 0):
            return self.book.appoint(lane, outage_left_s, outage=True)
        drain_s = state.unfinished * state.hold_s / slots if slots > 0 else 0.0
        return self.book.appoint(lane, drain_s, outage=False)

    def look(self) -> None:
        """Let the book take in what has happened; to be called some times in each second."""
        if self.book is not None:
            self.book.look({lane: self._bound_per_s(lane) for lane in self._lanes})

    def _bound_per_s(self, lane: Lane) -> float:
        state = self._lanes[lane]
        return state.slots() / max(state.hold_s, HOLD_LEAST_S)

    def waited(self, lane: Lane, waited_s: float) -> None:
        """Hear of a wait for a connection that has ended."""
        state = self._lanes[lane]
        target_s = state.limits.wait_budget_s / 2
        now_s = self.clock.now_s()
        with state.lock:
            state.codel = codel.observe(state.codel, waited_s, target_s, now_s)

    def held(self, lane: Lane, held_s: float) -> None:
        """Hear that a slot was held for ``held_s`` seconds."""
        state = self._lanes[lane]
        with state.lock:
            state.held(held_s)

    def last_refused(self, lane: Lane) -> Refused | None:
        """Return the lane's last refusal with the numbers that decided; None before the first."""
        return self._lanes[lane].refused

    def breaker(self, lane: Lane) -> BreakerGate | None:
        """Return the lane's breaker."""
        return self._lanes[lane].breaker

    def load(self, lane: Lane) -> LaneLoad:
        """Return the lane's figures at this moment."""
        state = self._lanes[lane]
        with state.lock:
            return LaneLoad(
                state.in_flight, state.unfinished, state.hold_s, state.uses, state.used_s
            )
