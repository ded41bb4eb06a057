"""A lane's circuit breaker: a lock around ``guard.core.breaker``, and its face to pybreaker.

pybreaker shows the state and never makes the call: its own ``call`` holds a lock while the
guarded function runs, and its half-open state lets everybody through. So the core decides, and
``LaneBreaker.view`` is a ``pybreaker.CircuitBreaker`` whose storage reads the core's state.
"""

from __future__ import annotations

import logging
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import pybreaker

from guard import metrics
from guard.breaker_store import LocalStore
from guard.core import breaker as core
from guard.core.vocabulary import BreakerPhase, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from guard.breaker_store import StateStore
    from guard.clock import Clock
    from guard.core.breaker import BreakerRules, BreakerState
    from guard.core.vocabulary import Lane
    from guard.events import Recorder

T = TypeVar("T")
Change = tuple[BreakerPhase, BreakerPhase]
log = logging.getLogger("guard.breaker")


class LaneBreaker:
    """One lane's breaker. Thread-safe; calls listeners, recorder and log outside its lock.

    Args:
        lane: whose database it watches.
        rules: the operator's settings.
        clock: the monotonic clock of all times here.
        draw: gives uniform random numbers in ``[0, 1)``.
        recorder: takes the state, the transitions and the outcomes.
        listeners: pybreaker listeners; ``view.add_listener`` takes more.
        store: where the state lives; in this process where None.
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
        self._untold: deque[Change] = deque()
        self._telling = False
        self.view = View(self, lane.value, listeners)
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
            state = core.expire(state, rules, now_s, draw)
            begun.append(core.probe_due(state, rules, now_s))
            return core.begin_probe(state, rules, now_s)

        state = self._update(change)
        return state.generation if begun[-1] else None

    def _update(self, change: Callable[[BreakerState], BreakerState]) -> BreakerState:
        with self._lock:
            state = self._store.update(change)
            if state.generation != self._shown.generation:
                before, self._shown = self._shown.phase, state
                self._admits = core.admits(state, self._rules)
                self._untold.append((before, state.phase))
        if self._untold:
            self._tell()
        return state

    def _tell(self) -> None:
        # One thread tells at a time, so that changes are told in their order with no lock
        # held; a listener that causes a change itself finds it told after its own return.
        while True:
            with self._lock:
                if self._telling or not self._untold:
                    return
                self._telling = True
                change = self._untold.popleft()
            try:
                self._tell_one(*change)
            finally:
                self._telling = False

    def _tell_one(self, before: BreakerPhase, after: BreakerPhase) -> None:
        if before is after:
            return  # another process changed a shared state twice since it was last looked at
        labels = (self._lane.value, before.value, after.value)
        self._record.add(metrics.BREAKER_TRANSITIONS, labels)
        self._show_phase(after)
        log.warning("the %s lane's breaker is %s, was %s", self._lane, after, before)
        self.view.tell(before, after)

    def _show_phase(self, shown: BreakerPhase) -> None:
        for phase in BreakerPhase:
            labels = (self._lane.value, phase.value)
            self._record.set(metrics.BREAKER_STATE, labels, float(phase is shown))


class Storage(pybreaker.CircuitBreakerStorage):
    """Shows a lane's state to pybreaker.

    Every write is dropped: the state, the counters and the opening time are the core's, and
    pybreaker's ``open``, ``close`` and ``half_open`` therefore change nothing.
    ``GUARD_BREAKER`` is the way to force a state.

    Args:
        lane_breaker: whose state is shown.
        name: for people.
    """

    def __init__(self, lane_breaker: LaneBreaker, name: str) -> None:
        super().__init__(name)
        self._lane_breaker = lane_breaker

    @property
    def state(self) -> str:
        """The state, with pybreaker's names."""
        return self._lane_breaker.phase.value

    @state.setter
    def state(self, state: str) -> None:
        """Drop the write."""

    @property
    def counter(self) -> int:
        """Failures in the window; they need not be consecutive."""
        return self._lane_breaker.failures

    @property
    def success_counter(self) -> int:
        """Always 0: one good probe closes."""
        return 0

    @property
    def opened_at(self) -> datetime | None:
        """Always None: times here are monotonic and have no date."""
        return None

    @opened_at.setter
    def opened_at(self, datetime: datetime) -> None:
        """Drop the write."""


class View(pybreaker.CircuitBreaker):
    """A lane's breaker for code that knows pybreaker's API.

    ``call`` and ``calling`` raise ``pybreaker.CircuitBreakerError`` unless the lane admits; the
    function then runs without a lock. Its result counts in nothing: the database's door records
    outcomes, and a second count by the exception's type would blame the database for the
    client's faults. Listeners hear of each change once, outside every lock.

    Args:
        lane_breaker: whose state is shown.
        name: the lane.
        listeners: pybreaker listeners.
    """

    def __init__(
        self,
        lane_breaker: LaneBreaker,
        name: str,
        listeners: Sequence[pybreaker.CircuitBreakerListener],
    ) -> None:
        self._lane_breaker = lane_breaker
        super().__init__(
            listeners=listeners,
            state_storage=Storage(lane_breaker, name),
            name=name,
            throw_new_error_on_trip=False,
        )

    @property
    def state(self) -> Any:  # noqa: ANN401 - pybreaker's own union of its state classes
        """A pybreaker state object for the current state."""
        return self._create_new_state(self.current_state)

    @state.setter
    def state(self, state_str: str) -> None:
        """Drop the write: pybreaker would call the listeners here, under its lock."""

    def call(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:  # noqa: ANN401
        """Run ``func`` with its arguments and return its result.

        Raises:
            pybreaker.CircuitBreakerError: the lane's breaker does not admit.
        """
        if not self._lane_breaker.admits():
            raise pybreaker.CircuitBreakerError(f"the {self.name} lane's breaker is open")
        return pybreaker.CircuitClosedState(self).call(func, *args, **kwargs)

    def tell(self, before: BreakerPhase, after: BreakerPhase) -> None:
        """Tell every listener of a change; one that raises is logged and the rest still hear."""
        old, new = self._create_new_state(before.value), self._create_new_state(after.value)
        for listener in self.listeners:
            try:
                listener.state_change(self, old, new)
            except Exception:
                log.exception("a listener of the %s lane's breaker failed", self.name)
