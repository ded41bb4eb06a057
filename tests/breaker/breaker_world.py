"""A breaker with its parts at hand, for its tests."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Never

import pybreaker

from guard import metrics
from guard.breaker import LaneBreaker
from guard.core.breaker_types import BreakerRules
from guard.core.vocabulary import BreakerPhase, Lane, Outcome
from guard.testing import FakeClock, MemoryRecorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.breaker import BreakerStore


# No ramp: what one means has tests of its own.
RULES = BreakerRules(min_calls=2, open_s=1.0, open_max_s=4.0, ramp_s=0.0)


PATIENCE_S = 20.0
"""Generous: the tests wait for what must happen, and measure nothing."""


def until(true: Callable[[], object]) -> None:
    """Wait until ``true`` says so; fails after ``PATIENCE_S``."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end
        os.sched_yield()


class World:
    """A breaker with its parts at hand."""

    def __init__(
        self, *listeners: Listener, store: BreakerStore | None = None, **rules: object
    ) -> None:
        self.clock = FakeClock()
        self.recorder = MemoryRecorder()
        self.breaker = LaneBreaker(
            Lane.READ, RULES._replace(**rules), self.clock, lambda: 0.0, self.recorder,
            listeners, store,
        )  # fmt: skip

    def fail(self, times: int = 2) -> None:
        for _ in range(times):
            self.breaker.record(Outcome.FAILURE, self.breaker.generation)

    def shown(self) -> set[BreakerPhase]:
        return {
            phase
            for phase in BreakerPhase
            if self.recorder.value(metrics.BREAKER_STATE, ("read", phase.value))
        }

    def changes(self, before: BreakerPhase, after: BreakerPhase) -> float:
        labels = ("read", before.value, after.value)
        return self.recorder.value(metrics.BREAKER_TRANSITIONS, labels)


class Listener(pybreaker.CircuitBreakerListener):
    """Writes down what it hears; may check or raise."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.heard = []
        self.then = then

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        self.heard.append((cb.name, old_state.name, new_state.name))
        self.then()


def answer() -> None:
    """Stand for a database that answers."""


def no_answer() -> Never:
    raise OSError("away")
