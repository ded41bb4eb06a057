"""A model of the lane as it would be if the guard enforced what it decides.

Shadow mode admits against its own decision, so the real lane fills with requests that would have
been shed: a decision by the real queue would foretell far too many refusals. Here only the
requests count that would have been admitted. They are served first come, first served, by P
servers, each for the lane's average hold time; a request that finds n others starts when all
but P - 1 of them have ended.

The model's time is that of the requests' arrival, not of their decision: in shadow mode they wait
for a thread in front of the guard, and come to it only as fast as they are served.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from math import inf
from typing import Final

from guard.core import codel

UNFINISHED_MAX: Final = 4096
"""More can't be unfinished within any limits; whatever comes on top is not modelled."""


class ShadowLane:
    """What would be unfinished in a lane. Not thread-safe.

    Attributes:
        codel: whether the queue would stand.
    """

    __slots__ = ("_ends_s", "_now_s", "codel")

    def __init__(self) -> None:
        self._ends_s: list[float] = []
        self._now_s = -inf
        self.codel = codel.Codel()

    def unfinished(self, arrived_s: float) -> int:
        """Return how many requests would be unfinished when one arrives.

        Args:
            arrived_s: when, seconds. The model never goes back: one that is told late comes now.
        """
        self._now_s = max(self._now_s, arrived_s)
        del self._ends_s[: bisect_right(self._ends_s, self._now_s)]
        return len(self._ends_s)

    def standing(self) -> bool:
        """Return whether the queue would stand at the last arrival."""
        return codel.standing(self.codel, self._now_s)

    def enter(self, arrived_s: float, slots: int, hold_s: float, target_s: float) -> None:
        """Add a request that would have been admitted.

        Args:
            arrived_s: when it arrived, seconds.
            slots: requests that are served at once, >= 1.
            hold_s: how long each is served, seconds.
            target_s: the wait over which a queue stands, seconds.
        """
        ahead = self.unfinished(arrived_s)
        if ahead >= UNFINISHED_MAX:
            return
        starts_s = self._now_s if ahead < slots else self._ends_s[ahead - slots]
        insort(self._ends_s, starts_s + hold_s)
        self.codel = codel.observe(self.codel, starts_s - self._now_s, target_s, self._now_s)
