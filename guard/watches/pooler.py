"""Publishes what waits in a pooler between the backend and its database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.core.pooler import PoolerQueue
    from guard.events import Recorder


class PoolerWatch:
    """Sets the gauges of the pooler's queue, where somebody looks at it.

    Args:
        queue: tells what was last seen of it; None where nobody looks.
        recorder: takes the gauges.
    """

    def __init__(self, queue: Callable[[], PoolerQueue | None], recorder: Recorder) -> None:
        self._queue = queue
        self._record = recorder

    def __call__(self, _now_s: float) -> None:
        """Look once."""
        queue = self._queue()
        if queue is None:
            return
        self._record.set(metrics.QUEUE_DEPTH, (metrics.PGBOUNCER,), queue.waiting)
        self._record.set(metrics.PGBOUNCER_WAIT_OLDEST, (), queue.oldest_s)
        self._record.set(metrics.PGBOUNCER_SERVERS, ("active",), queue.active)
        self._record.set(metrics.PGBOUNCER_SERVERS, ("idle",), queue.idle)
