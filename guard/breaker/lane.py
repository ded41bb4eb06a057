"""The shell around the breaker's rules: lock, clock, metrics, log and listeners."""

from __future__ import annotations

import logging
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

from guard import metrics
from guard.breaker.store import LocalStore
from guard.breaker.view import View
from guard.core import breaker as core
from guard.core.vocabulary import BreakerPhase, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pybreaker

    from guard.breaker.store import StateStore
    from guard.clock import Clock
    from guard.core.breaker import BreakerRules, BreakerState
    from guard.core.vocabulary import Lane
    from guard.events import Recorder

Change = tuple[BreakerPhase, BreakerPhase]
log = logging.getLogger("guard.breaker")


class LaneBreaker:
    """One lane's breaker. Thread-safe; logs and calls listeners outside every lock.

    Args:
        lane: whose database it watches.
        rules: the operator's settings.
        clock: the monotonic clock of all times here.
        draw: gives uniform random numbers in ``[0, 1)``.
        recorder: takes the state, the transitions and the outcomes.
        listeners: pybreaker listeners; ``view.add_listener`` takes more.
        store: where the state lives; in this process where None.

    Attributes:
        view: the same state for code that knows pybreaker's API.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - two of them are optional seams
        self,
        lane: Lane,
        rules: BreakerRules,
        clock: Clock,
        draw: Callable[[], float],
        recorder: Recorder,
        listeners: Sequence[pybreaker.CircuitBreakerListener] = (),
        store: StateStore | None = None,
    ) -> None:
        self._lane = lane
        self._rules = rules
        self._clock = clock
        self._draw = draw
        self._record = recorder
        self._lock = Lock()
        self._store: StateStore = store or LocalStore(core.initial(rules))
        self._shown = self._store.load()
        self._admits = core.admits(self._shown, rules)
        self._opened_s: float | None = None
        self._untold: deque[Change] = deque()
        self._telling = False
        self.view = View(self, lane.value, rules.open_s, listeners)
        self._show_phase(self._shown.phase)

    def admits(self) -> bool:
        """Whether requests may use the database."""
        return self._admits

    @property
    def generation(self) -> int:
        """Number of the breaker's current life; outcomes of an older one are ignored."""
        return self._shown.generation

    @property
    def phase(self) -> BreakerPhase:
        """The breaker's state."""
        return self._shown.phase

    @property
    def failures(self) -> int:
        """Failures that the window holds now."""
        return core.counted(self._store.load(), self._rules, self._clock.now_s())[1]

    @property
    def opened_ago_s(self) -> float | None:
        """Seconds since the breaker last opened; None where this process saw no opening."""
        opened_s = self._opened_s
        return None if opened_s is None else self._clock.now_s() - opened_s

    def remaining_s(self) -> float:
        """Seconds until the next probe; 0 while closed."""
        return core.remaining_s(self._shown, self._clock.now_s())

    def record(self, outcome: Outcome, generation: int) -> None:
        """Hear how one use of the database, begun in ``generation``, has ended."""
        self._record.add(metrics.BREAKER_CALLS, (self._lane.value, outcome.value))
        if outcome is Outcome.NEUTRAL:
            return
        now_s, draw, rules = self._clock.now_s(), self._draw(), self._rules
        self._update(lambda state: core.record(state, rules, outcome, generation, now_s, draw))

    def run_probe_if_due(self, probe: Callable[[], None]) -> bool:
        """Run ``probe`` in this thread where one is due; return whether it ran.

        Only one runs at a time. Any exception is a failed probe; what is no ``Exception``
        (a keyboard interrupt) goes on to the caller.
        """
        generation = self._begin_probe()
        if generation is None:
            return False
        ok = False
        try:
            probe()
            ok = True
        except Exception as error:  # noqa: BLE001 - whatever it is, the database did not answer
            log.info("the %s lane's probe failed: %s", self._lane, error)
        finally:
            now_s, draw, rules = self._clock.now_s(), self._draw(), self._rules
            self._update(
                lambda state: core.end_probe(
                    state, rules, ok=ok, generation=generation, now_s=now_s, draw=draw
                )
            )
        return True

    def _begin_probe(self) -> int | None:
        # Loading also shows what another process has changed in a shared store.
        if self._store.load().phase is BreakerPhase.CLOSED is self._shown.phase:
            return None
        now_s, draw, rules = self._clock.now_s(), self._draw(), self._rules
        begun: list[bool] = []

        def change(state: BreakerState) -> BreakerState:
            # Whether one is due is asked again in here: since the load above another thread
            # may have run the probe, failed and begun a longer pause.
            state = core.expire_probe(state, rules, now_s, draw)
            begun.append(core.probe_due(state, rules, now_s))
            return core.begin_probe(state, rules, now_s)

        state = self._update(change)
        return state.generation if begun[-1] else None

    def _update(self, change: Callable[[BreakerState], BreakerState]) -> BreakerState:
        with self._lock:
            state = self._store.update(change)
            if state.generation != self._shown.generation:
                self._show(state)
        if self._untold:
            self._tell()
        return state

    def _show(self, state: BreakerState) -> None:
        before, self._shown = self._shown.phase, state
        self._admits = core.admits(state, self._rules)
        if before is state.phase:
            return  # another process changed a shared state twice since it was last looked at
        if state.phase is BreakerPhase.OPEN:
            self._opened_s = self._clock.now_s()
        # The metrics are set here, under the lock, so that a listener that hangs can't leave
        # them showing an older state; a recorder is cheap, never raises and calls nobody.
        self._record.add(
            metrics.BREAKER_TRANSITIONS, (self._lane.value, before.value, state.phase.value)
        )
        self._show_phase(state.phase)
        self._untold.append((before, state.phase))

    def _show_phase(self, shown: BreakerPhase) -> None:
        for phase in BreakerPhase:
            labels = (self._lane.value, phase.value)
            self._record.set(metrics.BREAKER_STATE, labels, float(phase is shown))

    def _tell(self) -> None:
        # One thread tells at a time, so that changes are told in their order with no lock
        # held; a listener that causes a change itself finds it told after its own return.
        while True:
            with self._lock:
                if self._telling or not self._untold:
                    return
                self._telling = True
                before, after = self._untold.popleft()
            try:
                log.warning(
                    "the %s lane's breaker is %s, was %s", self._lane, after, before,
                    extra={
                        "guard_event": "breaker", "guard_lane": self._lane.value,
                        "guard_from": before.value, "guard_to": after.value,
                    },
                )  # fmt: skip
                self.view.tell(before, after)
            finally:
                self._telling = False
