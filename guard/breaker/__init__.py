"""A lane's circuit breaker, one for all workers of a host, and its face to pybreaker.

The rules are in ``guard.core.breaker``; ``LaneBreaker`` applies them to a state and counts in
memory that the workers share (``memory``), under locks that a killed worker can't keep
(``locks``). pybreaker shows the state and never makes the call: its own ``call`` holds a lock
while the guarded function runs, and its half-open state lets everybody through. So the core
decides, and ``LaneBreaker.view`` is a ``pybreaker.CircuitBreaker`` whose storage reads it.
"""

from __future__ import annotations

from guard.breaker.lane import LaneBreaker
from guard.breaker.store import BreakerStore

__all__ = ["BreakerStore", "LaneBreaker"]
