"""Something that goes at different speeds at different times: a database, the load on it."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

FROZEN: Final = 0.0
"""Nothing goes on, and goes on from there afterwards."""
AWAY: Final = -1.0
"""What is under way fails at once, and so does what begins."""


class Stage(NamedTuple):
    """A part of a timeline; it lasts until the next one begins.

    Attributes:
        from_s: when it begins, seconds.
        speed: 1 as usual, 0.2 five times slower, ``FROZEN`` or ``AWAY``.
    """

    from_s: float
    speed: float


class End(NamedTuple):
    """When something ends, and how.

    Attributes:
        at_s: when, seconds; ``inf`` for never.
        ok: False where it was cut off.
    """

    at_s: float
    ok: bool


class Timeline:
    """Speeds over time; before the first stage it is 1. Immutable.

    Args:
        stages: in their order.

    Attributes:
        edges_s: when its stages begin.
        speeds: before the first of them, and in each.

    Raises:
        ValueError: the stages are not in their order.
    """

    __slots__ = ("edges_s", "speeds")

    def __init__(self, stages: Sequence[Stage] = ()) -> None:
        self.edges_s = [stage.from_s for stage in stages]
        if self.edges_s != sorted(self.edges_s):
            raise ValueError("a timeline's stages are given in their order")
        self.speeds = [1.0, *(stage.speed for stage in stages)]

    def speed(self, at_s: float) -> float:
        """Return the speed at a time."""
        return self.speeds[bisect_right(self.edges_s, at_s)] if self.edges_s else 1.0

    def end(self, begin_s: float, work_s: float) -> End:
        """Return when what takes ``work_s`` seconds at speed 1 and begins at ``begin_s`` ends."""
        edges_s, speeds = self.edges_s, self.speeds
        if not edges_s:
            return End(begin_s + work_s, ok=True)
        at_s = begin_s
        for number in range(bisect_right(edges_s, begin_s), len(speeds)):
            speed = speeds[number]
            if speed < 0:
                return End(at_s, ok=False)
            until_s = edges_s[number] if number < len(edges_s) else inf
            if speed and at_s + work_s / speed <= until_s:
                return End(at_s + work_s / speed, ok=True)
            work_s -= (until_s - at_s) * speed if speed else 0.0
            at_s = until_s
        return End(inf, ok=True)

    def work_s(self, begin_s: float, end_s: float) -> float:
        """Return how much gets done between two times, in seconds at speed 1."""
        inner_s = [at_s for at_s in self.edges_s if begin_s < at_s < end_s]
        edges_s = [begin_s, *inner_s, end_s]
        return sum(
            max(0.0, self.speed(from_s)) * (to_s - from_s) for from_s, to_s in pairwise(edges_s)
        )


ALWAYS: Final = Timeline()
"""Speed 1 at all times."""
