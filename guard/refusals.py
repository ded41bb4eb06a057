"""Keeps a few refusals per second with the numbers that decided, for the operator's page."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

from guard.board import Refusal
from guard.core.vocabulary import Lane, Reason

if TYPE_CHECKING:
    from guard.clock import Clock
    from guard.controller import Controller

PERIOD_S: Final = 0.2
"""One refusal of each lane and reason is kept per period: five per second."""
_FRESH_S: Final = 1.0


class Sink(Protocol):
    """Takes refusals, one call at a time."""

    def append(self, refusal: Refusal) -> None:
        """Keep a refusal."""
        ...


class _Turn:
    """One lane's and reason's next turn, and how many refusals were left out before it."""

    __slots__ = ("due_s", "left_out")

    def __init__(self) -> None:
        self.due_s = 0.0
        self.left_out = 0


class RefusalSampler:
    """Keeps the first refusal of each period, lane and reason. Thread-safe.

    In a flood a refusal costs one look-up and one comparison here; the kept one says how many
    it stands for.

    Args:
        controller: has each lane's last refusal with the numbers that decided. Where another
            request of the lane was refused for the same reason a moment later, its numbers
            are taken: they decided as well.
        sink: takes what is kept.
        clock: the monotonic clock.
        period_s: seconds, > 0.
    """

    def __init__(
        self, controller: Controller, sink: Sink, clock: Clock, period_s: float = PERIOD_S
    ) -> None:
        self._controller = controller
        self._sink = sink
        self._clock = clock
        self._period_s = period_s
        self._turns = {(lane, reason): _Turn() for lane in Lane for reason in Reason}
        # Guards the turns and makes the sink's calls one at a time.
        self._lock = Lock()

    def note(self, lane: Lane, reason: Reason) -> None:
        """Keep a refusal, or count that it was left out."""
        now_s = self._clock.now_s()
        with self._lock:
            turn = self._turns[lane, reason]
            turn.left_out += 1
            if now_s < turn.due_s:
                return
            stands_for, turn.left_out = turn.left_out, 0
            turn.due_s = now_s + self._period_s
            self._sink.append(self._refusal(lane, reason, now_s, stands_for))

    def _refusal(self, lane: Lane, reason: Reason, now_s: float, stands_for: int) -> Refusal:
        limits = self._controller.rules.lanes[lane]
        refused = self._controller.last_refused(lane)
        kept = Refusal(
            os.getpid(), now_s, lane, reason,
            permits_max=limits.permits_max, waiters_max=limits.waiters_max,
            stands_for=stands_for, budget_s=limits.wait_budget_s,
        )  # fmt: skip
        if (
            refused is None
            or refused.decision.reason is not reason
            or now_s - refused.at_s > _FRESH_S
        ):
            # Refused after it had been admitted: it did not get its connection in time.
            load = self._controller.load(lane)
            return kept._replace(
                in_flight=load.in_flight, unfinished=load.unfinished, hold_s=load.hold_s
            )
        signals = refused.signals
        return kept._replace(
            standing_queue=signals.standing_queue, in_flight=signals.in_flight,
            unfinished=signals.unfinished, slots=signals.slots, hold_s=signals.hold_s,
            wait_s=refused.decision.wait_s, age_s=signals.age_s,
        )  # fmt: skip
