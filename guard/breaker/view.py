"""A lane's breaker as pybreaker's API shows it. The only place that imports pybreaker."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol, TypeVar

import pybreaker

from guard.core.vocabulary import BreakerPhase

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.core.breaker_types import BreakerState

T = TypeVar("T")
log = logging.getLogger("guard.breaker")

_WAIT_S: Final = 1.0


class Shown(Protocol):
    """What is shown; ``guard.breaker.LaneBreaker`` is one."""

    @property
    def state(self) -> BreakerState:
        """All that is remembered."""
        ...

    @property
    def phase(self) -> BreakerPhase:
        """The breaker's state."""
        ...

    @property
    def failures(self) -> int:
        """Failures that the window holds now."""
        ...

    def admits_one(self) -> bool:
        """Whether this one call may use the database."""
        ...

    def move(self, phase: BreakerPhase) -> None:
        """Set the phase by hand."""
        ...

    def change(self, change: Callable[[BreakerState], BreakerState], wait_s: float) -> bool:
        """Change what is remembered."""
        ...

    def look(self) -> None:
        """See what others have changed and tell listeners."""
        ...


class Storage(pybreaker.CircuitBreakerStorage):
    """A lane's state as the storage of ``pybreaker.CircuitBreaker`` objects. Thread-safe.

    They see the state that Guard and all workers of the host see, and what they write is in
    force for Guard too: an open one refuses requests. Guard probes it then like any other.
    Where ``GUARD_BREAKER`` forces a state, or only counts, a written state is dropped.

    The two counters are theirs alone, shared over the host: Guard's own counts stay apart.

    Args:
        shown: whose state it is.
        name: for people.
    """

    def __init__(self, shown: Shown, name: str) -> None:
        super().__init__(name)
        self._shown = shown

    @property
    def state(self) -> str:
        """The state with pybreaker's names; a recovering breaker is half-open."""
        return _name(self._shown.phase)

    @state.setter
    def state(self, state: str) -> None:
        """Set the state for every worker of the host.

        Raises:
            ValueError: pybreaker has no such state.
        """
        if state != _name(self._shown.phase):
            self._shown.move(BreakerPhase(state))

    def increment_counter(self) -> None:
        """Count a failure."""
        self._put(lambda state: state._replace(fail_counter=state.fail_counter + 1))

    def reset_counter(self) -> None:
        """Forget the failures."""
        self._put(lambda state: state._replace(fail_counter=0) if state.fail_counter else state)

    def increment_success_counter(self) -> None:
        """Count a success in half-open."""
        self._put(lambda state: state._replace(success_counter=state.success_counter + 1))

    def reset_success_counter(self) -> None:
        """Forget the successes."""
        self._put(
            lambda state: state._replace(success_counter=0) if state.success_counter else state
        )

    @property
    def counter(self) -> int:
        """Consecutive failures that were counted through this storage."""
        return self._shown.state.fail_counter

    @property
    def success_counter(self) -> int:
        """Successes in half-open that were counted through this storage."""
        return self._shown.state.success_counter

    @property
    def opened_at(self) -> datetime | None:
        """When the breaker last opened, UTC; None before it ever did."""
        opened_at_s = self._shown.state.opened_at_s
        return datetime.fromtimestamp(opened_at_s, UTC) if opened_at_s else None

    @opened_at.setter
    def opened_at(self, opened_at: datetime) -> None:
        """Set the time of the last opening; one without a zone is UTC, as pybreaker has it."""
        aware = opened_at if opened_at.tzinfo else opened_at.replace(tzinfo=UTC)
        self._put(lambda state: state._replace(opened_at_s=aware.timestamp()))

    def _put(self, change: Callable[[BreakerState], BreakerState]) -> None:
        if not self._shown.change(change, _WAIT_S):
            log.error("the %s lane's breaker is held by a stopped process", self.name)


class _ViewStorage(Storage):
    """The storage of Guard's own view: shows Guard's counts, and takes none of pybreaker's."""

    def increment_counter(self) -> None:
        """Count nothing."""

    def reset_counter(self) -> None:
        """Forget nothing."""

    @property
    def counter(self) -> int:
        """Failures in the window; they need not be consecutive."""
        return self._shown.failures


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
    client's faults. ``open``, ``half_open`` and ``close`` set the state by hand, for the host.
    Listeners hear of each change once, outside every lock; ``fail_max`` has no meaning here.

    Args:
        shown: whose state is shown.
        name: the lane.
        open_s: shown as ``reset_timeout``: the first pause before a probe, seconds.
    """

    def __init__(self, shown: Shown, name: str, open_s: float) -> None:
        self._shown = shown
        super().__init__(
            # Failures in the window must never make pybreaker's own rule open it.
            fail_max=sys.maxsize,
            reset_timeout=open_s,
            state_storage=_ViewStorage(shown, name),
            name=name,
            throw_new_error_on_trip=False,
        )

    @property
    def state(self) -> Any:  # noqa: ANN401 - pybreaker's own union of its state classes
        """A pybreaker state object for the current state."""
        return self._as_state(_name(self._shown.phase))

    @state.setter
    def state(self, state_str: str) -> None:
        """Set the state by hand; pybreaker's own setter would call listeners under its lock."""
        self._state_storage.state = state_str

    def open(self) -> bool:
        """Refuse from now on, in every worker, until a probe is answered."""
        self._shown.move(BreakerPhase.OPEN)
        return self._throw_new_error_on_trip

    def half_open(self) -> None:
        """Refuse, and probe at once."""
        self._shown.move(BreakerPhase.HALF_OPEN)

    def close(self) -> None:
        """Admit everybody from now on, in every worker."""
        self._shown.move(BreakerPhase.CLOSED)

    def call(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:  # noqa: ANN401
        """Run ``func`` with its arguments and return its result.

        Raises:
            pybreaker.CircuitBreakerError: the lane's breaker does not admit.
        """
        self._shown.look()
        if not self._shown.admits_one():
            raise pybreaker.CircuitBreakerError(f"the {self.name} lane's breaker is open")
        return pybreaker.CircuitClosedState(self).call(func, *args, **kwargs)

    def tell(self, before: BreakerPhase, after: BreakerPhase) -> None:
        """Tell every listener of a change; one that raises is logged and the rest still hear."""
        if _name(before) == _name(after):
            return
        old, new = self._as_state(_name(before)), self._as_state(_name(after))
        for listener in self.listeners:
            try:
                listener.state_change(self, old, new)
            except Exception:
                log.exception("a listener of the %s lane's breaker failed", self.name)

    def _as_state(self, name: str) -> pybreaker.CircuitBreakerState:
        if name == pybreaker.STATE_CLOSED:
            return pybreaker.CircuitClosedState(self)
        if name == pybreaker.STATE_OPEN:
            return pybreaker.CircuitOpenState(self)
        return _HalfOpenState(self, None)


def _name(phase: BreakerPhase) -> str:
    return BreakerPhase.HALF_OPEN if phase is BreakerPhase.RECOVERING else phase.value
