"""Hears the backend and tells both who must know: the controller's averages and the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from guard import metrics
from guard.core.vocabulary import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.controller import Controller
    from guard.core.vocabulary import Lane
    from guard.events import Recorder


class HoldListener(Protocol):
    """Hears for how long connections are held; a breaker is one."""

    def held(self, held_s: float) -> None:
        """A connection was held for ``held_s`` seconds."""
        ...


class PoolMeter:
    """The PoolObserver of a guarded worker. Thread-safe; holds no lock of its own.

    The backend is made before the controller, which asks it for its slots; ``controller`` is
    set once both exist. ``breakers`` is set where they look at durations.

    Args:
        recorder: takes the measurements.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.controller: Controller | None = None
        self.breakers: Mapping[Lane, HoldListener] = {}
        self._record = recorder

    def acquired(self, lane: Lane, waited_s: float, *, got: bool) -> None:
        """Count a wait for a connection; a time-out is a wait too."""
        outcome = "ok" if got else "timeout"
        self._record.observe(metrics.ACQUIRE_WAIT, (lane.value, outcome), waited_s)
        if self.controller is not None:
            self.controller.waited(lane, waited_s)

    def released(self, lane: Lane, held_s: float, outcome: Outcome) -> None:
        """Count the time for which a connection was held."""
        self._record.observe(metrics.POOL_USE, (lane.value, outcome.value), held_s)
        if self.controller is not None:
            self.controller.held(lane, held_s)
        if self.breakers:
            self.breakers[lane].held(held_s)

    def queried(self, lane: Lane, took_s: float, outcome: Outcome) -> None:
        """Count one statement."""
        self._record.observe(metrics.QUERY_DURATION, (lane.value, outcome.value), took_s)

    def failed(self, lane: Lane, kind: str) -> None:
        """Count an error."""
        self._record.add(metrics.DB_ERRORS, (lane.value, kind))

    def disconnected(self, lane: Lane) -> None:
        """Tell the lane's breaker of a failure that no request had.

        With no connection left requests are refused early, so they can't tell it. While the
        database is being opened for the first time nothing is told: the refusals have a
        reason of their own, and the breaker's pause must not come after it.
        """
        if self.controller is None or self.controller.serving() is not Reason.OK:
            return
        breaker = self.controller.breaker(lane)
        if breaker is not None:
            breaker.record(Outcome.FAILURE, breaker.generation)

    def batched(self, size: int) -> None:
        """Count a batch of the single writer."""
        self._record.observe(metrics.BATCH_SIZE, (), size)

    def lock_waited(self, lane: Lane, waited_s: float) -> None:
        """Count a wait for the single writer."""
        self._record.observe(metrics.LOCK_WAIT, (lane.value,), waited_s)

    def locks_sampled(self, lane: Lane, waiters: int, oldest_s: float, waited_s: float) -> None:
        """Take one sample of PostgreSQL's lock waits."""
        self._record.set(metrics.LOCK_WAITERS, (lane.value,), waiters)
        self._record.set(metrics.LOCK_WAIT_OLDEST, (lane.value,), oldest_s)
        self._record.add(metrics.LOCK_WAITED_TOTAL, (lane.value,), waited_s)
