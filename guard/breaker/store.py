"""Where a breaker's state lives; the seam for a store that several processes share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.core.breaker import BreakerState


class StateStore(Protocol):
    """Where a breaker's state lives: in this process, or shared with others.

    A shared one must be atomic over processes; within one, the breaker serialises updates.
    """

    def load(self) -> BreakerState:
        """Return the current state; cheap, never blocks."""
        ...

    def update(self, change: Callable[[BreakerState], BreakerState]) -> BreakerState:
        """Replace the state by ``change`` of it, atomically, and return the new one.

        ``change`` is pure and may be asked more than once.
        """
        ...


class LocalStore:
    """The state in this process, guarded by its breaker's lock.

    Args:
        state: the state to start with.
    """

    def __init__(self, state: BreakerState) -> None:
        self._state = state

    def load(self) -> BreakerState:
        """Return the current state."""
        return self._state

    def update(self, change: Callable[[BreakerState], BreakerState]) -> BreakerState:
        """Replace the state and return the new one."""
        self._state = change(self._state)
        return self._state
