"""One thread per worker that looks five times a second: gauges, heartbeat, breaker probes.

It only looks at values in this process, so it works while every request thread is busy. A
probe may block for its time-out; each breaker is therefore probed from a thread of its own.
"""

from __future__ import annotations

import logging
from threading import Event, Thread
from typing import TYPE_CHECKING, Protocol

from guard import metrics
from guard.core.vocabulary import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guard.backends.base import Backend
    from guard.controller import Controller
    from guard.events import Recorder

PERIOD_S = 0.2
log = logging.getLogger("guard.watcher")


class Probed(Protocol):
    """A breaker that asks for its probe."""

    def run_probe_if_due(self, probe: Callable[[], None]) -> bool:
        """Run the probe where one is due; return whether it ran."""
        ...


class Watcher:
    """Publishes a worker's gauges and drives its breakers' probes until stopped.

    Args:
        controller: gives the lanes' load.
        backend: gives the pools' signals and answers probes; None where there is none.
        recorder: takes the gauges.
        breakers: the breakers to probe.
        ready: tells whether the worker is open for requests.
        probe_timeout_s: longest time of a probe.
        single_writer: whether the write lane's waiters stand in one writer's queue (DuckDB).
        also: called with the time at each look; see ``guard.watches``.
    """

    def __init__(  # noqa: PLR0913 - two of them are optional
        self,
        controller: Controller,
        backend: Backend | None,
        recorder: Recorder,
        breakers: Mapping[Lane, Probed],
        *,
        ready: Callable[[], bool],
        probe_timeout_s: float,
        single_writer: bool = False,
        also: Sequence[Callable[[float], None]] = (),
    ) -> None:
        self._controller = controller
        self._backend = backend
        self._record = recorder
        self._ready = ready
        self._single_writer = single_writer
        self._also = also
        self._stop = Event()
        self._threads = [Thread(target=self._watch, name="guard-watcher", daemon=True)]
        if backend is not None:
            self._threads += [
                Thread(
                    target=self._probe, args=(lane, breaker, backend, probe_timeout_s),
                    name=f"guard-probe-{lane}", daemon=True,
                )
                for lane, breaker in breakers.items()
            ]  # fmt: skip

    def start(self) -> None:
        """Publish once, then start the threads."""
        self.publish(0.0)
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End the threads; waits for each at most ``timeout_s``."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s)
        self._record.set(metrics.WORKER_READY, (), 0.0)

    def publish(self, elapsed_s: float) -> None:
        """Set every gauge of this worker; ``elapsed_s`` is the time since the last call."""
        self._record.set(metrics.WORKER_READY, (), float(self._ready()))
        heartbeat = getattr(self._record, "heartbeat", None)
        if heartbeat is not None:
            heartbeat(self._controller.clock.now_s())
        waiting = {lane: self._publish_lane(lane, elapsed_s) for lane in Lane}
        writing = waiting[Lane.WRITE] if self._single_writer else 0
        self._record.set(metrics.QUEUE_DEPTH, ("writer",), writing)
        self._record.set(metrics.QUEUE_DEPTH, ("admission",), sum(waiting.values()) - writing)
        for look in self._also:
            look(self._controller.clock.now_s())

    def _publish_lane(self, lane: Lane, elapsed_s: float) -> int:
        load = self._controller.load(lane)
        limits = self._controller.rules.lanes[lane]
        self._record.set(metrics.INFLIGHT, (lane.value,), load.in_flight)
        self._record.set(metrics.LIMIT, (lane.value,), limits.permits_max)
        if self._backend is None:
            return 0
        pool = self._backend.signals(lane)
        busy = min(pool.in_use, pool.size)
        self._record.set(metrics.POOL_CONNECTIONS, (lane.value, "in_use"), busy)
        self._record.set(metrics.POOL_CONNECTIONS, (lane.value, "idle"), pool.size - busy)
        self._record.set(metrics.POOL_MAX, (lane.value,), pool.size_max)
        self._record.set(metrics.POOL_WAITERS, (lane.value,), pool.waiting)
        if pool.size <= busy:
            self._record.add(metrics.POOL_SATURATED, (lane.value,), elapsed_s)
        return pool.waiting

    def _watch(self) -> None:
        before_s = self._controller.clock.now_s()
        while not self._stop.wait(PERIOD_S):
            now_s = self._controller.clock.now_s()
            try:
                self.publish(now_s - before_s)
                self._controller.look()
            except Exception:
                # A broken gauge must not end the thread that shows the rest.
                log.exception("the gauges could not be published")
            before_s = now_s

    def _probe(self, lane: Lane, breaker: Probed, backend: Backend, timeout_s: float) -> None:
        while not self._stop.wait(PERIOD_S / 2):
            try:
                breaker.run_probe_if_due(lambda: backend.probe(lane, timeout_s))
            except Exception:
                log.exception("the %s lane's probe could not be run", lane)
