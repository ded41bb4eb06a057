"""The queues that only the server can see: the kernel's backlog and the executor's.

A connection waits first in the kernel until gunicorn accepts it, then, as a request, in the
executor until a thread is free; see ``docs/design.md``.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Any, Final

from guard import metrics
from guard.watches.exemplars import all_exemplars
from guard.watches.queues import QueueLength

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from guard.board import Board
    from guard.events import Exemplar
    from guard.gunicorn.kinds import Worker
    from guard.metrics import Sample

KERNEL: Final = "kernel"
EXECUTOR: Final = "executor"

_NOTHING: Final = QueueLength(0, 0)
# struct tcp_info: of a listener, tcpi_unacked and tcpi_sacked hold its accept queue and the
# bound on it.
_BACKLOG: Final = struct.Struct("24xII")


def backlog(listener: socket.socket) -> QueueLength:
    """Return what waits in the kernel to be accepted; costs about 1 us.

    Zeros for a socket that is not TCP, has been closed, or does not listen on Linux.
    """
    try:
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BACKLOG.size)
    except (OSError, AttributeError):
        return _NOTHING
    return QueueLength(*_BACKLOG.unpack(info)) if len(info) == _BACKLOG.size else _NOTHING


def executor_queue(worker: Worker) -> QueueLength:
    """Return how many requests wait for a thread of this gthread worker; zeros in any other.

    ``GuardWorker`` counts them itself; of plain gthread the executor's queue is looked at.

    The executor's queue itself has no bound: gthread stops to accept at
    ``worker_connections``, and each thread can hold one of them.
    """
    depth: int | None = getattr(worker, "queue_depth", None)
    if depth is None:
        waiting: Any = getattr(getattr(worker, "tpool", None), "_work_queue", None)
        if waiting is None:
            return _NOTHING
        depth = waiting.qsize()
    return QueueLength(depth, max(0, worker.cfg.worker_connections - worker.cfg.threads))


class HostSource:
    """What the workers measured, and the kernel's queue, which belongs to none of them.

    All workers accept from the same listeners: were each to tell their backlog, the sum would be
    as many times too large. The arbiter has them too, and is asked at each scrape.

    Args:
        workers: the board.
        listeners: gives gunicorn's listeners, which a reload may change.
    """

    def __init__(self, workers: Board, listeners: Callable[[], Sequence[object]]) -> None:
        self._workers = workers
        self._listeners = listeners

    def collect(self) -> Iterable[Sample]:
        """Return one sample per label set; see ``MetricSource``."""
        found = [backlog(each.sock) for each in self._listeners() if hasattr(each, "sock")]
        kernel = {
            metrics.QUEUE_DEPTH: sum(queue.depth for queue in found),
            metrics.QUEUE_CAPACITY: sum(queue.capacity for queue in found),
        }
        for sample in self._workers.collect():
            if sample.metric in kernel and sample.labels == (KERNEL,):
                yield sample._replace(value=float(kernel[sample.metric]))
            else:
                yield sample

    def exemplars(self) -> list[Exemplar]:
        """Return the youngest exemplars of all workers; see ``ExemplarSource``."""
        return all_exemplars(self._workers.notes().values())
