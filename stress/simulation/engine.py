"""Virtual time: what happens next, and when."""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Engine:
    """A heap of events and the clock that they move (a ``guard.clock.Clock``). Not thread-safe.

    Events of one moment happen in the order in which they were planned, so a run is determined
    by what its events do.

    Args:
        start_s: where the clock starts, seconds, >= 0.

    Attributes:
        now: the time, seconds. An attribute since it is read several times per request.
        done: events that have happened.
    """

    __slots__ = ("_events", "_planned", "_stopped", "done", "now")

    def __init__(self, start_s: float = 0.0) -> None:
        self.now = start_s
        self.done = 0
        self._events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._planned = 0
        self._stopped = False

    def now_s(self) -> float:
        """Return the time, seconds."""
        return self.now

    def at(self, at_s: float, call: Callable[..., None], *args: object) -> None:
        """Plan a call.

        Args:
            at_s: when, seconds; not before now.
            call: what happens.
            args: what it is called with.

        Raises:
            ValueError: ``at_s`` is in the past.
        """
        if at_s < self.now:
            raise ValueError(f"{at_s} s is before now, {self.now} s")
        self._planned += 1
        heappush(self._events, (at_s, self._planned, call, args))

    def run(self, until_s: float = inf) -> None:
        """Let everything happen that is due by ``until_s``, or until somebody calls ``stop``."""
        events = self._events
        self._stopped = False
        done = 0
        while events and events[0][0] <= until_s and not self._stopped:
            self.now, _, call, args = heappop(events)
            done += 1
            call(*args)
        self.done += done

    def stop(self) -> None:
        """End ``run`` after the event under way; what is planned stays planned."""
        self._stopped = True
