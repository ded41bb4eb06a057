"""Runs a lane's probes, in one worker of the host at a time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from guard import metrics
from guard.core import breaker as core
from guard.core.vocabulary import BreakerPhase

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.breaker.store import BreakerStore
    from guard.clock import Clock
    from guard.core.breaker_types import BreakerRules, BreakerState
    from guard.core.vocabulary import Lane
    from guard.events import Recorder

_PROBED: Final = frozenset({BreakerPhase.OPEN, BreakerPhase.HALF_OPEN})
_REPORT_S: Final = 1.0
"""A probe's result waits so long for another process's change."""

log = logging.getLogger("guard.breaker")


class Changed(Protocol):
    """The breaker whose state the probes change."""

    lane: Lane

    @property
    def state(self) -> BreakerState:
        """All that is remembered."""
        ...

    def change(self, change: Callable[[BreakerState], BreakerState], wait_s: float = ...) -> bool:
        """Change the shared state."""
        ...


class Prober:
    """Takes the lease, runs a probe, reports. Thread-safe.

    Args:
        breaker: hears the results.
        rules: the operator's settings.
        clock: the time.
        draw: gives uniform random numbers in ``[0, 1)``.
        recorder: counts the probes.
        store: has the leases.
    """

    def __init__(
        self,
        breaker: Changed,
        rules: BreakerRules,
        clock: Clock,
        draw: Callable[[], float],
        recorder: Recorder,
        store: BreakerStore,
    ) -> None:
        self._breaker = breaker
        self._rules = rules
        self._clock = clock
        self._draw = draw
        self._record = recorder
        self._store = store

    def configure(self, rules: BreakerRules) -> None:
        """Probe by other rules from now on."""
        self._rules = rules

    def run_if_due(self, probe: Callable[[], None]) -> bool:
        """Run ``probe`` where one is due; return whether it ran."""
        generation = self._begin()
        if generation is None:
            return False
        ok = False
        try:
            ok = self._answered(probe)
        finally:
            self._end(ok=ok, generation=generation)
        return True

    def check(self, probe: Callable[[], None]) -> None:
        """Run ``probe``; where it fails, open. Nothing where another worker is at it."""
        generation = self._breaker.state.generation
        if not self._store.take_lease(generation):
            return
        try:
            if not self._answered(probe):
                now_s, draw, rules = self._clock.now_s(), self._draw(), self._rules
                self._breaker.change(
                    lambda state: core.condemn(state, rules, generation, now_s, draw)
                )
        finally:
            self._store.free_lease(generation)

    def _answered(self, probe: Callable[[], None]) -> bool:
        lane, ok = self._breaker.lane, False
        try:
            probe()
            ok = True
        except Exception as error:  # noqa: BLE001 - whatever it is, the database did not answer
            log.info("the %s lane's probe failed: %s", lane, error)
        finally:
            self._record.add(metrics.BREAKER_PROBES, (lane.value, metrics.PROBE_OUTCOMES[not ok]))
        return ok

    def _begin(self) -> int | None:
        if self._breaker.state.phase not in _PROBED:
            return None
        now_s, draw, rules, store = self._clock.now_s(), self._draw(), self._rules, self._store
        begun: list[int] = []

        def change(state: BreakerState) -> BreakerState:
            state = core.expire_probe(state, rules, now_s, draw)
            orphaned = state.phase is BreakerPhase.HALF_OPEN and store.take_lease(state.generation)
            if orphaned:
                store.free_lease(state.generation)
            after = core.begin_probe(state, rules, now_s, orphaned=orphaned)
            if after is state:
                return state
            # Before the new state is in force: half-open without a lease means a dead prober.
            if not store.take_lease(after.generation):
                return state
            begun.append(after.generation)
            return after

        self._breaker.change(change)
        return begun[-1] if begun else None

    def _end(self, *, ok: bool, generation: int) -> None:
        now_s, draw, rules = self._clock.now_s(), self._draw(), self._rules
        try:
            self._breaker.change(
                lambda state: core.end_probe(
                    state, rules, ok=ok, generation=generation, now_s=now_s, draw=draw
                ),
                _REPORT_S,
            )
        finally:
            self._store.free_lease(generation)
