"""Queues that stand in front of the lanes, in the server that runs the application."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.events import Recorder


class QueueLength(NamedTuple):
    """A queue at one moment.

    Attributes:
        depth: what waits in it.
        capacity: its places.
    """

    depth: int
    capacity: int


class QueueWatch:
    """Publishes the queues' depths and capacities.

    Args:
        queues: for each of ``guard.metrics.QUEUES`` that the server has, what tells it; cheap.
        recorder: takes the gauges.
    """

    def __init__(self, queues: Mapping[str, Callable[[], QueueLength]], recorder: Recorder) -> None:
        self._queues = dict(queues)
        self._record = recorder

    def __call__(self, _now_s: float) -> None:
        """Look once."""
        for name, look in self._queues.items():
            found = look()
            self._record.set(metrics.QUEUE_DEPTH, (name,), found.depth)
            self._record.set(metrics.QUEUE_CAPACITY, (name,), found.capacity)
