"""A lane's breaker as pybreaker's API shows it. The only place that imports pybreaker."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

import pybreaker

from guard.core.vocabulary import BreakerPhase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
log = logging.getLogger("guard.breaker")


class Shown(Protocol):
    """What is shown; ``guard.breaker.LaneBreaker`` is one."""

    @property
    def phase(self) -> BreakerPhase:
        """The breaker's state."""
        ...

    @property
    def failures(self) -> int:
        """Failures that the window holds now."""
        ...

    @property
    def opened_ago_s(self) -> float | None:
        """Seconds since the breaker last opened."""
        ...

    def admits(self) -> bool:
        """Whether requests may use the database."""
        ...


class Storage(pybreaker.CircuitBreakerStorage):
    """Shows a lane's state to pybreaker.

    Every write is dropped: the state, the counters and the opening time are the core's, and
    pybreaker's ``open``, ``close`` and ``half_open`` therefore change nothing.
    ``GUARD_BREAKER`` is the way to force a state.

    Args:
        shown: whose state is shown.
        name: for people.
    """

    def __init__(self, shown: Shown, name: str) -> None:
        super().__init__(name)
        self._shown = shown

    @property
    def state(self) -> str:
        """The state, with pybreaker's names."""
        return self._shown.phase.value

    @state.setter
    def state(self, state: str) -> None:
        """Drop the write."""

    @property
    def counter(self) -> int:
        """Failures in the window; they need not be consecutive."""
        return self._shown.failures

    @property
    def success_counter(self) -> int:
        """Always 0: one good probe closes."""
        return 0

    @property
    def opened_at(self) -> datetime | None:
        """When the breaker last opened, in UTC, for people; None before it ever did.

        Reckoned back from the wall clock, so it moves where that is set; nothing is decided
        by it.
        """
        ago_s = self._shown.opened_ago_s
        if ago_s is None:
            return None
        return datetime.now(UTC) - timedelta(seconds=ago_s)  # noqa: TID251 - pybreaker wants a date

    @opened_at.setter
    def opened_at(self, opened_at: datetime) -> None:
        """Drop the write."""


class _HalfOpenState(pybreaker.CircuitHalfOpenState):
    """Refuses: the one trial is the probe, never a caller's function."""

    def before_call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ANN401, ARG002
        """Raise ``pybreaker.CircuitBreakerError``."""
        raise pybreaker.CircuitBreakerError("the database is being probed")


class View(pybreaker.CircuitBreaker):
    """A lane's breaker for code that knows pybreaker's API.

    ``call`` and ``calling`` raise ``pybreaker.CircuitBreakerError`` unless the lane admits; the
    function then runs without a lock. Its result counts in nothing: the database's door records
    outcomes, and a second count by the exception's type would blame the database for the
    client's faults. Listeners hear of each change once, outside every lock; ``fail_max`` has no
    meaning here.

    Args:
        shown: whose state is shown.
        name: the lane.
        open_s: shown as ``reset_timeout``: the first pause before a probe, seconds.
        listeners: pybreaker listeners.
    """

    def __init__(
        self,
        shown: Shown,
        name: str,
        open_s: float,
        listeners: Sequence[pybreaker.CircuitBreakerListener],
    ) -> None:
        self._shown = shown
        super().__init__(
            reset_timeout=open_s,
            listeners=listeners,
            state_storage=Storage(shown, name),
            name=name,
            # A caller's own exception must reach him even where the window holds many failures.
            throw_new_error_on_trip=False,
        )

    @property
    def state(self) -> Any:  # noqa: ANN401 - pybreaker's own union of its state classes
        """A pybreaker state object for the current state."""
        return self._as_state(self._shown.phase)

    @state.setter
    def state(self, state_str: str) -> None:
        """Drop the write: pybreaker would call the listeners here, under its lock."""

    def call(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:  # noqa: ANN401
        """Run ``func`` with its arguments and return its result.

        Raises:
            pybreaker.CircuitBreakerError: the lane's breaker does not admit.
        """
        if not self._shown.admits():
            raise pybreaker.CircuitBreakerError(f"the {self.name} lane's breaker is open")
        return pybreaker.CircuitClosedState(self).call(func, *args, **kwargs)

    def tell(self, before: BreakerPhase, after: BreakerPhase) -> None:
        """Tell every listener of a change; one that raises is logged and the rest still hear."""
        old, new = self._as_state(before), self._as_state(after)
        for listener in self.listeners:
            try:
                listener.state_change(self, old, new)
            except Exception:
                log.exception("a listener of the %s lane's breaker failed", self.name)

    def _as_state(self, phase: BreakerPhase) -> pybreaker.CircuitBreakerState:
        if phase is BreakerPhase.CLOSED:
            return pybreaker.CircuitClosedState(self)
        if phase is BreakerPhase.OPEN:
            return pybreaker.CircuitOpenState(self)
        return _HalfOpenState(self, None)
