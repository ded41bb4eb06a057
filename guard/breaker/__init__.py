"""A lane's circuit breaker: a lock around ``guard.core.breaker``, and its face to pybreaker.

pybreaker shows the state and never makes the call: its own ``call`` holds a lock while the
guarded function runs, and its half-open state lets everybody through. So the core decides, and
``LaneBreaker.view`` is a ``pybreaker.CircuitBreaker`` whose storage reads the core's state.
"""

from __future__ import annotations

from guard.breaker.lane import LaneBreaker
from guard.breaker.store import LocalStore, StateStore

__all__ = ["LaneBreaker", "LocalStore", "StateStore"]
