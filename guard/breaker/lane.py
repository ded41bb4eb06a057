"""The shell around the breaker's rules: shared state, clock, metrics, log and listeners."""

from __future__ import annotations

import logging
from threading import Lock
from typing import TYPE_CHECKING, Final

from guard import metrics
from guard.breaker.faces import Faces
from guard.breaker.memory import FAILURE, OK, QUICK, SLOW
from guard.breaker.prober import Prober
from guard.breaker.store import BreakerStore
from guard.breaker.teller import Teller
from guard.clock import wall_s
from guard.core import breaker as core
from guard.core.vocabulary import BreakerPhase, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pybreaker

    from guard.breaker.view import Storage, View
    from guard.clock import Clock
    from guard.core.breaker_types import BreakerRules, BreakerState, Tally
    from guard.core.vocabulary import Lane
    from guard.events import Recorder

WAIT_S: Final = 0.005
"""A change that a request causes waits so long for another process's; the next one tries again."""
log = logging.getLogger("guard.breaker")


class LaneBreaker:
    """One lane's breaker, the same for all workers over one store.

    Thread-safe; logs and calls listeners outside every lock. What another worker has changed
    is seen by the next look at the shared memory, which every request takes (a word is
    compared); listeners hear of it from ``look``, which the watcher calls.

    Args:
        lane: whose database it watches.
        rules: the operator's settings.
        clock: the monotonic clock of all times here; all workers of a host read the same.
        draw: gives uniform random numbers in ``[0, 1)``.
        recorder: takes the state, the transitions and the outcomes.
        listeners: pybreaker listeners; ``view.add_listener`` takes more.
        store: where the state and the counts are; in this process where None.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - two of them are optional seams
        self,
        lane: Lane,
        rules: BreakerRules,
        clock: Clock,
        draw: Callable[[], float],
        recorder: Recorder,
        listeners: Sequence[pybreaker.CircuitBreakerListener] = (),
        store: BreakerStore | None = None,
    ) -> None:
        self.lane = lane
        self._rules = rules
        self._clock = clock
        self._draw = draw
        self._calls = {
            outcome: recorder.bind([(metrics.BREAKER_CALLS, (lane.value, outcome.value))], [])
            for outcome in Outcome
        }
        self._record = recorder
        # Guards what was seen of the store; never held while a listener or the log is called.
        self._lock = Lock()
        self._store = store or BreakerStore.local()
        self._commits = self._store.memory.commits
        self._store.memory.mode = rules.mode
        self._faces = Faces(self, lane.value, rules.open_s)
        self._teller = Teller(lane.value, self._faces.tell)
        self._seen, self._shown = self._store.read()
        self._settle(self._shown)
        self._prober = Prober(self, rules, clock, draw, recorder, self._store)
        for listener in listeners:
            self.view.add_listener(listener)

    @property
    def view(self) -> View:
        """A ``pybreaker.CircuitBreaker`` that shows the state and asks it before each call."""
        return self._faces.view

    @property
    def storage(self) -> Storage:
        """A pybreaker storage for breakers of the application's own making."""
        return self._faces.storage

    def admits(self) -> bool:
        """Whether any request may use the database; costs well under a microsecond."""
        if self._commits[0] != self._seen:
            self._refresh()
        return self._admits

    def admits_one(self) -> bool:
        """Whether this one request may: while recovering a share of them, drawn by lot."""
        if not self.admits():
            return False
        return not self._ramping or self._draw() < self.share()

    def share(self) -> float:
        """Share of the requests that may use the database, 0 to 1."""
        return core.share(self._shown, self._rules, self._clock.now_s())

    @property
    def generation(self) -> int:
        """Number of the breaker's current life; outcomes of an older one are ignored."""
        return self._shown.generation

    @property
    def state(self) -> BreakerState:
        """All that is remembered, as the host's workers see it now."""
        if self._commits[0] != self._seen:
            self._refresh()
        return self._shown

    @property
    def phase(self) -> BreakerPhase:
        """The breaker's state, or the one that a forced mode shows."""
        return core.shown_phase(self.state, self._rules)

    @property
    def failures(self) -> int:
        """Failures that the window holds now, over all workers."""
        return self._tallies(self.state)[0].failures

    def remaining_s(self) -> float:
        """Seconds until the next probe; 0 while closed."""
        return core.remaining_s(self.state, self._rules, self._clock.now_s())

    def record(self, outcome: Outcome, generation: int) -> None:
        """Hear how one use of the database, begun in ``generation``, has ended."""
        self._calls[outcome](0.0)
        if self._commits[0] != self._seen:
            self._refresh()
        if outcome is Outcome.NEUTRAL or generation != self._counting:
            return
        failed = outcome is Outcome.FAILURE
        self._count(FAILURE if failed else OK, generation)
        if failed:
            self._judge(generation)

    def held(self, held_s: float) -> None:
        """Hear for how long a connection was held; counts where slow calls are looked at."""
        rules = self._rules
        if rules.slow_s <= 0:
            return
        state = self.state
        if not core.counts_since(state, rules, self._clock.now_s() - held_s):
            return
        slow = held_s > rules.slow_s
        self._count(SLOW if slow else QUICK, state.generation)
        if slow:
            self._judge(state.generation)

    def configure(self, rules: BreakerRules) -> None:
        """Judge by other rules from now on; what was counted stays, and so does the phase.

        A mode that forces a state only covers the phase; back in ``auto`` it counts again.

        Args:
            rules: the new ones, with the same window: all workers count in its tenths.
        """
        with self._lock:
            self._rules = rules
            self._store.memory.mode = rules.mode
            self._settle(self._shown)
        self._prober.configure(rules)
        self._faces.configure(rules.open_s)

    def look(self) -> None:
        """See what other workers have changed, end a ramp that has held, tell listeners."""
        state = self.state
        rules, now_s = self._rules, self._clock.now_s()
        if core.end_ramp(state, rules, now_s) is not state:
            self.change(lambda state: core.end_ramp(state, rules, now_s))
        self._record.set(metrics.BREAKER_SHARE, (self.lane.value,), self.share())
        self._teller.tell()

    def run_probe_if_due(self, probe: Callable[[], None]) -> bool:
        """Run ``probe`` in this thread where one is due; return whether it ran.

        Only one worker of the host runs one at a time. Any exception is a failed probe; what
        is no ``Exception`` (a keyboard interrupt) goes on to the caller.
        """
        self.look()
        return self._rules.mode == "auto" and self._prober.run_if_due(probe)

    def check(self, probe: Callable[[], None]) -> None:
        """Run ``probe`` because a worker has no connection, or none comes back; open if it fails.

        Without a connection no request fails, and those that are held fail late, so no failure
        would be counted for long. Only one worker of the host checks at a time.
        """
        if self.state.generation == self._counting:
            self._prober.check(probe)

    def take_over(self) -> None:
        """Open because another host's breaker is open."""
        now_s, draw, rules = self._clock.now_s(), self._draw(), self._rules
        self.change(lambda state: core.take_over(state, rules, now_s, draw))

    def hasten(self) -> None:
        """Probe at once because another host's probe was answered."""
        now_s, rules = self._clock.now_s(), self._rules
        self.change(lambda state: core.hasten(state, rules, now_s))

    def move(self, phase: BreakerPhase) -> None:
        """Set the phase by hand, for every worker; nothing where a setting forces it."""
        now_s, draw, rules = self._clock.now_s(), self._draw(), self._rules
        self.change(lambda state: core.move(state, rules, phase, now_s, draw), wait_s=1.0)

    def change(
        self, change: Callable[[BreakerState], BreakerState], wait_s: float = WAIT_S
    ) -> bool:
        """Change the shared state; return False where another process was at it for ``wait_s``.

        Args:
            change: from the state to the new one; pure.
            wait_s: how long to wait for another process, seconds.
        """

        def stamped(state: BreakerState) -> BreakerState:
            after = change(state)
            opens = after.phase is BreakerPhase.OPEN is not state.phase
            return after._replace(opened_at_s=wall_s()) if opens else after

        with self._lock:
            done = self._store.update(stamped, wait_s)
            if done is None:
                return False
            commit, before, after = done
            if after.phase is not before.phase:
                # Counted by the worker that made the change, so that the host's sum is right.
                labels = (self.lane.value, before.phase.value, after.phase.value)
                self._record.add(metrics.BREAKER_TRANSITIONS, labels)
            self._take(commit, after)
        self._teller.tell()
        return True

    def _count(self, word: int, generation: int) -> None:
        now_s, window_s = self._clock.now_s(), self._rules.window_s
        self._store.window.count(word, generation, now_s, window_s)

    def _tallies(self, state: BreakerState) -> tuple[Tally, Tally]:
        tally, now_s, window_s = self._store.window.tally, self._clock.now_s(), self._rules.window_s
        of = state.generation
        return tally(of, now_s, window_s), tally(of, now_s, core.RECENT * window_s)

    def _judge(self, generation: int) -> None:
        rules, now_s = self._rules, self._clock.now_s()
        if rules.mode != "auto":
            return

        def judged(state: BreakerState) -> BreakerState:
            tallies = self._tallies(state)
            return core.judge(state, rules, tallies, generation, now_s, self._draw())

        # The counts are read again with the lock held, when those of all workers are settled.
        if judged(self._shown) is not self._shown:
            self.change(judged)

    def _refresh(self) -> None:
        # A thread that finds another one at it goes on with what was last seen.
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._take(*self._store.read())
        finally:
            self._lock.release()

    def _take(self, commit: int, state: BreakerState) -> None:
        if commit == self._seen:
            return
        last = self._shown.generation
        if state.generation > last:
            self._teller.add(self._store.changes(last + 1, state.generation))
        self._settle(state)
        self._seen = commit

    def _settle(self, state: BreakerState) -> None:
        self._shown = state
        phase = core.shown_phase(state, self._rules)
        counts = core.counts(state, self._rules, state.generation)
        self._counting = state.generation if counts else _NEVER
        self._ramping = phase is BreakerPhase.RECOVERING
        self._admits = self._ramping or phase is BreakerPhase.CLOSED
        # The gauges are set here, under the lock, so that a listener that hangs can't leave
        # them showing an older state; a recorder is cheap, never raises and calls nobody.
        lane = self.lane.value
        for each in BreakerPhase:
            self._record.set(metrics.BREAKER_STATE, (lane, each.value), float(phase is each))
        self._record.set(metrics.BREAKER_OPENED, (lane,), state.opened_at_s)
        self._record.set(metrics.BREAKER_SHARE, (lane,), self.share())


_NEVER: Final = 0  # generations begin at 1
