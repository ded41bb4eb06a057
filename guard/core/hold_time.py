"""The moving average of how long a slot is held."""

from __future__ import annotations

WEIGHT = 0.1
"""Weight of one new value: after a step the average is within 10 % in 22 uses."""

FIRST_GUESS_S = 0.005
"""Before anything was measured; small, so that a cold start admits."""


def update(average_s: float, held_s: float) -> float:
    """Return the exponentially weighted average after one use of ``held_s`` seconds (>= 0)."""
    return average_s + WEIGHT * (held_s - average_s)
