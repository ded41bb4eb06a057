"""Threads that give up the processor at random bytecodes of the breaker.

Threads alone prove little: with the breaker's lock taken away they hardly ever lose anything.
Both tests here fail at every seed without it.
"""

from __future__ import annotations

import random
import select
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pybreaker
import pytest

from guard import metrics
from guard.breaker import BreakerStore, LaneBreaker, lane, memory, prober, store, teller, window
from guard.core import breaker as core
from guard.core.breaker_types import BreakerRules
from guard.core.vocabulary import BreakerPhase, Lane, Outcome
from guard.testing import FakeClock, MemoryRecorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

THREADS = 4
SWITCHED = {part.__file__ for part in (lane, prober, store, memory, window, teller, core)}


def switching(work: Callable[[], None], seed: int) -> None:
    """Run ``work`` here, giving up the processor before many of the breaker's bytecodes."""
    rng = random.Random(seed)

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        del arg
        if frame.f_code.co_filename not in SWITCHED:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and rng.random() < 0.1:
            select.select([], [], [], 1e-6)
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)


def hammer(work: Callable[[], None], seed: int) -> None:
    start = threading.Barrier(THREADS)

    def run(number: int) -> None:
        start.wait(20)
        switching(work, seed * THREADS + number)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(run, range(THREADS)))


class Chain(pybreaker.CircuitBreakerListener):
    """Writes down the states that it hears of, and whether two calls ever overlapped."""

    def __init__(self) -> None:
        self.heard = [BreakerPhase.CLOSED.value]
        self.broken = False
        self._busy = threading.Lock()

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        del cb
        alone = self._busy.acquire(blocking=False)
        if not alone or old_state is None or old_state.name != self.heard[-1]:
            self.broken = True
        select.select([], [], [], 1e-5)
        self.heard.append(new_state.name)
        if alone:
            self._busy.release()


@pytest.mark.parametrize("seed", range(3))
def test_no_outcome_is_lost_between_threads(seed: int) -> None:
    rules = BreakerRules(mode="metrics")
    kept = BreakerStore.local()
    clock = FakeClock()
    breaker = LaneBreaker(Lane.READ, rules, clock, lambda: 0.0, MemoryRecorder(), store=kept)

    def work() -> None:
        for _ in range(10):
            breaker.record(Outcome.OK, breaker.generation)
            breaker.record(Outcome.FAILURE, breaker.generation)

    hammer(work, seed)
    each = 10 * THREADS
    tally = kept.window.tally(breaker.generation, clock.now_s(), rules.window_s)
    assert tally[:2] == (each, each)


@pytest.mark.parametrize("seed", range(3))
def test_probes_run_one_at_a_time_and_changes_are_told_in_order(seed: int) -> None:
    chain, recorder, clock = Chain(), MemoryRecorder(), FakeClock()
    rules = BreakerRules(min_calls=1, open_s=1.0, open_max_s=1.0, ramp_s=0.0)
    breaker = LaneBreaker(Lane.READ, rules, clock, lambda: 0.0, recorder, [chain])
    inside = threading.Lock()
    overlaps = []
    ran = []

    def probe() -> None:
        alone = inside.acquire(blocking=False)
        overlaps.append(not alone)
        select.select([], [], [], 1e-4)
        if alone:
            inside.release()

    def work() -> None:
        for _ in range(12):
            breaker.record(Outcome.FAILURE, breaker.generation)
            clock.advance(1.0)
            ran.append(breaker.run_probe_if_due(probe))

    hammer(work, seed)
    assert overlaps
    assert not any(overlaps)
    assert ran.count(True) == len(overlaps)
    assert not chain.broken
    assert chain.heard[-1] == breaker.phase
    changes = {
        (before.value, after.value): recorder.value(
            metrics.BREAKER_TRANSITIONS, ("read", before.value, after.value)
        )
        for before in BreakerPhase
        for after in BreakerPhase
    }
    told = list(zip(chain.heard, chain.heard[1:], strict=False))
    assert changes == {change: told.count(change) for change in changes}
    shown = [recorder.value(metrics.BREAKER_STATE, ("read", phase.value)) for phase in BreakerPhase]
    assert shown == [float(phase is breaker.phase) for phase in BreakerPhase]
