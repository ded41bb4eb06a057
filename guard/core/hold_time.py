"""The moving average of how long a slot is held."""

from __future__ import annotations

WEIGHT = 0.05
"""Weight of one new value: after a step the average is within 10 % in 45 uses. At 0.1 one stalled
commit, which held both of two readers for a quarter of a second, made the lane refuse the burst
that had gathered behind it, although it drained at once."""

FIRST_GUESS_S = 0.005
"""Before anything was measured; small, so that a cold start admits."""


def update(average_s: float, held_s: float) -> float:
    """Return the exponentially weighted average after one use of ``held_s`` seconds (>= 0)."""
    return average_s + WEIGHT * (held_s - average_s)
